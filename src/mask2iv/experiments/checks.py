"""Checks of ``mask2iv reproduce``: what is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.files import read_json, write_json
from mask2iv.pipelines.components import load_component, model_folder, read_index
from mask2iv.recipes import Recipe
from mask2iv.recipes.training import FREE_TO_CHANGE

_RESULT = ("max_steps", "decay_steps", "keep", "validate_every", "validation_clips")
_FREE = tuple(name for name in FREE_TO_CHANGE if name not in _RESULT)
"""Settings of a training that may differ from row to row: those that a resumed run may change without becoming another
one, as memory asks for."""
_NEW: Mapping[str, Any] = {"set": [], "image_to_video_sha256": None}
"""Settings that folders do not have which were made before these existed, and what they were then."""


def lasting(assignments: Sequence[str]) -> list[str]:
    """The ``key=value`` assignments that must be alike for all rows."""
    return [one for one in assignments if one.partition("=")[0].split(".")[-1] not in _FREE]


def same_settings(found: Mapping[str, Any], wanted: Recipe, component: str) -> bool:
    """Whether a component was trained by a recipe, but for what may differ.

    Args:
        found: the recipe in the training's manifest; settings that did not exist then have their defaults.
        wanted: the recipe.
        component: of both.
    """
    try:
        both = [config.to_dict(recipe) for recipe in (config.from_dict(Recipe, found), wanted)]
    except InputError:
        return False
    for one in both:
        for name in _FREE:
            one[component]["training"].pop(name)
    return all(both[0][part] == both[1][part] for part in ("pipeline", "schedule", component))


def claim(path: Path, settings: Mapping[str, Any], late: Sequence[str]) -> None:
    """Write down what is alike for all rows of a folder, or hold it against what is written there.

    Args:
        path: of ``reproduce.json``.
        settings: of this call.
        late: names of those that may be given by some calls only.

    Raises:
        InputError: rows were made with other settings.
    """
    found = {**_NEW, **read_json(path)} if path.is_file() else {}
    if found:
        found["set"] = lasting(found["set"])
    differing = [
        name
        for name, value in settings.items()
        if name in found and found[name] != value and not (name in late and None in (found[name], value))
    ]
    if differing:
        raise InputError(
            f"--out {path.parent} holds rows made with another {differing[0]} ({found[differing[0]]!r}, now "
            f"{settings[differing[0]]!r}); all rows of a table must be made alike: choose another folder"
        )
    write_json(path, {**settings, **{name: value for name, value in found.items() if value is not None}})


def image_to_video_folder(given: Path, recipe: Recipe, sharpen: bool, steps: int | None) -> Path:
    """The folder of the network that all rows start from, and that is the zero-shot row.

    Args:
        given: --image-to-video.
        recipe: of the rows.
        sharpen: whether rows are decoded by a reference decoder.
        steps: sampling steps of all rows; None: the recipe's.

    Raises:
        InputError: it holds no image-to-video network, or one that would be measured otherwise than the other rows.
    """
    flag = "--image-to-video"
    folder = model_folder(str(given), flag)
    own, components = read_index(folder, flag)
    lacking = [name for name in ("video_unet", "video_resampler", "scheduler") if name not in components]
    if lacking or own.video_conditioning.takes_masks:
        why = f"holds no {lacking[0]}" if lacking else "has a stage 2 that takes masks"
        raise InputError(
            f"{flag}: {folder} {why}; give a folder trained as variant dynamicrafter, or imported by --stage "
            "dynamicrafter --widen-for none"
        )
    names = ["height", "width", "num_frames", "latent_patch", "video_change_std", "sampler", "eta"]
    names += ["video_guidance_scale", "guidance_rescale"]
    names += [] if steps else ["video_num_inference_steps"]
    for name in names:
        one, other = getattr(own, name), getattr(recipe.pipeline, name)
        if one != other:
            raise InputError(
                f"{flag}: {folder} has {name} {one}, recipe {recipe.name} {other}; all rows must share it: choose "
                f"another --recipe, or --set pipeline.{name}={one}"
            )
    schedule = load_component(folder, "scheduler", components["scheduler"], torch.float32).schedule.config
    if schedule != recipe.schedule:
        raise InputError(
            f"{flag}: {folder} was trained with another noise schedule than recipe {recipe.name} has; choose another "
            "--recipe, or --set its schedule"
        )
    if "reference_decoder" in components and not sharpen:
        raise InputError(
            f"{flag}: {folder} has a reference decoder, which decodes its videos; add --sharpen, so that it decodes "
            "all rows'"
        )
    return folder
