from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.diffusion.losses import mse
from mask2iv.diffusion.schedule import (
    DDIMTables,
    NoiseSchedule,
    ddim_timesteps,
    rescale_zero_terminal_snr,
    scaled_linear_betas,
)
from mask2iv.errors import InputError

CLOSE = {"rtol": 0.0, "atol": 2e-5}
EPSILON = NoiseScheduleConfig(rescale_betas_zero_snr=False, prediction_type="epsilon", base_scale=None)


def test_checkpoint_buffers_are_those_of_the_original(golden):
    buffers = NoiseSchedule().checkpoint_buffers()
    stored = {name.removeprefix("schedule."): t for name, t in golden.items() if name.startswith("schedule.")}
    del stored["lvlb_weights"]  # not part of checkpoints; its loss term has weight 0
    assert set(buffers) == set(stored)
    assert len(buffers) == 13
    for name, table in stored.items():
        assert buffers[name].dtype == torch.float32
        torch.testing.assert_close(buffers[name], table, **CLOSE, msg=lambda m, name=name: f"{name}: {m}")


def test_float64_values_behind_the_buffers(golden):
    betas = scaled_linear_betas(NoiseScheduleConfig())
    np.testing.assert_allclose(betas, golden["f64.betas_before_rescale"].numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(rescale_zero_terminal_snr(betas), golden["f64.betas"].numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        NoiseSchedule().alphas_cumprod64, golden["f64.alphas_cumprod"].numpy(), rtol=0, atol=1e-14
    )


def test_last_step_is_exactly_pure_noise():
    schedule = NoiseSchedule()
    assert schedule.alphas_cumprod[999] == 0
    assert schedule.betas[999] == 1
    assert schedule.sqrt_one_minus_alphas_cumprod[999] == 1


def test_epsilon_schedule_without_zero_snr(golden):
    schedule = NoiseSchedule(EPSILON)
    torch.testing.assert_close(schedule.alphas_cumprod, golden["schedule256.alphas_cumprod"], **CLOSE)
    assert schedule.scale_arr is None
    assert "scale_arr" not in schedule.checkpoint_buffers()
    recip = schedule.checkpoint_buffers()["sqrt_recip_alphas_cumprod"]
    torch.testing.assert_close(recip, schedule.alphas_cumprod.rsqrt())


def test_dynamic_rescale_factors(golden):
    scale = NoiseSchedule(NoiseScheduleConfig(base_scale=0.3)).scale_arr
    assert scale is not None
    assert scale.shape == (1400,)
    torch.testing.assert_close(scale, golden["scale_arr_base0.3"], **CLOSE)


@pytest.mark.parametrize("spacing", ["uniform", "uniform_trailing"])
@pytest.mark.parametrize("steps", [10, 25, 50])
def test_ddim_tables(golden, facts, spacing, steps):
    timesteps = ddim_timesteps(steps, spacing)
    tables = DDIMTables.build(NoiseSchedule(), timesteps)
    prefix = f"ddim.{spacing}.{steps}"
    assert timesteps.tolist() == golden[f"{prefix}.timesteps"].tolist() == facts["timesteps"][f"{spacing}.{steps}"]
    ours = {
        "alphas": tables.alphas,
        "alphas_prev": tables.alphas_prev,
        "sqrt_one_minus_alphas": np.sqrt(1 - tables.alphas),
        "scale": tables.scale,
        "scale_prev": tables.scale_prev,
        "sigmas_eta0": tables.sigmas(0.0),
        "sigmas_eta1": tables.sigmas(1.0),
    }
    for name, table in ours.items():
        np.testing.assert_allclose(table, golden[f"{prefix}.{name}"].numpy(), rtol=0, atol=2e-5, err_msg=name)


def test_step_counts_of_the_original(facts):
    for count, by_spacing in facts["counts_first_last"].items():
        for spacing, (length, first, last) in by_spacing.items():
            if last > 999:
                with pytest.raises(InputError, match="uniform_trailing"):
                    ddim_timesteps(int(count), spacing)
                continue
            steps = ddim_timesteps(int(count), spacing)
            assert (len(steps), steps[0], steps[-1]) == (length, first, last)


def test_trailing_spacing_is_sound_for_every_step_count():
    for count in range(1, 1001):
        steps = ddim_timesteps(count, "uniform_trailing")
        assert len(steps) == count
        assert steps[0] >= 0
        assert steps[-1] == 999
        assert (np.diff(steps) > 0).all()


def test_uniform_spacing_is_in_range_or_refused():
    accepted = 0
    for count in range(1, 1001):
        try:
            steps = ddim_timesteps(count, "uniform")
        except InputError:
            continue
        accepted += 1
        assert steps[0] == 1
        assert steps[-1] <= 999
        assert len(steps) >= count
    assert accepted > 100


@pytest.mark.parametrize(
    ("count", "spacing", "field"),
    [(0, "uniform", "num_inference_steps"), (1001, "uniform_trailing", "1000"), (10, "karras", "karras")],
)
def test_bad_step_requests_name_the_problem(count, spacing, field):
    with pytest.raises(InputError, match=field):
        ddim_timesteps(count, spacing)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_training_side_matches_the_original(golden, analytic_network, i):
    schedule = NoiseSchedule()
    x0, noise, t = golden["train.x0"], golden["train.noise"], golden[f"train.{i}.t"]
    noisy = schedule.add_noise(x0, noise, t)
    target = schedule.training_target(x0, noise, t)
    torch.testing.assert_close(schedule.rescale_latents(x0, t), golden[f"train.{i}.x_scaled"], **CLOSE)
    torch.testing.assert_close(noisy, golden[f"train.{i}.x_noisy"], **CLOSE)
    torch.testing.assert_close(target, golden[f"train.{i}.v_target"], **CLOSE)

    loss = mse(analytic_network(noisy, t, golden["traj.context"]), target)
    torch.testing.assert_close(loss, golden[f"train.{i}.loss"], **CLOSE)


@pytest.mark.parametrize("config", [NoiseScheduleConfig(), EPSILON], ids=["v", "epsilon"])
def test_target_of_training_gives_back_x0_and_noise(config):
    generator = torch.Generator().manual_seed(0)
    schedule = NoiseSchedule(config)
    x0 = torch.randn(3, 4, 2, 5, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, 4, 2, 5, 6, generator=generator, dtype=torch.float64)
    t = torch.tensor([0, 300, 900])
    found_x0, found_eps = schedule.x0_and_eps(
        schedule.add_noise(x0, noise, t), schedule.training_target(x0, noise, t), t
    )
    torch.testing.assert_close(found_x0, schedule.rescale_latents(x0, t), rtol=0, atol=1e-5)
    torch.testing.assert_close(found_eps, noise, rtol=0, atol=1e-5)


def test_half_precision_latents_are_noised_in_float32():
    schedule = NoiseSchedule()
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(2, 4, 1, 3, 3, generator=generator).bfloat16() for _ in range(2))
    t = torch.tensor([10, 700])
    noisy = schedule.add_noise(x0, noise, t)
    assert noisy.dtype == torch.bfloat16
    assert torch.equal(noisy, schedule.add_noise(x0.float(), noise.float(), t).bfloat16())
    target = schedule.training_target(x0, noise, t)
    assert torch.equal(target, schedule.training_target(x0.float(), noise.float(), t).bfloat16())


def test_tables_move_with_the_schedule():
    schedule = NoiseSchedule().to("meta")
    x = torch.empty(2, 4, 1, 3, 3, device="meta")
    assert schedule.add_noise(x, x, torch.zeros(2, dtype=torch.long, device="meta")).device.type == "meta"


def test_config_survives_json():
    config = NoiseScheduleConfig(base_scale=None, turning_step=7, beta_end=0.02)
    assert NoiseScheduleConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"beta_stop": 0.1}, "beta_stop"),
        ({"beta_start": 0.1, "beta_end": 0.01}, "beta_start"),
        ({"num_train_timesteps": 1}, "num_train_timesteps"),
        ({"prediction_type": "x0"}, "prediction_type"),
        ({"prediction_type": "epsilon"}, "rescale_betas_zero_snr"),
        ({"base_scale": 0.0}, "base_scale"),
        ({"turning_step": 0}, "turning_step"),
    ],
)
def test_bad_config_names_the_field(values, field):
    with pytest.raises(InputError, match=field):
        NoiseScheduleConfig.from_dict(values)


@pytest.mark.parametrize("t", [torch.tensor(5), torch.tensor([5]), torch.tensor([5.0, 6.0])])
def test_timesteps_must_be_one_integer_per_sample(t):
    x = torch.zeros(2, 4, 1, 2, 2)
    with pytest.raises(InputError, match="timesteps"):
        NoiseSchedule().add_noise(x, x, t)


def test_noise_of_another_shape_is_refused():
    with pytest.raises(InputError, match="noise"):
        NoiseSchedule().add_noise(torch.zeros(2, 4, 1, 2, 2), torch.zeros(1, 4, 1, 2, 2), torch.tensor([1, 2]))


@pytest.mark.parametrize("t", [0, 400, 999])
def test_a_network_that_predicts_the_clean_latents_is_understood(t: int) -> None:
    schedule = NoiseSchedule(NoiseScheduleConfig(prediction_type="sample"))
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(2, 4, 3, 4, 5, generator=generator) for _ in range(2))
    steps = torch.full((2,), t)
    noisy = schedule.add_noise(x0, noise, steps)
    target = schedule.training_target(x0, noise, steps)
    torch.testing.assert_close(target, schedule.rescale_latents(x0, steps))
    found_x0, found_noise = schedule.x0_and_eps(noisy, target, steps)
    torch.testing.assert_close(found_x0, target)
    # Near t = 0 hardly any noise is in the latents, so little of its precision survives.
    torch.testing.assert_close(found_noise, noise, rtol=1e-4, atol=1e-4)
