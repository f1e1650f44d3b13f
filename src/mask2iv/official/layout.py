"""The layout of original checkpoints: their parts, keys and sizes, and the three published variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import CLIPTextModel, CLIPVisionModel

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.config import from_dict
from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.errors import InputError
from mask2iv.official.encoders import (
    VIT_H_14,
    clip_key_matches,
    image_config_from_original,
    image_leftovers,
    text_config_from_original,
    text_leftovers,
    vae_key_matches,
    vae_model,
)
from mask2iv.official.keys import KeyMatch, complete_flags, unet_key_matches
from mask2iv.official.networks import (
    RESAMPLER_FLAGS,
    UNET_FLAGS,
    resampler_key_matches,
    unet_config_from_original,
)
from mask2iv.pipelines.components import WEIGHTS

Layout = Literal["256", "512", "1024"]
PartName = Literal["unet", "resampler", "vae", "text_encoder", "image_encoder"]

PREFIXES: Mapping[PartName, str] = {
    "unet": "model.diffusion_model.",
    "resampler": "image_proj_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.model.",
    "image_encoder": "embedder.model.",
}
FIRST_CONV = "model.diffusion_model.input_blocks.0.0.weight"
_CLIP_WEIGHTS = "model.safetensors"


def _unet_512() -> dict[str, Any]:
    return {
        "in_channels": 8,
        "out_channels": 4,
        "model_channels": 320,
        "attention_resolutions": [4, 2, 1],
        "num_res_blocks": 2,
        "channel_mult": [1, 2, 4, 4],
        "dropout": 0.1,
        "num_head_channels": 64,
        "transformer_depth": 1,
        "context_dim": 1024,
        "use_linear": True,
        "temporal_conv": True,
        "temporal_attention": True,
        "temporal_selfatt_only": True,
        "use_relative_position": False,
        "use_causal_attention": False,
        "temporal_length": 16,
        "addition_attention": True,
        "image_cross_attention": True,
        "default_fs": 24,
        "fs_condition": True,
    }


def _resampler_512() -> dict[str, Any]:
    return {"depth": 4, "heads": 12, "num_queries": 16, "embedding_dim": 1280, "video_length": 16}


@dataclass(frozen=True)
class OriginalConfig:
    """The constructor flags of an original model. The defaults are those of DynamiCrafter-512.

    Attributes:
        unet: flags of the U-Net, see :data:`mask2iv.official.networks.UNET_FLAGS`. ``in_channels`` is replaced by the
            checkpoint's.
        resampler: flags of the resampler, see :data:`mask2iv.official.networks.RESAMPLER_FLAGS`.
        autoencoder: the ``ddconfig``, see :data:`mask2iv.official.encoders.VAE_FLAGS`.
        clip: open_clip's configuration of both encoders.
        schedule: the noise schedule.
        timestep_spacing: how DDIM spaces its timesteps.
        height, width: clip size in pixels.
        fps: DynamiCrafter's frame-rate condition.
        guidance_rescale: DynamiCrafter's guidance rescale factor.
    """

    unet: dict[str, Any] = field(default_factory=_unet_512)
    resampler: dict[str, Any] = field(default_factory=_resampler_512)
    autoencoder: dict[str, Any] = field(default_factory=dict)
    clip: dict[str, Any] = field(default_factory=lambda: dict(VIT_H_14))
    schedule: NoiseScheduleConfig = field(default_factory=NoiseScheduleConfig)
    timestep_spacing: Literal["uniform", "uniform_trailing"] = "uniform_trailing"
    height: int = 320
    width: int = 512
    fps: float = 24.0
    guidance_rescale: float = 0.7

    @property
    def num_frames(self) -> int:
        """Frames of a clip (T)."""
        flags = complete_flags("resampler", self.resampler, RESAMPLER_FLAGS)
        return from_dict(
            ResamplerConfig, {**flags, "video_length": flags["video_length"] or 1}, "resampler"
        ).video_length


def preset(layout: Layout) -> OriginalConfig:
    """The configuration of the published model of this width."""
    base = OriginalConfig()
    if layout == "512":
        return base
    if layout == "1024":
        schedule = replace(base.schedule, base_scale=0.3)
        return replace(base, unet={**base.unet, "default_fs": 10}, schedule=schedule, height=576, width=1024, fps=10.0)
    return replace(
        base,
        unet={**base.unet, "default_fs": 3, "image_cross_attention_scale_learnable": True},
        schedule=NoiseScheduleConfig(rescale_betas_zero_snr=False, prediction_type="epsilon", base_scale=None),
        timestep_spacing="uniform",
        height=256,
        width=256,
        fps=3.0,
        guidance_rescale=0.0,
    )


def detect_layout(keys: Iterable[str], final_scale: float | None) -> Layout:
    """The published model that a checkpoint belongs to.

    Args:
        keys: the checkpoint's keys.
        final_scale: last value of its ``scale_arr``; None if it has none.

    Raises:
        InputError: it belongs to none of them.
    """
    learned = any(key.endswith(".attn2.alpha") for key in keys)
    if learned and final_scale is None:
        return "256"
    if not learned and final_scale is not None:
        for layout, scale in (("512", 0.7), ("1024", 0.3)):
            if abs(final_scale - scale) < 1e-2:
                return cast(Layout, layout)
    found = f"scale_arr ending in {final_scale:.3f}" if final_scale is not None else "no scale_arr"
    raise InputError(
        "layout auto",
        f"must be 256, 512 or 1024, found {found} and {'' if learned else 'no '}attn2.alpha keys",
        "name the layout, or describe the model in a configuration",
    )


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint.

    Attributes:
        name: the network's name.
        module: the network here, on the meta device.
        matches: its tensors, by key without the prefix.
        leftovers: shapes of the tensors that no network uses, by key without the prefix.
    """

    name: PartName
    module: nn.Module
    matches: list[KeyMatch]
    leftovers: Mapping[str, tuple[int, ...]]

    @property
    def prefix(self) -> str:
        """Prefix of its keys in a complete checkpoint."""
        return PREFIXES[self.name]

    @property
    def file_name(self) -> str:
        """Name of its weight file here."""
        return _CLIP_WEIGHTS if self.name in ("text_encoder", "image_encoder") else WEIGHTS


def original_parts(config: OriginalConfig, in_channels: int) -> list[Part]:
    """The five networks of a checkpoint, on the meta device.

    Raises:
        InputError: a flag is unknown, missing or unsupported, naming it.
    """
    flags = {**config.unet, "in_channels": in_channels}
    unet_config = unet_config_from_original(flags)
    resampler_flags = complete_flags("resampler", config.resampler, RESAMPLER_FLAGS)
    resampler_config = ResamplerConfig(**{**resampler_flags, "video_length": config.num_frames})
    text_config, image_config = text_config_from_original(config.clip), image_config_from_original(config.clip)
    with torch.device("meta"):
        unet, resampler = VideoUNet(unet_config), Resampler(resampler_config)
        autoencoder = vae_model(config.autoencoder, config.autoencoder.get("z_channels", 4))
        text, image = CLIPTextModel(text_config), CLIPVisionModel(image_config)
    linear = bool(flags.get("use_linear", UNET_FLAGS["use_linear"]))
    return parts_of_networks(unet, resampler, autoencoder, text, image, linear)


def parts_of_networks(
    unet: VideoUNet,
    resampler: Resampler,
    autoencoder: Any,
    text: CLIPTextModel,
    image: CLIPVisionModel,
    use_linear: bool = True,
) -> list[Part]:
    """The checkpoint parts of these networks. Only names, shapes and configurations are read."""
    return [
        Part("unet", unet, unet_key_matches(unet, use_linear), {}),
        Part("resampler", resampler, resampler_key_matches(resampler), {}),
        Part("vae", cast(nn.Module, autoencoder), vae_key_matches(autoencoder), {}),
        Part("text_encoder", cast(nn.Module, text), clip_key_matches(text), text_leftovers(text.config)),
        Part(
            "image_encoder", cast(nn.Module, image), clip_key_matches(image), image_leftovers(text.config, image.config)
        ),
    ]
