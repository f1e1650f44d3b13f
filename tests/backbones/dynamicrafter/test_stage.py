"""What a stage makes of its UNet's output."""

import pytest
import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.backbones.dynamicrafter.stage import Stage, draw_timesteps
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.diffusion.schedule import NoiseSchedule

SHAPE = (2, 4, 3, 4, 4)
SCHEDULE = NoiseSchedule(NoiseScheduleConfig(prediction_type="sample", base_scale=None))


def stage(change_std: float | None) -> Stage:
    torch.manual_seed(0)
    unet = UNetConfig(
        in_channels=8, out_channels=4, model_channels=32, channel_mult=(1,), num_res_blocks=1, attention_resolutions=(),
        num_head_channels=16, context_dim=16, text_tokens=3, image_tokens_per_frame=2, init_attention=False,
    )  # fmt: skip
    resampler = ResamplerConfig(
        dim=16, depth=1, dim_head=8, heads=2, num_queries=2, video_length=3, embedding_dim=8, output_dim=16
    )
    return Stage(VideoUNet(unet), Resampler(resampler), change_std).eval()


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(index) for index in range(count)]


def conditions() -> Conditions:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return Conditions(draw(*SHAPE), draw(2, 3, 16), draw(2, 5, 8), torch.full((2,), 8.0), draw(2, 4, 1, 4, 4))


@torch.no_grad()
def predict(change_std: float | None, noisy: torch.Tensor, t: int) -> torch.Tensor:
    model, given = stage(change_std), conditions()
    context = model.context(given.text, given.image_features)
    return model(noisy, torch.full((2,), t), given, context, SCHEDULE.alphas_cumprod)


def test_an_untrained_preconditioned_network_repeats_the_first_frame_from_pure_noise() -> None:
    first = conditions().first.expand(SHAPE)
    torch.testing.assert_close(predict(0.5, torch.randn(SHAPE), 999), first)


def test_an_untrained_preconditioned_network_returns_nearly_clean_latents() -> None:
    generator = torch.Generator().manual_seed(2)
    clean = conditions().first + 0.5 * torch.randn(SHAPE, generator=generator)
    noisy = SCHEDULE.add_noise(clean, torch.randn(SHAPE, generator=generator), torch.zeros(2, dtype=torch.int64))
    assert (predict(0.5, noisy, 0) - clean).square().mean() < 1e-3


def test_the_guess_is_the_best_linear_one() -> None:
    """With changes of the assumed size, a larger or smaller trust in the noisy latents is worse."""
    generator = torch.Generator().manual_seed(3)
    given = conditions()
    clean = given.first + 0.5 * torch.randn(SHAPE, generator=generator)
    noisy = SCHEDULE.add_noise(clean, torch.randn(SHAPE, generator=generator), torch.full((2,), 500))
    errors = [float((predict(std, noisy, 500) - clean).square().mean()) for std in (0.1, 0.5, 2.5)]
    assert errors[1] == min(errors)


def test_without_preconditioning_the_output_is_the_unets() -> None:
    assert not predict(None, torch.randn(SHAPE), 500).any(), "a fresh UNet's last layer is zero"


@pytest.mark.parametrize("change_std", [None, 0.5])
def test_the_loss_reaches_every_parameter_but_those_behind_zero_layers(change_std: float | None) -> None:
    model = stage(change_std)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    latents = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    loss = model.loss(SCHEDULE, latents, conditions(), torch.ones(2, 1, 3, 4, 4), generators(2))
    loss.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_timestep_shift_draws_more_of_the_noisy_end_and_stays_in_range() -> None:
    uniform = draw_timesteps(1000, 1.0, [torch.Generator().manual_seed(0)] * 20_000)
    shifted = draw_timesteps(1000, 3.0, [torch.Generator().manual_seed(0)] * 20_000)
    assert 0 <= int(shifted.min()) < int(shifted.max()) <= 999
    assert abs(float(uniform.float().median()) - 500) < 15
    assert abs(float(shifted.float().median()) - 750) < 15, "u = 1/2 goes to 3/2 / 2"
