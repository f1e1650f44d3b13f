"""What a generation is given: read, checked, and recorded by its hash."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mask2iv.contract import BoolArray, Trajectory
from mask2iv.errors import InputError, within
from mask2iv.files import require_file, sha256_file
from mask2iv.generation.options import Fitting, GuidanceOptions, Sampling, SceneOptions
from mask2iv.generation.values import parse_numbers, parse_size
from mask2iv.media.fitting import check_fit
from mask2iv.media.images import MAX_IMAGE_PIXELS, read_image
from mask2iv.parsing import read_json
from mask2iv.samples import sample_folder, sample_prompt
from mask2iv.segmentation.interfaces import Segmenter
from mask2iv.segmentation.onnx import find_pair
from mask2iv.segmentation.pretrained import SegmenterName, load_segmenter
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.editing.path import ObjectPath, read_path
from mask2iv.trajectories.masks import load_mask, split_index
from mask2iv.trajectories.storage import load_trajectory

_MAX_SEED = 2**63 - 1
_MAX_SAMPLES = 1000
_BEFORE = r"(?:(?:a|an|the|one|two|both|some|left|right|human|robot|robotic|person's|his|her|my)\s+)*"
_NAMES = {"hand": r"hands?|person|human|man|woman|fingers?", "robot": r"robots?|arms?|grippers?|manipulators?"}
_OBJECTS = ("object_mask", "object_box", "object_point")
_SAID = {"hand": "a hand", "robot": "a robot arm"}


@dataclass(frozen=True, eq=False)
class SceneInputs:
    """A scene, read from files.

    Attributes:
        scene: at the picture's size; the prompt with its actor.
        found_mask: whether the object mask was segmented from a box or a point.
        record: paths, hashes and values for the manifest.
    """

    scene: Scene
    found_mask: bool
    record: dict[str, Any]


def read_scene(scene: SceneOptions, needs_object: bool = True) -> SceneInputs:
    """Read and check the files of a scene.

    Args:
        scene: the flags.
        needs_object: without it there must be no object, and its mask is empty: it is known later.

    Raises:
        InputError: a file or value that cannot be used, a missing or doubled object, or no condition.
    """
    if scene.image is None:
        raise InputError("image", "no picture is given", "name one, or a shipped sample")
    prompt = complete_prompt(scene.prompt, scene.actor)
    if prompt is None and scene.target_mask is None and scene.object_path is None:
        raise InputError("prompt", "nothing says what shall happen", "give a prompt, a target mask, or both")
    given = [name for name in _OBJECTS if getattr(scene, name) is not None]
    if len(given) != needs_object:
        raise InputError(
            "object_mask", f"found {' and '.join(given) or 'no object'}", "give the object as a mask, a box or a point"
        )
    _check_segmenter(scene)
    image = read_image(scene.image, "image")
    size = (int(image.shape[0]), int(image.shape[1]))

    def mask(field: str) -> BoolArray | None:
        path = getattr(scene, field)
        return None if path is None else load_mask(path, size, field)

    object_mask = mask("object_mask")
    found = object_mask is None
    if scene.object_box is not None:
        object_mask = _segmenter(scene)(image, _box(scene.object_box), "object_box")
    elif scene.object_point is not None:
        object_mask = _segmenter(scene)(image, _point(scene.object_point), "object_point")
    elif object_mask is None:
        object_mask = np.zeros(size, dtype=np.bool_)
    path = None if scene.object_path is None else _object_path(scene.object_path)
    read = Scene(image, object_mask, prompt or "", mask("target_mask"), mask("actor_mask"), object_path=path)
    read.require_condition()
    return SceneInputs(read, found, scene_record(scene))


def with_sample(scene: SceneOptions) -> SceneOptions:
    """The scene with its shipped sample's files in the places that are free.

    Raises:
        InputError: no such sample, or a sample and a picture.
    """
    if scene.sample is None:
        return scene
    if scene.image is not None:
        raise InputError("sample", "there is a picture too", "leave one of them out")
    folder = sample_folder(scene.sample)
    given: dict[str, Any] = {"image": folder / "image.png"}
    if all(getattr(scene, name) is None for name in _OBJECTS):
        given["object_mask"] = folder / "object_mask.png"
    if scene.actor_mask is None and (folder / "actor_mask.png").is_file():
        given["actor_mask"] = folder / "actor_mask.png"
    if scene.prompt is None and scene.target_mask is None:
        given["prompt"] = sample_prompt(scene.sample)
    return replace(scene, sample=None, **given)


def scene_record(scene: SceneOptions) -> dict[str, Any]:
    """Paths, hashes and values of a scene for the manifest; nothing is decoded.

    Raises:
        InputError: a file that is not there, or a box or point of another form.
    """
    record: dict[str, Any] = {}
    for name in ("image", "object_mask", "target_mask", "actor_mask"):
        path, index = getattr(scene, name), None
        if path is None:
            continue
        if name != "image":
            path, index = split_index(path)
        require_file(path, name)
        record[name] = file_record(path) | ({} if index is None else {"index": index})
    if scene.object_path is not None:
        require_file(scene.object_path, "object_path")
        record["object_path"] = file_record(scene.object_path)
    if scene.object_box is not None:
        record["object_box"] = list(_box(scene.object_box))
    if scene.object_point is not None:
        record["object_point"] = list(_point(scene.object_point))
    if scene.object_box is not None or scene.object_point is not None:
        record["segmenter"] = {"name": scene.segmenter or "grabcut"}
        if scene.segmenter == "onnx" and scene.segmenter_weights is not None:
            parts = zip(("encoder", "decoder"), find_pair(scene.segmenter_weights), strict=True)
            record["segmenter"] |= {part: file_record(path) for part, path in parts}
    return record


def _object_path(path: Path) -> ObjectPath:
    require_file(path, "object_path")
    with within("object_path"):
        return read_path(path)


def _check_segmenter(scene: SceneOptions) -> None:
    """Raises InputError for a segmenter, or its weights, that nothing is asked of."""
    if scene.object_box is None and scene.object_point is None:
        for field in ("segmenter", "segmenter_weights"):
            if getattr(scene, field) is not None:
                raise InputError(field, "there is no box and no point to segment", "give one, or leave it out")


def _segmenter(scene: SceneOptions) -> Segmenter:
    return _loaded(scene.segmenter or "grabcut", scene.segmenter_weights)


@lru_cache(maxsize=1)
def _loaded(name: SegmenterName, weights: Path | None) -> Segmenter:
    """The segmenter is loaded once for all jobs that name the same."""
    return load_segmenter(name, weights)


def _box(text: str) -> tuple[int, ...]:
    return parse_numbers(text, 4, "object_box", "X,Y,W,H")


def _point(text: str) -> tuple[int, ...]:
    return parse_numbers(text, 2, "object_point", "X,Y")


def complete_prompt(prompt: str | None, actor: Literal["hand", "robot"] | None) -> str | None:
    """The prompt, beginning with its actor where ``actor`` says who that is; None for a missing or blank one.

    Raises:
        InputError: an actor without a prompt, or a prompt that begins with the other actor.
    """
    prompt = " ".join((prompt or "").split())
    if actor is None:
        return prompt or None
    if not prompt:
        raise InputError(
            "actor", f"{actor!r} completes a prompt, and none is given", "give one, such as 'picking up a can'"
        )
    named = [kind for kind, names in _NAMES.items() if re.match(rf"{_BEFORE}(?:{names})\b", prompt, re.IGNORECASE)]
    if not named:
        return f"{_SAID[actor]} {prompt}"
    if actor not in named:
        raise InputError("actor", f"the prompt {prompt!r} names another actor than {actor!r}", "leave one of them out")
    return prompt


def read_trajectory(path: Path) -> tuple[Trajectory, dict[str, Any]]:
    """A trajectory and its record. The folder that ``mask2iv trajectory`` wrote stands for the trajectory in it.

    Raises:
        InputError: not a trajectory.
    """
    folder = path / "trajectory" if (path / "trajectory").is_dir() else path
    try:
        trajectory = load_trajectory(folder)
    except InputError as error:
        raise (error if error.field == "trajectory" else error.within("trajectory")) from error
    if not 0.01 <= trajectory.fps <= 1000:
        raise InputError("trajectory", f"the frame rate of {folder} must be 0.01 to 1000, found {trajectory.fps}")
    if folder.is_dir():
        frames = {frame.name: sha256_file(frame) for frame in sorted(folder.glob("*.png"))}
        return trajectory, {"path": str(folder), "sha256": frames}
    return trajectory, file_record(folder)


def check_same_picture(image: Path, trajectory: Path) -> None:
    """Raises InputError where the manifest beside a trajectory says that it was made for another picture."""
    folder = trajectory if (trajectory / "trajectory").is_dir() else trajectory.parent
    if not (folder / "manifest.json").is_file():
        return
    try:
        picture = read_json(folder / "manifest.json")["inputs"]["image"]
        path, digest = picture["path"], picture["sha256"]
    except (KeyError, TypeError):
        return  # another program's manifest
    if digest != sha256_file(image):
        raise InputError(
            "image",
            f"{trajectory} was made for another picture, {path}",
            "give that one, or `any_picture` if this one is meant",
        )


def check_fitting(fitting: Fitting) -> None:
    """Raises InputError for a fit and scale that go with no model."""
    if fitting.fit is not None:
        check_fit(fitting.fit, fitting.fit_scale)


def file_record(path: Path) -> dict[str, str]:
    """Path and hash of an input file."""
    return {"path": str(path), "sha256": sha256_file(path)}


def check_sampling(sampling: Sampling, samples: int = 1, batch_size: int = 1) -> None:
    """Raises InputError for a number out of its range."""
    if sampling.steps is not None and sampling.steps < 1:
        raise InputError("steps", f"must be at least 1, found {sampling.steps}")
    if not 1 <= samples <= _MAX_SAMPLES:
        raise InputError("samples", f"must be between 1 and {_MAX_SAMPLES}, found {samples}")
    check_seed(sampling.seed, samples)
    if batch_size < 1:
        raise InputError("batch_size", f"must be at least 1, found {batch_size}")
    if sampling.threads < 0:
        raise InputError("threads", f"must be at least 1, or 0 for PyTorch's choice, found {sampling.threads}")


def check_seed(seed: int, samples: int) -> None:
    """Raises InputError for a seed from which `samples` cannot be counted."""
    if not 0 <= seed <= _MAX_SEED - samples:
        raise InputError("seed", f"must be between 0 and {_MAX_SEED - samples}, found {seed}")


def check_size_and_scales(guidance: GuidanceOptions, scene: SceneOptions | None) -> tuple[int, int] | None:
    """The size asked for, (H, W), or None for the model's. Without a scene there may be any conditions.

    Raises:
        InputError: an unusable size or scale, or a scale for a condition that is not given.
    """
    for field, condition in (("guidance_scale", "prompt"), ("target_guidance_scale", "target_mask")):
        scale = getattr(guidance, field)
        if scale is None:
            continue
        if not (math.isfinite(scale) and scale >= 0):
            raise InputError(field, f"must be a number from 0 on (1 is no guidance), found {scale}")
        if scene is not None and getattr(scene, condition) is None:
            what = condition.replace("_", " ")
            raise InputError(field, f"there is no {what} to guide by", f"give a {what}, or leave the scale out")
    if guidance.size is None:
        return None
    height, width = parse_size(guidance.size)
    if height * width > MAX_IMAGE_PIXELS:
        raise InputError(f"size {guidance.size}", f"at most {MAX_IMAGE_PIXELS // 1_000_000} megapixels can be made")
    return height, width
