"""Fast solvers against exact solutions: for Gaussian data the probability-flow ODE is solved by hand."""

import pytest
import torch

from mask2iv.diffusion.config import SAMPLERS, NoiseScheduleConfig
from mask2iv.diffusion.samplers import DDIMScheduler, sample
from mask2iv.diffusion.solvers import make_sampler
from mask2iv.errors import InputError

MEAN, STD = 0.8, 0.5
MODELS = {
    "mask2iv": NoiseScheduleConfig(),
    "embedded": NoiseScheduleConfig(prediction_type="sample", base_scale=None),
    "no_rescale": NoiseScheduleConfig(base_scale=None),
}


def perfect_network(scheduler: DDIMScheduler):
    """What a network trained to perfection on latents ~ N(MEAN, STD^2) predicts."""
    schedule = scheduler.schedule
    cumprod = schedule.alphas_cumprod64
    scale = torch.ones(1000).double() if schedule.scale_arr is None else schedule.scale_arr.double()

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a, s = float(cumprod[int(t[0])]), float(scale[int(t[0])])
        signal, noise = a**0.5 * s, 1 - a
        x0 = MEAN + signal * STD**2 / (signal**2 * STD**2 + noise) * (x - signal * MEAN)
        if schedule.config.prediction_type == "sample":
            return s * x0
        eps = (x - a**0.5 * s * x0) / noise**0.5
        return a**0.5 * eps - noise**0.5 * s * x0

    return denoise


def solve(name: str, config: NoiseScheduleConfig, steps: int) -> torch.Tensor:
    """Error of the sampled latents against the exact flow, which maps noise z to MEAN + STD * z."""
    ddim = DDIMScheduler.from_schedule(config, eta=0.0)
    scheduler = make_sampler(name, ddim)
    scheduler.set_timesteps(steps)
    noise = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = sample(perfect_network(ddim), scheduler, noise)
    return (latents - (MEAN + STD * noise)).abs().mean()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["dpmsolver++", "unipc"])
def test_fast_solvers_reach_the_exact_solution_sooner_than_ddim(name: str, model: str) -> None:
    errors = [float(solve(name, MODELS[model], steps)) for steps in (5, 10, 20, 50, 500)]
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < 0.002, "the solution itself is right, dynamic rescale or not"
    assert errors[2] < 0.8 * float(solve("ddim", MODELS[model], 20))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_repeats_itself_and_one_step_gives_the_mean(name: str) -> None:
    scheduler = make_sampler(name, DDIMScheduler.from_schedule(MODELS["embedded"], eta=0.0))
    network = perfect_network(DDIMScheduler.from_schedule(MODELS["embedded"]))
    noise = torch.randn(2, 4, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    results = []
    for _ in range(2):
        scheduler.set_timesteps(4)
        results.append(sample(network, scheduler, noise))
    assert torch.equal(*results)
    scheduler.set_timesteps(1)
    error = (sample(network, scheduler, noise) - MEAN).abs().max()
    # DDIM ends at alphas_cumprod[0]: 3 % of the noise stay.
    assert error < (0.12 if name == "ddim" else 0.01), "pure noise says nothing of the sample"


def test_solvers_visit_the_noisiest_timestep_first_and_keep_the_dtype() -> None:
    scheduler = make_sampler("dpmsolver++", DDIMScheduler())
    scheduler.set_timesteps(8)
    assert int(scheduler.timesteps[0]) == 999
    assert len(scheduler.timesteps) == 8
    x = torch.randn(1, 4, 1, 2, 2, dtype=torch.bfloat16)
    assert scheduler.step(x, scheduler.timesteps[0], x).prev_sample.dtype == torch.bfloat16


def test_bad_names_and_step_counts_are_refused() -> None:
    with pytest.raises(InputError, match=r"ddim, dpmsolver\+\+, unipc, found 'euler'"):
        make_sampler("euler", DDIMScheduler())
    with pytest.raises(InputError, match="between 1 and 1000, found 0"):
        make_sampler("unipc", DDIMScheduler()).set_timesteps(0)
