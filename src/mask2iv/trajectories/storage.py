"""Trajectories as folders of palette images and as ``.npz`` files."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv import config
from mask2iv.contract import LABEL_COLOURS, Label, Placement, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, atomic_write, numbered_files, read_json, reason, write_json
from mask2iv.media.images import open_image
from mask2iv.trajectories.labels import rgb_to_labels
from mask2iv.trajectories.masks import size_text

DEFAULT_FPS = 8.0
"""Frame rate of a folder of frames that states none (the default of :class:`Trajectory`)."""
MAX_TRAJECTORY_PIXELS = 1_000_000_000
COLOUR_TOLERANCE = 32
"""Largest distance, per 8-bit channel, at which a stored colour still means a label colour."""
_LABELS_MEMBER = "labels.npy"
_PLACEMENT = "placement"


def save_trajectory_file(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Writes one compressed ``.npz``; same trajectory, same bytes.

    It holds ``labels`` (uint8 [T, H, W]), ``fps`` and, where it is known, ``placement`` (JSON text).
    """
    if Path(path).suffix != ".npz":
        raise InputError(str(path), "a trajectory file's name must end in .npz")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {"labels": trajectory.labels, "fps": np.float64(trajectory.fps)}
        if trajectory.placement is not None:
            arrays[_PLACEMENT] = json.dumps(config.to_dict(trajectory.placement))
        np.savez_compressed(file, **arrays)


def save_trajectory_folder(trajectory: Trajectory, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes palette images ``0000.png``, ``0001.png``, ... (index = label) and ``trajectory.json`` with the fps and,
    where it is known, which part of the picture they show.

    Raises:
        InputError: the folder is not empty and ``overwrite`` is not set, or cannot be written.
    """
    legend = {str(int(label)): label.name.lower() for label in Label}
    with atomic_directory(directory, overwrite) as folder:
        for index, labels in enumerate(trajectory.labels):
            image = Image.fromarray(labels, mode="L")
            image.putpalette(LABEL_COLOURS.tobytes())
            image.save(folder / f"{index:04d}.png", optimize=False)
        known = {} if trajectory.placement is None else {_PLACEMENT: config.to_dict(trajectory.placement)}
        write_json(folder / "trajectory.json", {"fps": trajectory.fps, "labels": legend, **known})


def load_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Reads a trajectory: a ``.npz`` file, or a folder of numbered PNGs in the label colours.

    A folder's frame rate is that of its ``trajectory.json``, or :data:`DEFAULT_FPS` without one. Colours within
    :data:`COLOUR_TOLERANCE` of a label colour are snapped to it.

    Raises:
        InputError: missing, damaged or empty; frames of different sizes; a gap in the numbering; a colour or value that
            is no label.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _load_folder(path)
    if path.suffix != ".npz" or not os.path.isfile(path):
        raise InputError("trajectory", f"{path} is neither a folder of PNG frames nor an .npz file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if archive.zip.getinfo(_LABELS_MEMBER).file_size > MAX_TRAJECTORY_PIXELS:
                raise InputError("trajectory", f"{path} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
            labels, fps = archive["labels"], float(archive["fps"])
            placement = json.loads(str(archive[_PLACEMENT])) if _PLACEMENT in archive else None
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError("trajectory", f"{path} is not a trajectory file or is damaged: {reason(error)}") from error
    return _checked(path, labels, fps, placement)


def _checked(path: Path, labels: UInt8Array, fps: float, placement: Any) -> Trajectory:
    try:
        if not isinstance(placement, dict | None):
            raise InputError(_PLACEMENT, f"expected an object, found {placement!r}")
        known = None if placement is None else config.from_dict(Placement, placement, _PLACEMENT)
        return Trajectory(labels, fps, placement=known)
    except InputError as error:
        raise InputError("trajectory", f"{path}: {error}") from error


def _load_folder(folder: Path) -> Trajectory:
    paths = numbered_files(folder, {".png"})
    frames: list[UInt8Array] = []
    for path in paths:
        frames.append(_load_frame(path))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                "trajectory",
                f"{path} is {size_text(frames[-1].shape)} but {paths[0].name} is {size_text(frames[0].shape)}",
                "all frames must have one size",
            )
        if frames[0].size * len(paths) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{folder} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
    fps: Any = DEFAULT_FPS
    placement = None
    if (folder / "trajectory.json").exists():
        header = read_json(folder / "trajectory.json")
        fps = header.get("fps") if isinstance(header, dict) else None
        if isinstance(fps, bool) or not isinstance(fps, int | float):
            raise InputError("trajectory", f"{folder / 'trajectory.json'} must hold a number named fps, found {fps!r}")
        placement = header.get(_PLACEMENT)
    return _checked(folder, np.stack(frames), float(fps), placement)


def _load_frame(path: Path) -> UInt8Array:
    """Labels of one frame, uint8 [H, W]; a transparent pixel is background."""
    image = open_image(path, "trajectory")
    if image.mode not in ("P", "RGB", "RGBA"):
        raise InputError(
            "trajectory",
            f"{path} is an image of mode {image.mode}",
            "frames must be palette or RGB images, actor green, object red, background black",
        )
    rgba = np.asarray(image.convert("RGBA"))
    rgb = np.where(rgba[..., 3:] == 0, 0, rgba[..., :3]).astype(np.uint8)
    labels = rgb_to_labels(rgb, labels=tuple(int(label) for label in Label))
    off = np.abs(rgb.astype(np.int16) - LABEL_COLOURS[labels]).max(axis=-1) > COLOUR_TOLERANCE
    if off.any():
        y, x = (int(value) for value in np.argwhere(off)[0])
        raise InputError(
            "trajectory",
            f"{path} has the colour {tuple(rgb[y, x].tolist())} at x={x}, y={y}, which is no label",
            "use black (0, 0, 0), actor green (0, 255, 0), object red (255, 0, 0), second actor blue (0, 0, 255)",
        )
    return labels
