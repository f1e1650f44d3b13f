"""Export: from a model folder to a checkpoint in the original code's layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mask2iv.errors import InputError
from mask2iv.files import atomic_write, reason
from mask2iv.official.importing import DTYPES
from mask2iv.official.inventory import load_extras
from mask2iv.official.layout import PREFIXES, Part, parts_of_networks
from mask2iv.pipelines.components import load_component, stored_dtype
from mask2iv.pipelines.folder import model_folder, read_index
from mask2iv.stages.config import PipelineConfig

_SHARED = {"vae": "AutoencoderKL", "text_encoder": "CLIPTextModel", "image_encoder": "CLIPVisionModel"}


@dataclass(frozen=True)
class ExportSummary:
    """What an exported checkpoint holds.

    Attributes:
        tensors: number of tensors.
        dtype: precision of the weights; schedule tables are float32.
        zeroed: keys written as zeros: no network uses them, and the folder does not hold them.
        copied: keys that the original stores twice, written as copies of the text encoder's tensors.
        left_out: components that have no place in the layout.
    """

    tensors: int
    dtype: str
    zeroed: list[str]
    copied: list[str]
    left_out: list[str]


def export_checkpoint(
    model: str | Path, stage: Literal["trajectory", "video"], out: Path, dtype: str | None = None
) -> ExportSummary:
    """Write a stage as a checkpoint of the original code: ``{"state_dict": ...}``, or safetensors, by the suffix.

    An imported folder gives back every tensor it was made from, in the precision it was imported with. A model trained
    here lacks the tensors that the original stores without using them: those that repeat the text encoder are copied
    from it, the others are zeros.

    In the stored precision, the networks are mapped from disk; for another one, the whole checkpoint is held in memory.

    Args:
        model: the model folder.
        stage: the stage to write.
        out: the file, .ckpt or .safetensors; must not exist.
        dtype: "fp16", "bf16" or "fp32"; None keeps the stored precision.

    Raises:
        InputError: the folder lacks the stage, or a network is not of the original architecture.
    """
    if out.suffix not in (".ckpt", ".safetensors"):
        raise InputError("out", f"must end in .ckpt or .safetensors, found {out}")
    if out.exists():
        raise InputError("out", f"{out} exists already", "choose another name, or remove it")
    folder = model_folder(model)
    config, names = read_index(folder)
    _check_layout(folder, config, names, stage)
    precision = DTYPES[dtype] if dtype else stored_dtype(folder, f"{stage}_unet")
    loaded = {
        name: load_component(folder, name, names[name], precision)
        for name in (f"{stage}_unet", f"{stage}_resampler", *_SHARED)
    }
    # An image-to-video network takes no masks.
    conditions = 2 if stage == "trajectory" or config.video_conditioning.takes_masks else 1
    _check_networks(folder, loaded[f"{stage}_unet"], loaded["vae"], conditions)
    extras, aliases, use_linear = load_extras(folder, stage) or ({}, {}, True)
    parts = parts_of_networks(
        loaded[f"{stage}_unet"],
        loaded[f"{stage}_resampler"],
        loaded["vae"],
        loaded["text_encoder"],
        loaded["image_encoder"],
        use_linear,
    )
    scheduler = load_component(folder, "scheduler", names["scheduler"], precision)
    state = scheduler.schedule.checkpoint_buffers()
    for part in parts:
        state |= _original_tensors(part)
    zeroed, copied = _add_leftovers(state, parts, extras, aliases, precision)
    _write(out, state)
    left_out = [name for name in names if name == "reference_decoder"]
    return ExportSummary(len(state), str(precision).removeprefix("torch."), zeroed, copied, left_out)


def _check_layout(folder: Path, config: PipelineConfig, names: Mapping[str, str], stage: str) -> None:
    for name, kind in (
        (f"{stage}_unet", "VideoUNet"),
        (f"{stage}_resampler", "Resampler"),
        *_SHARED.items(),
        ("scheduler", "DDIMScheduler"),
    ):
        if name not in names:
            raise InputError(
                "model", f"{folder} has no {name}", f"give a folder with the stage {stage}, or another stage"
            )
        if names[name] != kind:
            raise _foreign(folder, f"its {name} is of class {names[name]}, not {kind}")
    if config.latent_patch != 1:
        raise _foreign(folder, f"its latents are grouped (latent_patch {config.latent_patch}, not 1)")
    if stage == "trajectory" and config.mask_layout == "joint":
        raise _foreign(folder, "its stage 1 has the mask layout 'joint', which takes an additional condition")
    if (config.trajectory_change_std if stage == "trajectory" else config.video_change_std) is not None:
        raise _foreign(folder, f"its {stage} stage predicts changes relative to the first frame ({stage}_change_std)")


def _check_networks(folder: Path, unet: Any, vae: Any, conditions: int) -> None:
    sizes, kl = unet.config, vae.config
    channels = (1 + conditions) * kl["latent_channels"]
    if sizes.in_channels != channels:
        raise _foreign(folder, f"its U-Net takes {sizes.in_channels} channels, not {channels}")
    if (sizes.text_tokens, sizes.image_tokens_per_frame) != (77, 16):
        raise _foreign(folder, "its U-Net does not take 77 text tokens and 16 image tokens per frame")
    plain = set(kl["down_block_types"]) == {"DownEncoderBlock2D"} and set(kl["up_block_types"]) == {"UpDecoderBlock2D"}
    if not plain or not kl["mid_block_add_attention"] or not kl["use_quant_conv"] or not kl["use_post_quant_conv"]:
        raise _foreign(folder, "its autoencoder has other blocks")


def _foreign(folder: Path, why: str) -> InputError:
    return InputError(
        "model",
        f"{folder} is not of the original architecture: {why}",
        "only models with the original's networks can be exported",
    )


def _original_tensors(part: Part) -> dict[str, Tensor]:
    own = part.module.state_dict()
    return {
        part.prefix + match.original: (
            torch.cat([own[name] for name in match.own]) if len(match.own) > 1 else own[match.own[0]]
        ).reshape(match.shape)
        for match in part.matches
    }


def _add_leftovers(
    state: dict[str, Tensor],
    parts: list[Part],
    extras: Mapping[str, Tensor],
    aliases: Mapping[str, str],
    dtype: torch.dtype,
) -> tuple[list[str], list[str]]:
    """Add the tensors that the original stores but no network uses. Returns the keys of zeros and of copies."""
    prefixes = tuple(PREFIXES.values())
    state |= {key: value.to(dtype) if key.startswith(prefixes) else value for key, value in extras.items()}
    zeroed, copied = [], []
    for part in parts:
        for name, shape in part.leftovers.items():
            key = part.prefix + name
            if key in extras:
                continue
            twin = aliases.get(key, PREFIXES["text_encoder"] + name)
            if twin in state and twin not in zeroed:
                state[key] = state[twin]
                copied += [] if key in aliases else [key]
            else:
                state[key] = torch.zeros(shape, dtype=dtype)
                zeroed.append(key)
    return zeroed, copied


def _write(out: Path, state: Mapping[str, Tensor]) -> None:
    # For tensors that share storage, torch.save would write all of it, and safetensors would refuse.
    seen: set[int] = set()
    separate = {}
    for key, value in state.items():
        tensor = value.detach().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(storage.data_ptr())
        separate[key] = tensor
    with atomic_write(out) as temporary:
        try:
            if out.suffix == ".ckpt":
                # Into an open file: given a path, torch writes the temporary name into the file.
                with temporary.open("wb") as file:
                    torch.save({"state_dict": separate}, file)
            else:
                save_file(separate, temporary, metadata={"format": "pt"})
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InputError(
                "out", f"cannot write {out}: {reason(error)}", "free some space, or write elsewhere"
            ) from error
