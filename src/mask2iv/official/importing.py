"""Import: from a checkpoint of the original code to a model folder, without ever holding a network in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from tqdm import tqdm

from mask2iv import config as configuration
from mask2iv.backbones.dynamicrafter.conditions import with_new_channels
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError, within
from mask2iv.files import atomic_directory, disk_faults, sha256_file, write_json
from mask2iv.manifest import versions
from mask2iv.models.text import REMEDY
from mask2iv.official.encoders import text_config_from_original
from mask2iv.official.inventory import KeyInventory, classify_keys, save_extras
from mask2iv.official.layout import (
    FIRST_CONV,
    Layout,
    OriginalConfig,
    Part,
    detect_layout,
    original_parts,
    preset,
)
from mask2iv.official.source import OriginalCheckpoint
from mask2iv.official.tokenizer import clip_tokenizer, empty_prompt_tokenizer, find_vocabulary
from mask2iv.pipelines.components import SHARD_BYTES, save_component, write_weights
from mask2iv.pipelines.folder import write_index
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning
from mask2iv.stages.config import PipelineConfig

StageKind = Literal["trajectory-text", "trajectory-position", "video", "dynamicrafter"]
StageName = Literal["trajectory", "video"]
NewChannels = Literal["zero", "copy"]

DTYPES: Mapping[str, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
REPORT = "import_report.json"


@dataclass(frozen=True)
class ImportSettings:
    """How a checkpoint is imported.

    Attributes:
        stage: what the checkpoint is.
        dtype: stored precision, "fp16", "bf16" or "fp32".
        tokenizer: see :func:`mask2iv.official.tokenizer.find_vocabulary`.
        layout: the published model; "auto" detects it.
        config: JSON file with an :class:`OriginalConfig`, for a model of other sizes.
        new_channels: weights of the input channels that DynamiCrafter lacks: zeros, or a copy of the image latent's.
        widen_for: the stages to make from DynamiCrafter; "none" keeps it as an image-to-video network in place of
            stage 2.
        ignore_keys: groups of keys without a place here that may be left out; see
            :func:`mask2iv.official.inventory.unknown_groups`. Any other such key is an error.
        shard_bytes: see :func:`mask2iv.pipelines.components.write_weights`.
    """

    stage: StageKind
    dtype: str = "fp16"
    tokenizer: str | None = None
    layout: Literal["auto"] | Layout = "auto"
    config: Path | None = None
    new_channels: NewChannels = "zero"
    widen_for: Literal["trajectory", "video", "both", "none"] = "both"
    ignore_keys: tuple[str, ...] = ()
    shard_bytes: int = SHARD_BYTES

    @property
    def stages(self) -> tuple[StageName, ...]:
        """The stages whose networks are written."""
        if self.stage == "dynamicrafter" and self.widen_for == "both":
            return ("trajectory", "video")
        if self.stage == "dynamicrafter" and self.widen_for == "trajectory":
            return ("trajectory",)
        if self.stage == "dynamicrafter":
            return ("video",)
        return ("video",) if self.stage == "video" else ("trajectory",)

    @property
    def widens(self) -> bool:
        """Whether the U-Net gains input channels that the checkpoint lacks."""
        return self.stage == "dynamicrafter" and self.widen_for != "none"

    @property
    def takes_text(self) -> bool:
        """Whether prompts other than the empty one are encoded."""
        return self.stage in ("trajectory-text", "dynamicrafter")


def import_checkpoint(path: Path, out: Path, settings: ImportSettings) -> dict[str, Any]:
    """Write the model folder ``out`` from the checkpoint ``path``. Returns the contents of ``import_report.json``.

    Raises:
        InputError: an unusable checkpoint (see :class:`OriginalCheckpoint`), a missing or misshapen key or one without
            a place here, an unknown layout, no vocabulary where prompts are needed, or a folder that is not empty.
            Nothing is left behind.
    """
    source = OriginalCheckpoint(path)
    layout, config = _config(source, settings)
    parts = original_parts(config, _channels(source, config, settings.stage))
    vocabulary_size = text_config_from_original(config.clip).vocab_size
    vocabulary = find_vocabulary(settings.tokenizer, vocabulary_size)
    if vocabulary is None and settings.takes_text:
        raise InputError("tokenizer", f"the stage {settings.stage} takes prompts and needs the CLIP vocabulary", REMEDY)
    length = text_config_from_original(config.clip).max_position_embeddings
    tokenizer = clip_tokenizer(vocabulary, length) if vocabulary else empty_prompt_tokenizer(vocabulary_size, length)
    inventory = classify_keys(source, parts, NoiseSchedule(config.schedule), settings.ignore_keys)
    scheduler = DDIMScheduler.from_schedule(config.schedule, config.timestep_spacing, eta=1.0)
    # A killed import leaves gigabytes under a hidden name.
    with atomic_directory(out) as folder, disk_faults(out):
        components = _write_networks(folder, source, parts, settings)
        for name, component in (("tokenizer", tokenizer), ("scheduler", scheduler)):
            save_component(folder, name, component)
            components[name] = type(component).__name__
        for stage in settings.stages:
            linear = bool(config.unet.get("use_linear", False))
            save_extras(folder, stage, inventory, linear, DTYPES[settings.dtype])
        # Not in pipeline_config: what a recipe trains here has seen clips that were fitted otherwise.
        pipeline = replace(pipeline_config(config, settings.stage), fit="centre")
        if settings.stage == "dynamicrafter" and not settings.widens:
            pipeline = replace(pipeline, video_conditioning=VideoConditioning(control="none", text=True))
        write_index(folder, pipeline, dict(sorted(components.items())))
        report = _report(source, settings, layout, inventory, prompts=vocabulary is not None)
        write_json(folder / REPORT, report)
    return report


def _config(source: OriginalCheckpoint, settings: ImportSettings) -> tuple[str, OriginalConfig]:
    """The layout's name and the model's configuration."""
    if settings.config is not None:
        if settings.layout != "auto":
            raise InputError(
                "layout", "cannot be given with a configuration", "both describe the model: keep one of them"
            )
        with within("config"):
            return "config", configuration.read_config(settings.config, OriginalConfig)
    if settings.layout != "auto":
        return settings.layout, preset(settings.layout)
    learned = any(key.endswith(".attn2.alpha") for key in source.shapes)
    if "betas" not in source.shapes and settings.stage != "dynamicrafter" and not learned:
        # A pruned file does not tell 512 from 1024; Mask2IV has been published at one size only.
        return "512", preset("512")
    scale = source.tensors()["scale_arr"].flatten() if "scale_arr" in source.shapes else None
    layout = detect_layout(source.shapes, float(scale[-1]) if scale is not None and len(scale) else None)
    return layout, preset(layout)


def _channels(source: OriginalCheckpoint, config: OriginalConfig, stage: StageKind) -> int:
    """Input channels of the checkpoint's U-Net: noisy latent, image latent and, in Mask2IV, one more condition.

    Raises:
        InputError: the checkpoint has another number of channels than the stage.
    """
    latent = int(config.unet.get("out_channels", 4))
    wanted = latent * (2 if stage == "dynamicrafter" else 3)
    shape = source.shapes.get(FIRST_CONV)
    if shape is not None and len(shape) == 4 and shape[1] != wanted:
        remedy = "choose another stage"
        if shape[1] == 2 * latent:
            remedy = "this is a plain DynamiCrafter: choose the stage dynamicrafter to widen it for training"
        elif shape[1] == 3 * latent:
            remedy = "this is a Mask2IV checkpoint: choose the stage trajectory-text, trajectory-position or video"
        problem = f"{FIRST_CONV} must take {wanted} channels in the stage {stage}, found {shape[1]}"
        raise InputError("checkpoint", problem, remedy)
    return wanted


def pipeline_config(config: OriginalConfig, stage: StageKind) -> PipelineConfig:
    """The settings of official inference.

    Mask2IV runs without guidance at 15 frames per second, DynamiCrafter with guidance 7.5. Of the stage 2 networks,
    only an unwidened DynamiCrafter takes a prompt.
    """
    plain = stage == "dynamicrafter"
    layout: MaskLayout = "position" if stage == "trajectory-position" else "text"
    return PipelineConfig(
        height=config.height,
        width=config.width,
        num_frames=config.num_frames,
        fps=config.fps if plain else 15.0,
        mask_layout=layout,
        latent_patch=1,
        text_skip_last=1,
        drop_image_in_guidance=True,
        num_inference_steps=50,
        video_num_inference_steps=50,
        guidance_scale=7.5 if plain else 1.0,
        video_guidance_scale=7.5 if plain else 1.0,
        guidance_rescale=config.guidance_rescale if plain else 0.7,
        eta=1.0,
        snapping="channels",
    )


def _write_networks(
    folder: Path, source: OriginalCheckpoint, parts: Sequence[Part], settings: ImportSettings
) -> dict[str, str]:
    """Write each network's folder. Returns the class name of each component."""
    plan: list[tuple[str, Part, Callable[[Tensor], Tensor] | None]] = []
    for part in parts:
        if part.name not in ("unet", "resampler"):
            plan.append((part.name, part, None))
            continue
        for stage in settings.stages:
            if part.name == "unet" and settings.widens:
                plan.append((f"{stage}_unet", _widened(part), _widening(settings.new_channels)))
            else:
                plan.append((f"{stage}_{part.name}", part, None))
    total = sum(tensor.numel() for _, part, _ in plan for tensor in part.module.state_dict().values())
    with tqdm(total=total, unit="", unit_scale=True, desc="import") as bar:
        for name, part, widen in plan:
            target = folder / name
            target.mkdir()
            _write_part(target, part, source, settings, widen, bar)
            write_part_config(target, part, DTYPES[settings.dtype])
    return {name: type(part.module).__name__ for name, part, _ in plan}


def _write_part(
    folder: Path,
    part: Part,
    source: OriginalCheckpoint,
    settings: ImportSettings,
    widen: Callable[[Tensor], Tensor] | None,
    bar: tqdm,
) -> None:
    dtype = DTYPES[settings.dtype]
    origins = {
        own: (part.prefix + match.original, index, len(match.own))
        for match in part.matches
        for index, own in enumerate(match.own)
    }
    like = {
        name: torch.empty(tensor.shape, dtype=dtype, device="meta") for name, tensor in part.module.state_dict().items()
    }

    def read(names: Sequence[str]) -> dict[str, Tensor]:
        # Reopened for each file: pages that were read stay in memory as long as the mapping does.
        tensors = source.tensors()
        found = {}
        for name in names:
            key, index, count = origins[name]
            tensor = tensors[key].chunk(count)[index] if count > 1 else tensors[key]
            if widen is not None and key == FIRST_CONV:
                tensor = widen(tensor)
            found[name] = _converted(key, tensor, dtype)
            bar.update(like[name].numel())
        return found

    write_weights(folder, part.file_name, like, read, settings.shard_bytes)


def _converted(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy in another precision.

    Raises:
        InputError: NaN or infinite values, in the checkpoint or after the conversion.
    """
    converted = tensor.to(dtype, copy=True)
    if not bool(torch.isfinite(converted).all()):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                "checkpoint", f"{key} holds values that are not finite", "the file is damaged: download it again"
            )
        largest = float(tensor.abs().max())
        raise InputError("dtype", f"{key} holds {largest:.3g}, beyond the range of this precision", "use bf16 or fp32")
    return converted


def _widened(part: Part) -> Part:
    """The part with a U-Net that takes one more condition."""
    unet = cast(VideoUNet, part.module)
    with torch.device("meta"):
        wider = VideoUNet(replace(unet.config, in_channels=unet.config.in_channels // 2 * 3))
    return replace(part, module=wider)


def _widening(how: NewChannels) -> Callable[[Tensor], Tensor]:
    """The function that makes a stage's first convolution from DynamiCrafter's, of [noisy latent, image latent]."""
    return lambda weight: with_new_channels(weight, weight.shape[1] // 2, copy=how == "copy")


def write_part_config(folder: Path, part: Part, dtype: torch.dtype) -> None:
    """Write ``config.json`` in the form that the part's class reads."""
    module: Any = part.module
    if part.name in ("unet", "resampler"):
        write_json(folder / "config.json", {"_class_name": type(module).__name__, **module.config.to_dict()})
    elif part.name == "vae":
        module.save_config(folder)
    else:
        module.config.architectures = [type(module).__name__]
        module.config.dtype = dtype
        module.config.save_pretrained(folder)


def _report(
    source: OriginalCheckpoint, settings: ImportSettings, layout: str, inventory: KeyInventory, prompts: bool
) -> dict[str, Any]:
    return {
        "command": "import",
        "source": {
            "file": source.path.name,
            "sha256": sha256_file(source.path),
            "container": source.container,
            "prefix": source.prefix,
            "renamed": source.renamed,
        },
        "stage": settings.stage,
        "layout": layout,
        "dtype": settings.dtype,
        "prompts": prompts,
        "widened": {"for": list(settings.stages), "new_channels": settings.new_channels} if settings.widens else None,
        "keys": inventory.to_dict(),
        "versions": versions(),
    }
