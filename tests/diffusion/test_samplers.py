from __future__ import annotations

import diffusers
import pytest
import torch

from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.diffusion.guidance import active_branches, chained_guidance
from mask2iv.diffusion.samplers import DDIMScheduler, SamplingStep, draw_noise, sample
from mask2iv.errors import InputError

TRAJECTORIES = [
    "trailing_eta0_cfg1",
    "trailing_eta0_cfg7.5_rescale0.7",
    "trailing_eta0_cfg7.5_rescale0",
    "trailing_eta1_cfg7.5_rescale0.7",
    "uniform_eta0_cfg1",
    "uniform_eta0_cfg7.5_rescale0.7",
    "uniform_eta1_cfg7.5_rescale0.7",
    "eps256_uniform_eta0_cfg7.5",
    "multicond_trailing_eta0_cfg7.5_img2_rescale0.7",
]
EPSILON = NoiseScheduleConfig(rescale_betas_zero_snr=False, prediction_type="epsilon", base_scale=None)


class StoredNoise:
    """A scheduler that adds given noise instead of drawn noise; otherwise the DDIM scheduler itself."""

    def __init__(self, scheduler: DDIMScheduler, noise: torch.Tensor) -> None:
        self.scheduler, self.noise = scheduler, noise
        self.timesteps, self.init_noise_sigma = scheduler.timesteps, scheduler.init_noise_sigma
        self.num_inference_steps = scheduler.num_inference_steps
        self.scale_model_input = scheduler.scale_model_input

    def step(self, model_output, timestep, sample, eta=None):
        i = self.timesteps.tolist().index(int(timestep))
        return self.scheduler.step(model_output, timestep, sample, eta=eta, variance_noise=self.noise[i])


def test_every_stored_trajectory_is_tested(facts):
    assert set(TRAJECTORIES) == set(facts["trajectories"])


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_golden_trajectory(golden, facts, analytic_network, name):
    settings = facts["trajectories"][name]
    scheduler = DDIMScheduler.from_schedule(
        EPSILON if name.startswith("eps256") else NoiseScheduleConfig(), settings["timestep_spacing"], settings["eta"]
    )
    scheduler.set_timesteps(settings["S"])
    contexts = [golden["traj.uncond_context"], golden["traj.context"]]
    scales = [settings["unconditional_guidance_scale"]]
    if "cfg_img" in settings:
        contexts.insert(1, golden["traj.uncond2_context"])
        scales.insert(0, settings["cfg_img"])
    branches, scales = active_branches(scales)
    calls: list[int] = []
    steps: list[SamplingStep] = []

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.extend([int(t[0])] * len(branches))
        predictions = [analytic_network(x, t, contexts[k]) for k in branches]
        return chained_guidance(predictions, scales, settings["guidance_rescale"])

    result = sample(
        denoise, StoredNoise(scheduler, golden["traj.noise"]), golden["traj.x_T"], callback=lambda s: steps.append(s)
    )

    assert calls == settings["network_timesteps"]
    # Values of the eps-model reach 11, so there 2e-5 is meant relative to them.
    rtol = 2e-5 if name.startswith("eps256") else 0.0
    x = torch.stack([s.latents for s in steps])
    pred_x0 = torch.stack([s.pred_original_sample for s in steps])
    torch.testing.assert_close(x, golden[f"traj.{name}.x"], rtol=rtol, atol=2e-5)
    torch.testing.assert_close(pred_x0, golden[f"traj.{name}.pred_x0"], rtol=rtol, atol=2e-5)
    assert torch.equal(result, x[-1])


def test_no_step_count_gives_nan_with_full_noise():
    scheduler = DDIMScheduler(eta=1.0)
    latents = draw_noise((1, 4, 1, 2, 2), torch.Generator().manual_seed(0))
    for count in range(2, 101):
        scheduler.set_timesteps(count)
        result = sample(lambda x, t: 0.3 * x, scheduler, latents, torch.Generator().manual_seed(1))
        assert torch.isfinite(result).all(), count


def run(scheduler, latents, generator, **options):
    scheduler.set_timesteps(8)
    return sample(lambda x, t: torch.tanh(x) * 0.4, scheduler, latents, generator, **options)


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(s) for s in seeds]


def test_same_seed_same_sample_whatever_the_batch():
    shape = (4, 3, 4, 4)

    def generate(*seeds: int) -> torch.Tensor:
        generators = seeded(*seeds)
        return run(DDIMScheduler(), draw_noise((len(seeds), *shape), generators), generators)

    batch = generate(11, 22, 33)
    assert torch.equal(generate(22)[0], batch[1])
    assert torch.equal(generate(33, 11), batch[[2, 0]])
    assert not torch.equal(batch[0], batch[1])


def test_noise_is_drawn_at_every_step_even_where_it_is_not_added():
    generator, reference = seeded(5, 5)
    latents = torch.zeros(1, 4, 2, 3, 3)
    run(DDIMScheduler(eta=0.0), latents, generator)
    for _ in range(8):
        draw_noise(latents.shape, reference)
    assert torch.equal(generator.get_state(), reference.get_state())


def test_eta_of_the_call_overrides_the_configured_one():
    latents = draw_noise((2, 4, 2, 3, 3), torch.Generator().manual_seed(0))
    configured = run(DDIMScheduler(eta=0.0), latents, seeded(1, 2))
    assert torch.equal(run(DDIMScheduler(eta=1.0), latents, seeded(1, 2), eta=0.0), configured)
    assert torch.equal(run(DDIMScheduler(eta=0.0), latents, seeded(3, 4)), configured)
    assert not torch.equal(run(DDIMScheduler(eta=1.0), latents, seeded(1, 2)), configured)


@pytest.mark.parametrize("make", [DDIMScheduler, lambda: unipc(DDIMScheduler())], ids=["ddim", "unipc"])
def test_start_continues_from_the_latents_of_that_step(make):
    latents = draw_noise((1, 4, 2, 3, 3), torch.Generator().manual_seed(0))
    seen: list[SamplingStep] = []
    full = run(make(), latents, None, callback=lambda s: seen.append(s), **eta_zero(make()))
    visited: list[int] = []
    rest = run(make(), seen[4].latents, None, start=5, callback=lambda s: visited.append(s.index), **eta_zero(make()))
    assert visited == [5, 6, 7]
    tolerance = 0.0 if isinstance(make(), DDIMScheduler) else 0.1  # a multistep solver restarts without its history
    torch.testing.assert_close(rest, full, rtol=0, atol=tolerance)


def eta_zero(scheduler):
    return {"eta": 0.0} if isinstance(scheduler, DDIMScheduler) else {}


def unipc(scheduler: DDIMScheduler):
    return diffusers.UniPCMultistepScheduler.from_config(scheduler.config)


def test_callback_can_replace_the_latents_and_progress_wraps_the_steps():
    lengths: list[int] = []

    def progress(steps):
        lengths.append(len(steps))
        return steps

    result = run(DDIMScheduler(), torch.ones(1, 4, 1, 2, 2), None, callback=lambda s: s.latents * 0, progress=progress)
    assert torch.equal(result, torch.zeros(1, 4, 1, 2, 2))
    assert lengths == [8]


# --- exact answers: a Gaussian target, for which the ideal network is known

MEAN, STD = 0.5, 0.5


def ideal_v(alphas_cumprod: torch.Tensor):
    """The exact v-prediction for x0 ~ N(MEAN, STD^2), every element independent."""

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = alphas_cumprod[t.long()].double().reshape(-1, 1, 1, 1, 1)
        x = x.double()
        x0 = MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (x - a.sqrt() * MEAN)
        eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
        return (a.sqrt() * eps - (1 - a).sqrt() * x0).float()

    return predict


SCHEDULERS = {
    "ours_eta0": lambda ours: DDIMScheduler.from_config(ours.config, eta=0.0),
    "ours_eta1": lambda ours: ours,
    "diffusers_ddim": lambda ours: diffusers.DDIMScheduler.from_config(ours.config),
    "unipc": unipc,
    "dpm_multistep": lambda ours: diffusers.DPMSolverMultistepScheduler.from_config(ours.config),
    "dpm_sde": lambda ours: diffusers.DPMSolverMultistepScheduler.from_config(
        ours.config, algorithm_type="sde-dpmsolver++"
    ),
    "euler": lambda ours: diffusers.EulerDiscreteScheduler.from_config(ours.config),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_any_scheduler_samples_the_right_distribution(name):
    ours = DDIMScheduler(base_scale=None)
    scheduler = SCHEDULERS[name](ours)
    assert scheduler.config.prediction_type == "v_prediction"
    torch.testing.assert_close(scheduler.alphas_cumprod, ours.alphas_cumprod, rtol=0, atol=2e-5)
    scheduler.set_timesteps(200)
    latents = draw_noise((4, 4, 4, 16, 16), seeded(0, 1, 2, 3))
    result = sample(ideal_v(ours.alphas_cumprod), scheduler, latents, seeded(4, 5, 6, 7))
    # 16384 numbers: standard errors of 0.004 (mean) and 0.003 (deviation). Discrete steps shrink the deviation:
    # by 0.015 with 200 steps of first order, more with fewer.
    assert result.mean().item() == pytest.approx(MEAN, abs=0.015)
    assert result.std().item() == pytest.approx(STD, abs=0.02)


def test_diffusers_ddim_takes_the_same_steps():
    """Without noise and dynamic rescale both are the same DDIM, the dropped-in one built from our configuration."""
    ours = DDIMScheduler(base_scale=None, eta=0.0)
    latents = draw_noise((1, 4, 2, 3, 3), torch.Generator().manual_seed(0))
    theirs = diffusers.DDIMScheduler.from_config(ours.config)
    torch.testing.assert_close(run(theirs, latents, None), run(ours, latents, None), rtol=0, atol=2e-5)


def test_scheduler_is_saved_and_loaded(tmp_path):
    scheduler = DDIMScheduler(timestep_spacing="uniform", eta=0.5, base_scale=0.3, beta_end=0.02)
    scheduler.save_pretrained(tmp_path)
    loaded = DDIMScheduler.from_pretrained(tmp_path)
    public = [{k: v for k, v in s.config.items() if not k.startswith("_")} for s in (loaded, scheduler)]
    assert public[0] == public[1]
    assert loaded.schedule.config == scheduler.schedule.config
    latents = draw_noise((1, 4, 2, 3, 3), torch.Generator().manual_seed(0))
    assert torch.equal(run(loaded, latents, seeded(1)), run(scheduler, latents, seeded(1)))


def test_both_vocabularies_of_spacing_mean_the_same():
    for official, alias in (("uniform", "leading"), ("uniform_trailing", "trailing")):
        a, b = DDIMScheduler(timestep_spacing=official), DDIMScheduler(timestep_spacing=alias)
        a.set_timesteps(50)
        b.set_timesteps(50)
        assert torch.equal(a.timesteps, b.timesteps)
        assert a.config.timestep_spacing == b.config.timestep_spacing == alias


def test_training_interface_matches_the_golden_targets(golden):
    scheduler = DDIMScheduler()
    x0, noise, t = golden["train.x0"], golden["train.noise"], golden["train.0.t"]
    torch.testing.assert_close(scheduler.add_noise(x0, noise, t), golden["train.0.x_noisy"], rtol=0, atol=2e-5)
    torch.testing.assert_close(scheduler.get_velocity(x0, noise, t), golden["train.0.v_target"], rtol=0, atol=2e-5)


def test_half_precision_samples_step_in_float32():
    scheduler = DDIMScheduler(eta=0.0)
    scheduler.set_timesteps(10)
    x = draw_noise((1, 4, 2, 3, 3), torch.Generator().manual_seed(0), dtype=torch.float16)
    half = scheduler.step(x * 0.5, 499, x).prev_sample
    exact = scheduler.step((x * 0.5).float(), 499, x.float()).prev_sample
    assert half.dtype == torch.float16
    assert torch.equal(half, exact.half())


def test_a_seed_means_the_same_at_every_precision():
    a, b = seeded(1, 1)
    assert torch.equal(draw_noise((2, 3), a, dtype=torch.float16), draw_noise((2, 3), b).half())


def test_tuple_result():
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(10)
    x = torch.ones(1, 4, 1, 2, 2)
    output = scheduler.step(x, 999, x, eta=0.0)
    prev, x0 = scheduler.step(x, 999, x, eta=0.0, return_dict=False)
    assert torch.equal(output.prev_sample, prev)
    assert torch.equal(output.pred_original_sample, x0)


def ready(**options) -> DDIMScheduler:
    scheduler = DDIMScheduler(**options)
    scheduler.set_timesteps(10)
    return scheduler


def used_unipc():
    scheduler = unipc(DDIMScheduler())
    run(scheduler, X, None)
    return scheduler


X = torch.zeros(2, 4, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DDIMScheduler(eta=1.5), "eta"),
        (lambda: DDIMScheduler(beta_schedule="linear"), "beta_schedule"),
        (lambda: DDIMScheduler(timestep_spacing="linspace"), "timestep_spacing"),
        (lambda: DDIMScheduler(timestep_spacing="uniform").set_timesteps(27), "27"),
        (lambda: DDIMScheduler().step(X, 999, X), "set_timesteps"),
        (lambda: ready().step(X, 998, X), "998"),
        (lambda: ready().step(X[:1], 999, X), "prediction"),
        (lambda: ready().step(X, 999, X, generator=seeded(1)), "one per sample"),
        (lambda: ready().step(X, 999, X, variance_noise=X[:1]), "variance_noise"),
        (lambda: ready().step(X, 999, X, generator=torch.Generator(), variance_noise=X), "both"),
        (lambda: sample(lambda x, t: x, DDIMScheduler(), X), "set_timesteps"),
        (lambda: sample(lambda x, t: x, used_unipc(), X), "before every run"),
        (lambda: sample(lambda x, t: x, ready(), X, start=10), "start"),
        (lambda: run(unipc(DDIMScheduler()), X, None, eta=0.5), "UniPCMultistepScheduler"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
