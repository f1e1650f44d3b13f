"""Networks from weights of the original DynamiCrafter / Mask2IV code.

Each function takes one part of an original state dict, under its original keys without the part's prefix
(``model.diffusion_model.``, ``image_proj_model.``, ``first_stage_model.``, ...), and the original constructor's flags.
Every tensor is used; anything missing, unexpected or misshapen is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.config import from_dict
from mask2iv.errors import InputError
from mask2iv.official.encoders import (
    image_model_from_original,
    text_model_from_original,
    vae_from_original,
)
from mask2iv.official.keys import (
    REQUIRED,
    KeyMatch,
    complete_flags,
    empty,
    load_original,
    unet_key_matches,
)

__all__ = [
    "RESAMPLER_FLAGS",
    "UNET_FLAGS",
    "image_model_from_original",
    "resampler_from_original",
    "resampler_key_matches",
    "text_model_from_original",
    "unet_config_from_original",
    "unet_from_original",
    "vae_from_original",
]

UNET_FLAGS: Mapping[str, Any] = {
    "in_channels": REQUIRED,
    "model_channels": REQUIRED,
    "out_channels": REQUIRED,
    "num_res_blocks": REQUIRED,
    "attention_resolutions": REQUIRED,
    "dropout": 0.0,
    "channel_mult": (1, 2, 4, 8),
    "conv_resample": True,
    "dims": 2,
    "context_dim": None,
    "use_scale_shift_norm": False,
    "resblock_updown": False,
    "num_heads": -1,
    "num_head_channels": -1,
    "transformer_depth": 1,
    "use_linear": False,
    "use_checkpoint": False,
    "temporal_conv": False,
    "tempspatial_aware": False,
    "temporal_attention": True,
    "use_relative_position": True,
    "use_causal_attention": False,
    "temporal_length": None,
    "use_fp16": False,
    "addition_attention": False,
    "temporal_selfatt_only": True,
    "image_cross_attention": False,
    "image_cross_attention_scale_learnable": False,
    "default_fs": 4,
    "fs_condition": False,
}
"""Flags of the original U-Net's constructor, with their defaults."""

RESAMPLER_FLAGS: Mapping[str, Any] = {
    "dim": 1024,
    "depth": 8,
    "dim_head": 64,
    "heads": 16,
    "num_queries": 8,
    "embedding_dim": 768,
    "output_dim": 1024,
    "ff_mult": 4,
    "video_length": None,
}
"""Flags of the original Resampler's constructor, with their defaults."""


def unet_config_from_original(config: Mapping[str, Any]) -> UNetConfig:
    """The configuration equivalent to the original constructor flags. An absent flag has its original default.

    Raises:
        InputError: an unknown or missing flag, or an unsupported value, naming the flag.
    """
    flags = complete_flags("unet", config, UNET_FLAGS)
    if flags["dims"] != 2:
        raise InputError("unet.dims", f"must be 2, found {flags['dims']!r}", "other video networks are not supported")
    if flags["use_fp16"]:
        raise InputError("unet.use_fp16", "must be false", "load in float32, then call .to(torch.float16)")
    if flags["context_dim"] is None:
        raise InputError("unet.context_dim", "must be given", "networks without cross-attention are not supported")
    if flags["use_relative_position"] and flags["temporal_length"] is None:
        raise InputError("unet.temporal_length", "must be given with use_relative_position")
    if flags["addition_attention"] and flags["num_head_channels"] == -1:
        raise InputError("unet.num_head_channels", "must be given with addition_attention")
    if flags["num_head_channels"] == -1 and flags["num_heads"] == -1:
        raise InputError("unet.num_heads", "must be given, or num_head_channels instead")
    resample: Literal["conv", "plain", "resblock"]
    resample = "resblock" if flags["resblock_updown"] else "conv" if flags["conv_resample"] else "plain"
    values = {
        "in_channels": flags["in_channels"],
        "out_channels": flags["out_channels"],
        "model_channels": flags["model_channels"],
        "channel_mult": _ints("channel_mult", flags["channel_mult"]),
        "num_res_blocks": flags["num_res_blocks"],
        "attention_resolutions": _ints("attention_resolutions", flags["attention_resolutions"]),
        "num_head_channels": None if flags["num_head_channels"] == -1 else flags["num_head_channels"],
        "num_heads": None if flags["num_heads"] == -1 else flags["num_heads"],
        "transformer_depth": flags["transformer_depth"],
        "context_dim": flags["context_dim"],
        "temporal_attention": flags["temporal_attention"],
        "temporal_conv": flags["temporal_conv"],
        "temporal_conv_spatial": flags["tempspatial_aware"],
        "init_attention": flags["addition_attention"],
        "init_attention_text": not flags["temporal_selfatt_only"],
        "causal_temporal_attention": flags["use_causal_attention"],
        "relative_position_range": flags["temporal_length"] if flags["use_relative_position"] else None,
        "image_cross_attention": flags["image_cross_attention"],
        "image_cross_attention_scale_learnable": flags["image_cross_attention_scale_learnable"],
        "fps_condition": flags["fs_condition"],
        "default_fps": flags["default_fs"],
        "dropout": flags["dropout"],
        "scale_shift_norm": flags["use_scale_shift_norm"],
        "resample": resample,
    }
    return from_dict(UNetConfig, values, "unet")


def unet_from_original(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> VideoUNet:
    """The U-Net with the original's weights, in float32 and training mode.

    Args:
        state_dict: tensors by original key, e.g. ``input_blocks.0.0.weight``.
        config: flags of the original constructor, see :data:`UNET_FLAGS`.

    Raises:
        InputError: see :func:`unet_config_from_original`; or a key is missing, unexpected or misshapen, naming it.
    """
    own = unet_config_from_original(config)
    with torch.device("meta"):
        net = VideoUNet(own)
    matches = unet_key_matches(net, use_linear=bool(config.get("use_linear", UNET_FLAGS["use_linear"])))
    empty(net)
    load_original(net, matches, state_dict, "unet.state_dict")
    if config.get("use_checkpoint", UNET_FLAGS["use_checkpoint"]):
        net.enable_gradient_checkpointing()
    return net


def resampler_from_original(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Resampler:
    """The resampler with the original's weights, in float32.

    Args:
        state_dict: tensors by original key, e.g. ``latents`` or ``layers.0.0.to_q.weight``.
        config: flags of the original constructor, see :data:`RESAMPLER_FLAGS`. Without ``video_length``, the tokens
            are for a single frame.

    Raises:
        InputError: an unknown flag, or a key is missing, unexpected or misshapen, naming it.
    """
    flags = complete_flags("resampler", config, RESAMPLER_FLAGS)
    if flags["video_length"] is None:
        flags["video_length"] = 1
    with torch.device("meta"):
        resampler = Resampler(from_dict(ResamplerConfig, flags, "resampler"))
    matches = resampler_key_matches(resampler)
    empty(resampler)
    load_original(resampler, matches, state_dict, "resampler.state_dict")
    return resampler


def resampler_key_matches(resampler: Resampler) -> list[KeyMatch]:
    """Key matches of a resampler. Only names and shapes are read."""
    inside = {
        "attention.norm_image": "0.norm1",
        "attention.norm_latents": "0.norm2",
        "attention.to_q": "0.to_q",
        "attention.to_kv": "0.to_kv",
        "attention.to_out": "0.to_out",
        "norm": "1.0",
        "ff_in": "1.1",
        "ff_out": "1.3",
    }
    matches = []
    for name, tensor in resampler.state_dict().items():
        original = name
        if name.startswith("layers."):
            _, index, rest = name.split(".", 2)
            layer, leaf = rest.rsplit(".", 1)
            original = f"layers.{index}.{inside[layer]}.{leaf}"
        matches.append(KeyMatch(original, tuple(tensor.shape), (name,)))
    return matches


def _ints(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"unet.{name}", f"must be a list of integers, found {value!r}")
    return tuple(value)
