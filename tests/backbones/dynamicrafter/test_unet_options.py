"""Every option of the original constructor, against the plain second implementation, under original key names."""

from __future__ import annotations

import pytest
import torch

from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.errors import InputError
from mask2iv.official.keys import unet_key_matches
from mask2iv.official.networks import UNET_FLAGS, unet_config_from_original, unet_from_original

BASE = {
    "in_channels": 5,
    "out_channels": 3,
    "model_channels": 32,
    "attention_resolutions": [2],
    "num_res_blocks": 1,
    "channel_mult": [1, 2],
    "num_head_channels": 16,
    "context_dim": 24,
    "use_linear": True,
    "temporal_conv": True,
    "use_relative_position": False,
    "temporal_length": 4,
    "addition_attention": True,
    "image_cross_attention": True,
    "default_fs": 10,
    "fs_condition": True,
}
VARIANTS = {
    "base": {},
    "three levels": {"channel_mult": [1, 1, 3], "attention_resolutions": [4, 1], "num_res_blocks": 2},
    "no attention but in the middle": {"attention_resolutions": []},
    "depth 2": {"transformer_depth": 2},
    "heads by number": {"num_head_channels": -1, "num_heads": 4, "addition_attention": False},
    "heads that do not divide the width": {"num_head_channels": 24},
    "convolutional projections": {"use_linear": False},
    "scale and shift": {"use_scale_shift_norm": True},
    "residual resampling": {"resblock_updown": True, "channel_mult": [1, 2, 2]},
    "resampling without weights": {"conv_resample": False},
    "no frame rate": {"fs_condition": False},
    "no first attention": {"addition_attention": False},
    "first attention looks at the text": {"temporal_selfatt_only": False},
    "no temporal convolution": {"temporal_conv": False},
    "wide temporal convolution": {"tempspatial_aware": True},
    "no temporal attention": {"temporal_attention": False, "addition_attention": False},
    "causal": {"use_causal_attention": True},
    "relative positions": {"use_relative_position": True, "temporal_length": 2},
    "causal relative positions": {"use_relative_position": True, "use_causal_attention": True},
    "relative positions and text": {"use_relative_position": True, "temporal_selfatt_only": False},
    "text only": {"image_cross_attention": False},
    "learnt image factor": {"image_cross_attention_scale_learnable": True},
}


def original_weights(flags, golden_weight):
    """A state dict in original names for any flags."""
    with torch.device("meta"):
        net = VideoUNet(unet_config_from_original(flags))
    matches = unet_key_matches(net, use_linear=flags.get("use_linear", False))
    return {match.original: golden_weight(match.original, match.shape) for match in matches}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tokens", ["per frame", "shared", "text"])
@torch.no_grad()
def test_option(golden_weight, naive_unet, variant, tokens):
    flags = {**BASE, **VARIANTS[variant]}
    weights = original_weights(flags, golden_weight)
    frames, size = 4, 8
    length = {"per frame": 77 + 16 * frames, "shared": 77 + 16, "text": 77}[tokens]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, frames, size, size, generator=generator)
    context = torch.randn(2, length, 24, generator=generator)
    timesteps, fps = torch.tensor([3, 800]), torch.tensor([24, 5])
    plain = naive_unet(weights, flags)
    expected = plain(x, timesteps, context, fps)
    result = unet_from_original(weights, flags).eval()(x, timesteps, context, fps)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=2e-5)
    unread = set(weights) - plain.used
    assert all("_ip." in key or key.endswith(".alpha") for key in unread)
    assert tokens == "text" or not unread


def test_projection_shapes_are_the_originals(golden_weight):
    linear = original_weights(BASE | {"attention_resolutions": [1]}, golden_weight)
    conv = original_weights(BASE | {"attention_resolutions": [1], "use_linear": False}, golden_weight)
    spatial, temporal = "input_blocks.1.1.proj_in.weight", "input_blocks.1.2.proj_in.weight"
    assert (linear[spatial].shape, linear[temporal].shape) == ((32, 32), (32, 32))
    assert (conv[spatial].shape, conv[temporal].shape) == ((32, 32, 1, 1), (32, 32, 1))
    # The first attention always projects by 1-D convolutions, from 32 channels to 8 heads of 16.
    assert linear["init_attn.0.proj_in.weight"].shape == (128, 32, 1)
    assert linear["input_blocks.1.0.temopral_conv.conv1.2.weight"].shape == (32, 32, 3, 1, 1)


def test_absent_flags_have_the_original_defaults():
    required = {
        "in_channels": 8,
        "model_channels": 32,
        "out_channels": 4,
        "num_res_blocks": 2,
        "attention_resolutions": [1],
        "num_heads": 2,
        "context_dim": 16,
        "temporal_length": 16,
    }
    config = unet_config_from_original(required)
    assert config.channel_mult == (1, 2, 4, 8)
    assert config.relative_position_range == 16
    assert (config.temporal_attention, config.temporal_conv, config.init_attention) == (True, False, False)
    assert (config.image_cross_attention, config.fps_condition, config.default_fps) == (False, False, 4)
    assert config.dropout == 0.0


def test_use_checkpoint_turns_gradient_checkpointing_on(golden_weight):
    flags = BASE | {"use_checkpoint": True}
    assert unet_from_original(original_weights(flags, golden_weight), flags).gradient_checkpointing


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"dims": 3}, "dims"),
        ({"use_fp16": True}, "use_fp16"),
        ({"context_dim": None}, "context_dim"),
        ({"use_relative_position": True, "temporal_length": None}, "temporal_length"),
        ({"num_head_channels": -1, "num_heads": 4}, "addition_attention"),
        ({"num_head_channels": -1, "addition_attention": False}, "num_heads"),
        ({"num_res_blocks": [1, 2]}, "num_res_blocks"),
        ({"channel_mult": 2}, "channel_mult"),
        ({"attention_resolutions": "2"}, "attention_resolutions"),
        ({"model_channels": 40}, "model_channels"),
        ({"num_head_channels": 96}, "num_head_channels"),
        ({"dropout": 1.5}, "dropout"),
        ({"temporal_conv": "yes"}, "temporal_conv"),
        ({"num_classes": 10}, "num_classes"),
    ],
)
def test_unsupported_flags_are_refused_by_name(flags, named):
    with pytest.raises(InputError, match=named):
        unet_config_from_original(BASE | flags)


def test_a_required_flag_that_is_absent_is_named():
    flags = {name: value for name, value in BASE.items() if name != "num_res_blocks"}
    with pytest.raises(InputError, match="num_res_blocks: must be given"):
        unet_config_from_original(flags)


def test_every_flag_is_tested_here():
    varied = set(BASE).union(*VARIANTS.values())
    # These leave the numbers of a network in evaluation mode unchanged, or have one value only.
    assert set(UNET_FLAGS) - varied == {"dims", "dropout", "use_checkpoint", "use_fp16"}
    assert varied <= set(UNET_FLAGS)
