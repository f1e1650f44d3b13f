"""Checks of ``mask2iv reproduce`` before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.pipelines.components import load_component
from mask2iv.pipelines.folder import model_folder, read_index
from mask2iv.recipes import Recipe
from mask2iv.recipes.training import FREE_TO_CHANGE

_RESULT = ("max_steps", "decay_steps", "keep", "validate_every", "validation_clips")
_FREE = tuple(name for name in FREE_TO_CHANGE if name not in _RESULT)
"""Training settings that may differ from row to row, such as those that save memory: the ones a resumed run may change
and still be the same run."""
_NEW: Mapping[str, Any] = {"set": [], "image_to_video_sha256": None, "widening": None}
"""Settings that older folders lack, with the values they had."""


@dataclass(frozen=True)
class _Claimed:
    """The part of ``reproduce.json`` that is computed with; the rest is compared as it is."""

    set: tuple[str, ...]


def lasting(assignments: Sequence[str]) -> list[str]:
    """The ``key=value`` assignments that must be the same for all rows."""
    return [one for one in assignments if one.partition("=")[0].split(".")[-1] not in _FREE]


def same_settings(found: Mapping[str, Any], wanted: Recipe, component: str) -> bool:
    """Whether a component was trained by a recipe, apart from settings that may differ.

    Args:
        found: the recipe in the training's manifest; settings that are newer than it have their defaults.
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
    """Record the settings that all rows of a folder share, or compare them with those on record.

    Args:
        path: of ``reproduce.json``.
        settings: of this call.
        late: names of settings that only some calls may give.

    Raises:
        InputError: rows were made with other settings.
    """
    found = {**_NEW, **config.read_config(path, dict[str, Any])} if path.is_file() else {}
    if found:
        found["set"] = lasting(config.from_dict(_Claimed, found, str(path), "ignore").set)
    differing = [
        name
        for name, value in settings.items()
        if name in found and found[name] != value and not (name in late and None in (found[name], value))
    ]
    if differing:
        raise InputError(
            "out",
            f"{path.parent} holds rows made with another {differing[0]} ({found[differing[0]]!r}, now "
            f"{settings[differing[0]]!r})",
            "all rows of a table must be made alike: choose another folder",
        )
    write_json(path, {**settings, **{name: value for name, value in found.items() if value is not None}})


def image_to_video_folder(given: Path, recipe: Recipe, sharpen: bool, steps: int | None) -> Path:
    """The folder of the network that all rows start from and that is the zero-shot row.

    Args:
        given: folder of the image-to-video network.
        recipe: of the rows.
        sharpen: whether a reference decoder decodes the rows.
        steps: sampling steps of all rows; None: the recipe's.

    Raises:
        InputError: it holds no image-to-video network, or one that would not be measured like the other rows.
    """
    field = "image_to_video"
    folder = model_folder(str(given), field)
    own, components = read_index(folder, field)
    lacking = [name for name in ("video_unet", "video_resampler", "scheduler") if name not in components]
    if lacking or own.video_conditioning.takes_masks:
        why = f"holds no {lacking[0]}" if lacking else "has a stage 2 that takes masks"
        raise InputError(
            field,
            f"{folder} {why}",
            "give a folder trained as variant dynamicrafter, or DynamiCrafter imported without widening",
        )
    names = ["height", "width", "num_frames", "latent_patch", "video_change_std", "sampler", "eta"]
    names += ["video_guidance_scale", "guidance_rescale"]
    names += [] if steps else ["video_num_inference_steps"]
    for name in names:
        one, other = getattr(own, name), getattr(recipe.pipeline, name)
        if one != other:
            raise InputError(
                field,
                f"{folder} has {name} {one}, recipe {recipe.name} {other}",
                f"all rows must share it: choose another recipe, or set pipeline.{name}={one}",
            )
    schedule = load_component(folder, "scheduler", components["scheduler"], torch.float32).schedule.config
    if schedule != recipe.schedule:
        raise InputError(
            field,
            f"{folder} was trained with another noise schedule than that of recipe {recipe.name}",
            "choose another recipe, or set its schedule",
        )
    if "reference_decoder" in components and not sharpen:
        raise InputError(
            field,
            f"{folder} has a reference decoder, which decodes its videos",
            "sharpen, so that it decodes the videos of all rows",
        )
    return folder
