"""Whether a training run can start: what its component needs is there, and the networks to start from fit the recipe.

Nothing is written and no weights are read, only the JSON files of model folders. A dry run checks the same. What
needs PyTorch comes last, and is imported there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mask2iv import config
from mask2iv.data.dataset import select_frames
from mask2iv.errors import InputError, within
from mask2iv.pipelines.folder import INDEX, read_index
from mask2iv.recipes import Recipe
from mask2iv.training.options import TrainingOptions

FROZEN = ("vae", "tokenizer", "text_encoder", "image_encoder", "reference_decoder")
"""Components that a stage needs but does not train."""
VIDEO_NETWORKS = ("video_unet", "video_resampler", "video_controlnet")
ADOPTED: Mapping[str, tuple[str, ...]] = {
    "painter": FROZEN,
    "planner": (*FROZEN, "painter"),
    "trajectory": FROZEN,
    "video": FROZEN,
    "reference": (*FROZEN[:-1], *VIDEO_NETWORKS, "scheduler"),
}
"""What a component's run copies from the folder that it starts from, besides its own network, where the model folder
lacks it."""
_OTHERS: Mapping[str, tuple[str, ...]] = {
    "painter": ("painter",),
    "planner": ("planner",),
    "trajectory": ("trajectory_unet", "trajectory_resampler", "painter", "planner"),
    "video": VIDEO_NETWORKS,
    "reference": ("reference_decoder",),
}
"""What is not taken along for a whole model: the component's own networks, and those that would be used in their
place."""
_TEXT = {"tokenizer": "encoders", "text_encoder": "encoders"}
_STAGE = {"vae": "vae", **_TEXT, "image_encoder": "encoders"}
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "vae": {},
    "encoders": {},
    "painter": _TEXT,
    "planner": {**_TEXT, "painter": "painter"},
    "trajectory": _STAGE,
    "video": _STAGE,
    "reference": {"vae": "vae"},
}
"""Components that a run loads, and what trains each."""
_OF_WEIGHTS = (
    "num_frames",
    "mask_layout",
    "video_conditioning",
    "latent_patch",
    "trajectory_change_std",
    "video_change_std",
    "text_skip_last",
    "snapping",
)
"""Settings of a pipeline that its weights were trained with; the others are defaults, which may differ."""


def adopted(component: str, given: Collection[str], complete: bool) -> list[str]:
    """The components that a run copies from the folder that it starts from, where the model folder lacks them.

    Args:
        component: that is trained.
        given: the folder's components.
        complete: whether the result is to be a whole model.
    """
    if complete:
        return [name for name in given if name not in _OTHERS[component]]
    return [name for name in ADOPTED.get(component, ()) if name in given]


def check_start(options: TrainingOptions, recipe: Recipe) -> None:
    """Check all that can be known before the first step.

    Raises:
        InputError: the clips, the model folder, the networks to start from or the device do not fit the recipe.
    """
    initial, sets = options.starting_folder(), options.clips()
    if initial is None and options.component in ("trajectory", "video"):
        recipe.of(options.component).training.require_whole()
    if options.complete:
        _check_complete(options, recipe, initial)
    folders = _folders(options, initial)
    for name, trained_by in _NEEDED[options.component].items():
        if name not in folders:
            raise lacking(recipe, options.out, name, trained_by)
    if options.component in ("trajectory", "video"):
        _check_stage(options, recipe, initial)
    elif initial is not None:
        _check_sizes(options.component, recipe, initial, folders)
    for field, clips in zip(("data", "held_out"), sets, strict=True):
        try:
            select_frames(clips.num_frames, recipe.pipeline.num_frames)
        except InputError as error:
            problem = f"its clips have {clips.num_frames} frames, the recipe takes {recipe.pipeline.num_frames}"
            raise InputError(field, problem, "set pipeline.num_frames lower, or make longer clips") from error
    from mask2iv.training.engine.checkpoint import resolve_checkpoint
    from mask2iv.training.engine.processes import check_device
    from mask2iv.training.engine.resume import refuse_old_run

    check_device(recipe.of(options.component).training, options.device)
    if options.component == "reference":
        from mask2iv.training.networks.reference_decoder import check_reference

        pipeline, processes = recipe.pipeline, int(os.environ.get("WORLD_SIZE", "1"))
        size = (pipeline.height, pipeline.width)
        check_reference(recipe.of("reference"), size, pipeline.num_frames, processes)
    directory = options.out / "training" / options.component
    if options.resume_from_checkpoint is None:
        refuse_old_run(directory)
    else:
        resolve_checkpoint(directory, options.resume_from_checkpoint)


def _check_complete(options: TrainingOptions, recipe: Recipe, initial: Path | None) -> None:
    """Whether the rest of a model goes with the component that is trained."""
    if initial is None or options.image_to_video is not None:
        raise InputError("complete", "the rest of a model comes from the one to start from", "give `initial_weights`")
    settings, given = read_index(initial)
    other = [name for name in _OF_WEIGHTS if getattr(recipe.pipeline, name) != getattr(settings, name)]
    if other:
        raise InputError(
            "complete",
            f"{initial} has another {', '.join(other)} than recipe {recipe.name}",
            "leave it out, or use the recipe that these weights were trained with",
        )
    if options.component == "painter" and "planner" in given and recipe.of("painter").adversarial_from:
        raise InputError(
            "complete",
            f"the planner of {initial} draws shape codes, which would mean something else to the trained painter",
            "set painter.adversarial_from to 0, which leaves their encoder as it is",
        )


def lacking(recipe: Recipe, folder: Path, name: str, trained_by: str) -> InputError:
    """The error of a model folder without a component that is needed."""
    if trained_by in recipe.components:
        return InputError("out", f"{folder} holds no {name} yet", f"train {trained_by} into it first")
    return InputError(
        "recipe", f"{recipe.name} trains no {name}", "give the imported folder that has it as initial weights"
    )


def _folders(options: TrainingOptions, initial: Path | None) -> dict[str, Path]:
    """The folder of each component that the run will find in its model folder."""
    found = {}
    if initial is not None:
        given = read_index(initial)[1]
        found = {name: initial / name for name in adopted(options.component, given, options.complete)}
    if (options.out / INDEX).is_file():
        found |= {name: options.out / name for name in read_index(options.out, "out")[1]}
    return found


def _check_sizes(component: str, recipe: Recipe, initial: Path, folders: Mapping[str, Path]) -> None:
    """Painter, planner and reference decoder to start from."""
    name = "reference_decoder" if component == "reference" else component
    if name not in read_index(initial)[1]:
        return  # the run prints a notice that it starts from random weights
    sizes: dict[str, Any]
    if component == "reference":
        sizes = reference_sizes(recipe)
    else:
        text_width = _values(folders["text_encoder"])["hidden_size"]
        if component == "painter":
            sizes = painter_sizes(recipe, text_width)
        else:
            sizes = planner_sizes(recipe, _values(folders["painter"])["code"], text_width)
    refuse_other_sizes(initial, name, _values(initial / name), sizes)


def painter_sizes(recipe: Recipe, text_width: int) -> dict[str, Any]:
    """What the configuration of a painter to start from must contain."""
    own = recipe.of("painter")
    return {"widths": own.widths, "depth": own.depth, "code": own.code, "text_width": text_width}


def planner_sizes(recipe: Recipe, code: int, text_width: int) -> dict[str, Any]:
    """What the configuration of a planner to start from must contain; `code` is its painter's."""
    own, frames = recipe.of("planner"), recipe.pipeline.num_frames
    sizes = {"width": own.width, "layers": own.layers, "heads": own.heads, "code": code}
    return {**sizes, "num_frames": frames, "text_width": text_width}


def reference_sizes(recipe: Recipe) -> dict[str, Any]:
    """What the configuration of a reference decoder to start from must contain."""
    own = recipe.of("reference")
    return {"widths": own.widths, "depth": own.depth, "patch": own.patch}


def refuse_other_sizes(folder: Path, name: str, found: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
    """Raises InputError if the configuration of a network to start from does not contain these sizes."""
    other = [key for key, wanted in sizes.items() if _plain(found[key]) != _plain(wanted)]
    if other:
        sizes_there = ", ".join(f"{key} {found[key]} (recipe: {sizes[key]})" for key in other)
        raise InputError(
            "initial_weights",
            f"{name} of {folder} has {sizes_there}",
            "use the recipe that these weights were trained with (embedded-cpu for the embedded ones)",
        )


def _check_stage(options: TrainingOptions, recipe: Recipe, initial: Path | None) -> None:
    """A stage's networks, made without memory for their weights as the run makes them with it."""
    name, from_video = options.component, options.image_to_video is not None
    components: Mapping[str, str] = {}
    parts: Sequence[str] = ()
    if initial is not None:
        components = read_index(initial)[1]
        parts = stage_parts(initial, components, "video" if from_video else name, from_video)
    import torch

    from mask2iv.backbones.dynamicrafter.stage import Stage
    from mask2iv.training.networks.pretrained import from_image_to_video
    from mask2iv.training.networks.stages import make_stage

    conditioning = recipe.pipeline.video_conditioning if name == "video" else None
    start = None
    with torch.device("meta"):
        if initial is not None:
            unet, resampler, *rest = (_empty(initial / part, components[part]) for part in parts)
            start = Stage(unet, resampler, controlnet=rest[0] if rest else None)
            if from_video:
                start = from_image_to_video(recipe.of(name), unet, resampler)
        make_stage(recipe.of(name), None, start, conditioning)


def stage_parts(folder: Path, components: Mapping[str, str], source: str, from_video: bool) -> Sequence[str]:
    """The components of a folder that a stage starts from: U-Net, resampler and, where it has one, ControlNet.

    Args:
        folder: the model folder.
        components: its index.
        source: the stage there, "trajectory" or "video".
        from_video: whether it is asked for as an image-to-video network.

    Raises:
        InputError: U-Net or resampler is missing.
    """
    field = "image_to_video" if from_video else "initial_weights"
    for part in (f"{source}_unet", f"{source}_resampler"):
        if part not in components:
            by_plans = source == "trajectory" and "planner" in components
            remedy = "train planner, which is this model's stage 1, or " if by_plans else ""
            raise InputError(field, f"{folder} holds no {part}", f"{remedy}give a folder with this stage")
    optional = f"{source}_controlnet"
    return [f"{source}_unet", f"{source}_resampler", *([optional] if optional in components else [])]


def _empty(folder: Path, class_name: str) -> Any:
    """A network of the stored sizes, with fresh weights."""
    from mask2iv.backbones.dynamicrafter.controlnet import ControlNet, ControlNetConfig
    from mask2iv.backbones.dynamicrafter.resampler import Resampler
    from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
    from mask2iv.backbones.dynamicrafter.unet import VideoUNet

    values = {key: value for key, value in _values(folder).items() if key != "_class_name"}
    if class_name == "VideoUNet":
        return VideoUNet(UNetConfig.from_dict(values))
    if class_name == "Resampler":
        return Resampler(ResamplerConfig.from_dict(values))
    return ControlNet(ControlNetConfig.from_dict(values))


def _values(folder: Path) -> dict[str, Any]:
    with within("initial_weights"):
        return config.read_config(folder / "config.json", dict[str, Any])


def _plain(value: Any) -> Any:
    """A size as JSON stores it."""
    return list(value) if isinstance(value, tuple) else value
