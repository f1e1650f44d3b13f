"""What a generation is given: read, checked, and recorded by its hash."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import MAX_IMAGE_PIXELS, require_file, sha256_file
from mask2iv.generation.options import Guidance, Sampling, Scene
from mask2iv.generation.values import parse_numbers, parse_size
from mask2iv.media import read_image
from mask2iv.segmentation.grabcut import mask_from_box, mask_from_point
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.storage import load_trajectory

_MAX_SEED = 2**63 - 1
_MAX_SAMPLES = 1000
_BEFORE = r"(?:(?:a|an|the|one|two|both|some|left|right|human|robot|robotic|person's|his|her|my)\s+)*"
_NAMES = {"hand": r"hands?|person|human|man|woman|fingers?", "robot": r"robots?|arms?|grippers?|manipulators?"}
_SAID = {"hand": "a hand", "robot": "a robot arm"}


@dataclass(frozen=True, eq=False)
class SceneInputs:
    """A scene, read.

    Attributes:
        image: uint8 [H, W, 3].
        object_mask: bool [H, W].
        target_mask, actor_mask: bool [H, W] or None.
        prompt: with its actor; None for none.
        found_mask: whether the object mask was segmented from a box or a point.
        record: paths, hashes and values for the manifest.
    """

    image: UInt8Array
    object_mask: BoolArray
    target_mask: BoolArray | None
    actor_mask: BoolArray | None
    prompt: str | None
    found_mask: bool
    record: dict[str, Any]


def read_scene(scene: Scene) -> SceneInputs:
    """Read and check the files of a scene.

    Raises:
        InputError: a file or value that cannot be used, a missing or doubled object, or no condition; names the flag.
    """
    if scene.image is None:
        raise InputError("--image: no picture is given; name one, or a file of many scenes by --jobs")
    prompt = complete_prompt(scene.prompt, scene.actor)
    if prompt is None and scene.target_mask is None:
        raise InputError("say what shall happen: give --prompt, --target-mask, or both")
    given = [flag for flag, value in _objects(scene).items() if value is not None]
    if len(given) != 1:
        raise InputError(
            f"give the object by one of {', '.join(_objects(scene))}; found {' and '.join(given) or 'none of them'}"
        )
    image = read_image(scene.image, "--image")
    size = (int(image.shape[0]), int(image.shape[1]))

    def mask(path: Path | None, flag: str) -> BoolArray | None:
        return None if path is None else load_mask(path, size, flag)

    object_mask = mask(scene.object_mask, "--object-mask")
    found = object_mask is None
    if scene.object_box is not None:
        object_mask = mask_from_box(image, _box(scene.object_box), "--object-box")
    elif scene.object_point is not None:
        object_mask = mask_from_point(image, _point(scene.object_point), "--object-point")
    assert object_mask is not None
    target, actor = mask(scene.target_mask, "--target-mask"), mask(scene.actor_mask, "--actor-mask")
    return SceneInputs(image, object_mask, target, actor, prompt, found, scene_record(scene))


def scene_record(scene: Scene) -> dict[str, Any]:
    """Paths, hashes and values of a scene for the manifest; nothing is decoded.

    Raises:
        InputError: a file that is not there, or a box or point of another form.
    """
    record: dict[str, Any] = {}
    for name in ("image", "object_mask", "target_mask", "actor_mask"):
        path = getattr(scene, name)
        if path is not None:
            require_file(path, "--" + name.replace("_", "-"))
            record[name] = file_record(path)
    if scene.object_box is not None:
        record["object_box"] = list(_box(scene.object_box))
    if scene.object_point is not None:
        record["object_point"] = list(_point(scene.object_point))
    return record


def _box(text: str) -> tuple[int, ...]:
    return parse_numbers(text, 4, "--object-box", "X,Y,W,H")


def _point(text: str) -> tuple[int, ...]:
    return parse_numbers(text, 2, "--object-point", "X,Y")


def _objects(scene: Scene) -> dict[str, Any]:
    return {"--object-mask": scene.object_mask, "--object-box": scene.object_box, "--object-point": scene.object_point}


def complete_prompt(prompt: str | None, actor: Literal["hand", "robot"] | None) -> str | None:
    """The prompt, beginning with its actor where ``actor`` says who that is; None for a missing or blank one.

    Raises:
        InputError: an actor without a prompt, or a prompt that begins with the other actor.
    """
    prompt = " ".join((prompt or "").split())
    if actor is None:
        return prompt or None
    if not prompt:
        raise InputError(f"--actor {actor} completes a --prompt; give one, for example --prompt 'picking up a can'")
    named = [kind for kind, names in _NAMES.items() if re.match(rf"{_BEFORE}(?:{names})\b", prompt, re.IGNORECASE)]
    if not named:
        return f"{_SAID[actor]} {prompt}"
    if actor not in named:
        raise InputError(f"--actor {actor}: --prompt {prompt!r} names another actor; leave one of them out")
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
        raise InputError(f"--{error}" if str(error).startswith("trajectory:") else f"--trajectory: {error}") from error
    if not 0.01 <= trajectory.fps <= 1000:
        raise InputError(f"--trajectory: the frame rate of {folder} is {trajectory.fps}; it must be 0.01 to 1000")
    if folder.is_dir():
        frames = {frame.name: sha256_file(frame) for frame in sorted(folder.glob("*.png"))}
        return trajectory, {"path": str(folder), "sha256": frames}
    return trajectory, file_record(folder)


def file_record(path: Path) -> dict[str, str]:
    """Path and hash of an input file."""
    return {"path": str(path), "sha256": sha256_file(path)}


def check_sampling(sampling: Sampling, samples: int = 1, batch_size: int = 1) -> None:
    """Raises InputError, naming the flag, for a number out of its range."""
    if sampling.steps is not None and sampling.steps < 1:
        raise InputError(f"--steps must be at least 1, found {sampling.steps}")
    if not 1 <= samples <= _MAX_SAMPLES:
        raise InputError(f"--samples must be between 1 and {_MAX_SAMPLES}, found {samples}")
    check_seed(sampling.seed, samples, "--seed")
    if batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, found {batch_size}")
    if sampling.threads < 0:
        raise InputError(f"--threads must be at least 1, or 0 for PyTorch's choice, found {sampling.threads}")


def check_seed(seed: int, samples: int, field: str) -> None:
    """Raises InputError, naming `field`, for a seed from which `samples` cannot be counted."""
    if not 0 <= seed <= _MAX_SEED - samples:
        raise InputError(f"{field} must be between 0 and {_MAX_SEED - samples}, found {seed}")


def check_size_and_scales(guidance: Guidance, scene: Scene | None) -> tuple[int, int] | None:
    """The size asked for, (H, W), or None for the model's. Without a scene there may be any conditions.

    Raises:
        InputError: an unusable size or scale, or a scale for a condition that is not given.
    """
    for flag, scale, name in (
        ("--guidance-scale", guidance.guidance_scale, "prompt"),
        ("--target-guidance-scale", guidance.target_guidance_scale, "target_mask"),
    ):
        if scale is None:
            continue
        if not (math.isfinite(scale) and scale >= 0):
            raise InputError(f"{flag} must be a number from 0 on (1 is no guidance), found {scale}")
        if scene is not None and getattr(scene, name) is None:
            by = "--" + name.replace("_", "-")
            raise InputError(f"{flag} has nothing to guide by; give {by}, or leave it out")
    if guidance.size is None:
        return None
    height, width = parse_size(guidance.size)
    if height * width > MAX_IMAGE_PIXELS:
        raise InputError(f"--size {guidance.size}: at most {MAX_IMAGE_PIXELS // 1_000_000} megapixels can be made")
    return height, width
