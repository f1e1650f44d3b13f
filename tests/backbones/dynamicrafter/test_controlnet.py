"""The ControlNet: silent at first, a copy of its network, heard everywhere once its zero convolutions are not zero."""

from dataclasses import replace

import pytest
import torch

from mask2iv.backbones.dynamicrafter.controlnet import ControlNet, ControlNetConfig
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.errors import InputError

CONFIG = UNetConfig(
    in_channels=8, out_channels=4, model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(2,),
    num_head_channels=16, context_dim=16, text_tokens=3, image_tokens_per_frame=2,
)  # fmt: skip
B, T = 2, 3


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def fill_zeros(module: torch.nn.Module) -> None:
    """A fresh network returns zeros; this one does not."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)


@pytest.fixture(scope="module")
def networks() -> tuple[VideoUNet, ControlNet]:
    torch.manual_seed(0)
    unet = VideoUNet(CONFIG).eval()
    fill_zeros(unet)
    controlnet = ControlNet(ControlNetConfig.from_dict({**CONFIG.to_dict(), "control_channels": 4})).eval()
    controlnet.copy_from(unet)
    return unet, controlnet


INPUTS = draw(B, 8, T, 8, 8), torch.tensor([3, 700]), draw(B, 9, 16), torch.full((B,), 8.0)


@torch.no_grad()
def test_it_starts_as_an_identity(networks: tuple[VideoUNet, ControlNet]) -> None:
    unet, controlnet = networks
    x, timesteps, context, fps = INPUTS
    residuals = controlnet(x, draw(B, 4, T, 8, 8), timesteps, context, fps)
    assert not any(residual.any() for residual in residuals)
    assert torch.equal(unet(x, timesteps, context, fps, residuals), unet(x, timesteps, context, fps))


@torch.no_grad()
def test_it_is_a_copy_that_listens_to_its_control(networks: tuple[VideoUNet, ControlNet]) -> None:
    unet, controlnet = networks
    own, theirs = controlnet.state_dict(), unet.state_dict()
    shared = [name for name in own if name in theirs]
    assert {name.split(".")[0] for name in own} - {name.split(".")[0] for name in shared} == {
        "control_in",
        "zero_convs",
    }
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    loud = ControlNet(controlnet.config).eval()
    loud.load_state_dict(own)
    fill_zeros(loud)
    x, timesteps, context, fps = INPUTS
    one, other = (loud(x, draw(B, 4, T, 8, 8) * scale, timesteps, context, fps) for scale in (1.0, 2.0))
    assert all(not torch.allclose(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.allclose(unet(x, timesteps, context, fps, one), unet(x, timesteps, context, fps))


def test_training_reaches_it_through_the_zero_convolutions(networks: tuple[VideoUNet, ControlNet]) -> None:
    unet, controlnet = networks
    x, timesteps, context, fps = INPUTS
    residuals = controlnet(x, draw(B, 4, T, 8, 8), timesteps, context, fps)
    unet(x, timesteps, context, fps, residuals).square().mean().backward()
    assert all(conv.weight.grad is not None and conv.weight.grad.any() for conv in controlnet.zero_convs)


def test_inputs_that_do_not_fit_are_named(networks: tuple[VideoUNet, ControlNet]) -> None:
    x, timesteps, context, fps = INPUTS
    with pytest.raises(InputError, match=r"control: ControlNet expects \[2, 4, 3, 8, 8\], found \[2, 4, 3, 4, 4\]"):
        networks[1](x, draw(B, 4, T, 4, 4), timesteps, context, fps)
    wide = VideoUNet(replace(CONFIG, in_channels=12))
    with pytest.raises(InputError, match=r"unet: it has no conv_in\.weight of shape \[32, 8, 3, 3\]"):
        networks[1].copy_from(wide)
