"""Trajectories as folders of palette images and as ``.npz`` files."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from mask2iv.config import from_dict, read_config, to_dict
from mask2iv.contract import LABEL_COLOURS, Label, Placement, Trajectory, UInt8Array, channels_to_labels
from mask2iv.errors import InputError, within
from mask2iv.files import atomic_directory, atomic_write, numbered_files, write_json
from mask2iv.media.images import open_image
from mask2iv.parsing import parse_json, read_arrays
from mask2iv.trajectories.archives import DEFAULT_FPS, open_labels
from mask2iv.trajectories.labels import painted_labels
from mask2iv.trajectories.masks import size_text

MAX_TRAJECTORY_PIXELS = 1_000_000_000


@dataclass(frozen=True)
class Header:
    """What is read of ``trajectory.json``.

    Attributes:
        fps: frames per second.
        colours: "channels" where each channel of the pictures counts by itself, as in the official models' pictures
            (:func:`mask2iv.contract.channels_to_labels`); None where colours are those of labels.
        placement: which part of the picture the frames show.
    """

    fps: float = DEFAULT_FPS
    colours: Literal["channels"] | None = None
    placement: Placement | None = None


def save_trajectory_file(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Writes one compressed ``.npz``; same trajectory, same bytes.

    It holds ``labels`` (uint8 [T, H, W]), ``fps`` and, where the trajectory has them, the ``painted`` colours and the
    ``placement`` (JSON text).
    """
    if Path(path).suffix != ".npz":
        raise InputError(str(path), "a trajectory file's name must end in .npz")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {"labels": trajectory.labels, "fps": np.float64(trajectory.fps)}
        if trajectory.painted is not None:
            arrays["painted"] = trajectory.painted
        if trajectory.placement is not None:
            arrays["placement"] = json.dumps(to_dict(trajectory.placement))
        np.savez_compressed(file, **arrays)


def save_trajectory_folder(trajectory: Trajectory, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes palette images ``0000.png``, ``0001.png``, ... (index = label) and ``trajectory.json`` (:class:`Header`).

    A trajectory that has ``painted`` colours is written as RGB images of these, and ``trajectory.json`` says "colours":
    "channels", by which they are read again.

    Raises:
        InputError: the folder is not empty and ``overwrite`` is not set, or cannot be written.
    """
    legend = {str(int(label)): label.name.lower() for label in Label}
    header: dict[str, Any] = {"fps": trajectory.fps, "labels": legend}
    if trajectory.painted is not None:
        header["colours"] = "channels"
    if trajectory.placement is not None:
        header["placement"] = to_dict(trajectory.placement)
    with atomic_directory(directory, overwrite) as folder:
        for index, labels in enumerate(trajectory.labels):
            if trajectory.painted is None:
                image = Image.fromarray(labels, mode="L")
                image.putpalette(LABEL_COLOURS.tobytes())
            else:
                image = Image.fromarray(trajectory.painted[index])
            image.save(folder / f"{index:04d}.png", optimize=False)
        write_json(folder / "trajectory.json", header)


def load_trajectory(path: str | os.PathLike[str], content: bytes | None = None) -> Trajectory:
    """Reads a trajectory: a ``.npz`` file, or a folder of numbered PNGs in the label colours.

    The frame rate is that of the file, or of the folder's ``trajectory.json``; :data:`DEFAULT_FPS` where there is none.
    Colours are snapped to the label colours (:func:`~mask2iv.trajectories.labels.painted_labels`). If
    ``trajectory.json`` says "colours": "channels", any colour is read, as by
    :func:`mask2iv.contract.channels_to_labels`, and kept as ``painted``.

    Args:
        path: the file or folder.
        content: the file's bytes, where they lie within another file; ``path`` only names them then.

    Raises:
        InputError: missing, damaged or empty; frames of different sizes; a gap in the numbering; a colour or value that
            is no label.
    """
    path = Path(path)
    if content is None and os.path.isdir(path):
        return _load_folder(path)
    with open_labels(path, "trajectory", content) as archive:
        if math.prod(archive.shape) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{path} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
        labels = np.stack(list(archive.frames())) if archive.shape[0] else np.zeros(archive.shape, dtype=np.uint8)
    with within("trajectory"):
        further = read_arrays(path, archive.names & {"painted", "placement"}, 3 * MAX_TRAJECTORY_PIXELS, content)
        placement = None
        if "placement" in further:
            placement = _placement(str(further["placement"]), path)
    return _checked(path, labels, archive.fps, further.get("painted"), placement)


def _placement(text: str, path: Path) -> Placement:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}: placement", f"is not JSON: {error}") from error
    return from_dict(Placement, value, f"{path}: placement")


def _checked(
    path: Path, labels: UInt8Array, fps: float, painted: UInt8Array | None, placement: Placement | None
) -> Trajectory:
    try:
        return Trajectory(labels, fps, painted, placement)
    except InputError as error:
        raise InputError("trajectory", f"{path}: {error}") from error


def _load_folder(folder: Path) -> Trajectory:
    paths = numbered_files(folder, {".png"})
    header = Header()
    if (folder / "trajectory.json").exists():
        with within("trajectory"):
            header = read_config(folder / "trajectory.json", Header, "ignore")
    frames: list[UInt8Array] = []
    for path in paths:
        frames.append(load_label_image(path) if header.colours is None else _load_colours(path))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                "trajectory",
                f"{path} is {size_text(frames[-1].shape)} but {paths[0].name} is {size_text(frames[0].shape)}",
                "all frames must have one size",
            )
        if frames[0].shape[0] * frames[0].shape[1] * len(paths) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{folder} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
    if header.colours is None:
        return _checked(folder, np.stack(frames), header.fps, None, header.placement)
    painted = np.where(np.stack(frames) >= 128, np.uint8(255), np.uint8(0))
    return _checked(folder, channels_to_labels(painted), header.fps, painted, header.placement)


def load_label_image(path: Path) -> UInt8Array:
    """Labels of one frame, uint8 [H, W]; a transparent pixel is background. For colours see :func:`painted_labels`.

    Raises:
        InputError: unreadable, not in colours, or with areas in another colour than a label's.
    """
    return painted_labels(_load_colours(path), str(path), "trajectory")


def _load_colours(path: Path) -> UInt8Array:
    """Colours of one frame, uint8 [H, W, 3]; a transparent pixel is background."""
    image = open_image(path, "trajectory")
    if image.mode not in ("P", "RGB", "RGBA"):
        raise InputError(
            "trajectory",
            f"{path} is an image of mode {image.mode}",
            "frames must be palette or RGB images, actor green, object red, background black",
        )
    rgba = np.asarray(image.convert("RGBA"))
    return np.where(rgba[..., 3:] == 0, 0, rgba[..., :3]).astype(np.uint8)
