"""Tiny checkpoints in the original layout, made of the golden files beside this one, or small enough to generate with.

The golden one joins networks that the original code has computed numbers with: their sizes do not fit each other, so it
is for comparing weights and single networks. The small one fits together.
"""

from __future__ import annotations

import gzip
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from mask2iv.config import to_dict
from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.official.layout import OriginalConfig, original_parts

EPSILON = NoiseScheduleConfig(rescale_betas_zero_snr=False, prediction_type="epsilon", base_scale=None)
MERGES = ["h a", "ha n", "han d</w>", "b o", "bo x</w>", "p u", "pu s", "pus h", "i n", "in g</w>"]


def _loader() -> ModuleType:
    name = "tests_loader"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("loader.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def golden_checkpoint(unet: str = "unet_tiny_12ch") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(state dict by original key, what ``--config`` takes), of the golden networks."""
    load = _loader().load_golden
    parts = {name: load(name) for name in (unet, "resampler_tiny", "vae_tiny", "clip_tiny")}
    schedule = EPSILON if unet.endswith("alpha") else NoiseScheduleConfig()
    clip = parts["clip_tiny"].weights
    state = NoiseSchedule(schedule).checkpoint_buffers()
    state |= {f"model.diffusion_model.{key}": value for key, value in parts[unet].weights.items()}
    state |= {f"first_stage_model.{key}": value for key, value in parts["vae_tiny"].weights.items()}
    state |= {f"cond_stage_model.model.{key}": v for key, v in clip.items() if not key.startswith("visual.")}
    state |= {f"embedder.model.{key}": v for key, v in clip.items() if not key.startswith("transformer.")}
    state |= {f"image_proj_model.{key}": value for key, value in parts["resampler_tiny"].weights.items()}
    config = OriginalConfig(
        unet=parts[unet].info["config"],
        resampler=parts["resampler_tiny"].info["config"],
        autoencoder=parts["vae_tiny"].info["ddconfig"],
        clip=parts["clip_tiny"].info["config"],
        schedule=schedule,
        height=64,
        width=128,
    )
    return state, to_dict(config)


def small_checkpoint(channels: int = 12, seed: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(state dict by original key, what ``--config`` takes) of a model of the original's shape that can generate."""
    base = OriginalConfig()
    config = OriginalConfig(
        unet={
            **base.unet,
            "in_channels": channels,
            "model_channels": 32,
            "channel_mult": [1, 2],
            "num_res_blocks": 1,
            "attention_resolutions": [2, 1],
            "num_head_channels": 16,
            "context_dim": 32,
            "temporal_length": 4,
        },
        resampler={
            "dim": 32,
            "depth": 1,
            "dim_head": 16,
            "heads": 2,
            "num_queries": 16,
            "embedding_dim": 32,
            "output_dim": 32,
            "video_length": 4,
        },
        autoencoder={"ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1},
        clip={
            "embed_dim": 32,
            "vision_cfg": {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
            "text_cfg": {
                "context_length": 77,
                "vocab_size": 514 + len(MERGES),
                "width": 32,
                "heads": 2,
                "layers": 2,
            },
        },
        height=32,
        width=64,
    )
    weight = _loader().golden_weight
    state = NoiseSchedule(config.schedule).checkpoint_buffers()
    for part in original_parts(config, channels):
        shapes = {match.original: match.shape for match in part.matches} | dict(part.leftovers)
        # As in the published checkpoints: what the image part repeats of the text part is the same.
        prefixes = ["cond_stage_model.model." if key in _REPEATED else part.prefix for key in shapes]
        own = seed if part.name in ("unet", "resampler") else ""
        state |= {
            part.prefix + key: weight(own + prefix + key, shape)
            for prefix, (key, shape) in zip(prefixes, shapes.items(), strict=True)
        }
    return state, to_dict(config)


_REPEATED = {"positional_embedding", "token_embedding.weight", "ln_final.weight", "ln_final.bias", "text_projection"}


def write_vocabulary(path: Path) -> Path:
    """A vocabulary of :data:`MERGES` in the format of open_clip's bpe_simple_vocab_16e6.txt.gz."""
    path.write_bytes(gzip.compress(("#version: 0.2\n" + "\n".join(MERGES) + "\n").encode()))
    return path
