"""Stages of every kind, started from one image-to-video network: which of its weights go where."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.experiments.variants import VARIANTS, get_variant
from mask2iv.training.networks.pretrained import from_image_to_video


def loud(module: nn.Module) -> None:
    """Weights that hide nothing: fresh networks end in zeros."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))


@pytest.fixture(scope="module")
def base() -> tuple[VideoUNet, Resampler]:
    recipe = get_variant("tiny:dynamicrafter").of("video")
    unet, resampler = VideoUNet(recipe.unet).eval(), Resampler(recipe.resampler).eval()
    loud(unet)
    loud(resampler)
    return unet, resampler


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "coshand"])
@torch.no_grad()
def test_the_first_two_inputs_get_its_weights_and_further_ones_none(
    variant: str, base: tuple[VideoUNet, Resampler]
) -> None:
    """Stage 2: [noisy, image, masks], so it renders as before. Stage 1: [noisy, first mask, ..., image]: the mask takes
    the image's place."""
    unet, resampler = base
    component = VARIANTS[variant].component
    stage = from_image_to_video(get_variant(f"tiny:{variant}").of(component), unet, resampler).eval()
    latent = unet.config.out_channels
    noisy, second = torch.randn(1, latent, 4, 2, 4), torch.randn(1, latent, 4, 2, 4)
    others = torch.randn(1, stage.unet.config.in_channels - 2 * latent, 4, 2, 4)
    context = stage.context(torch.randn(1, unet.config.text_tokens, unet.config.context_dim), torch.randn(1, 17, 32))
    given = (torch.tensor([500]), context, torch.tensor([8.0]))
    found = stage.unet(torch.cat([noisy, second, others], dim=1), *given)
    assert torch.allclose(found, unet(torch.cat([noisy, second], dim=1), *given), atol=1e-5)
    assert found.std() > 0.01
    weight = stage.unet.conv_in.weight
    assert torch.equal(weight[:, : 2 * latent], unet.conv_in.weight)
    assert weight[:, 2 * latent :].abs().sum() == 0


def test_an_image_model_takes_the_layers_that_it_has(base: tuple[VideoUNet, Resampler]) -> None:
    unet, resampler = base
    recipe = get_variant("tiny:coshand").of("video")
    stage = from_image_to_video(recipe, unet, resampler)
    theirs = unet.state_dict()
    assert all(
        torch.equal(value, theirs[key]) for key, value in stage.unet.state_dict().items() if key != "conv_in.weight"
    )
    queries = recipe.resampler.num_queries
    assert torch.equal(stage.resampler.latents, resampler.latents[:, :queries]), "the first frame's"


def test_networks_of_other_sizes_are_refused(base: tuple[VideoUNet, Resampler]) -> None:
    unet, resampler = base
    recipe = get_variant("tiny").of("video")
    wider = replace(recipe, unet=replace(recipe.unet, model_channels=64))
    with pytest.raises(InputError, match=r"image_to_video: unet .*: has shape .* in the recipe, found"):
        from_image_to_video(wider, unet, resampler)
    with pytest.raises(InputError, match=r"takes 96 channels, not noisy and image latent \(64\)|takes 48 channels"):
        from_image_to_video(recipe, VideoUNet(recipe.unet), resampler)


def test_training_starts_from_it_by_a_flag(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(component: str, variant: str, out: Path, *flags: str) -> int:
        base = ["train", component, "--data", str(tiny_clips), "--out", str(out), "--threads", "1", "--device", "cpu"]
        steps = ["--set", f"{component}.training.max_steps=1"]
        return main([*base, "--recipe", f"tiny:{variant}", *steps, *flags])

    start = tmp_path / "start"
    shutil.copytree(tiny_model, start, ignore=shutil.ignore_patterns("training"))
    assert train("video", "dynamicrafter", start) == 0
    for component, variant in (("video", "interdyn"), ("trajectory", "joint")):
        assert train(component, variant, tmp_path / variant, "--image-to-video", str(start)) == 0
    assert (tmp_path / "interdyn" / "video_controlnet").is_dir()
    parts = ["--parts", "network,video", "--runs", "1", "--steps", "1"]
    for name in ("start", "interdyn"):
        assert main(["bench", "--model", str(tmp_path / name), *parts]) == 0, "models of every kind are timed"
    capsys.readouterr()
    assert (
        train(
            "video", "mask2iv", tmp_path / "a", "--image-to-video", str(tmp_path / "interdyn"), "--initial-weights", "x"
        )
        == 2
    )
    assert "--initial-weights: image_to_video is given too; training starts from one of them" in capsys.readouterr().err
