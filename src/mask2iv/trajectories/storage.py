"""Trajectories as folders of palette images and as ``.npz`` files."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv.contract import LABEL_COLOURS, Label, Trajectory, UInt8Array, channels_to_labels
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
_LABELS_MEMBER, _PAINTED_MEMBER = "labels.npy", "painted.npy"
_CHANNELS = "channels"
"""What ``trajectory.json`` calls colours whose channels count one by one."""


def save_trajectory_file(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Writes one compressed ``.npz`` holding ``labels`` (uint8 [T, H, W]), ``fps`` and, where the trajectory has them,
    the ``painted`` colours; same trajectory, same bytes."""
    if Path(path).suffix != ".npz":
        raise InputError(str(path), "a trajectory file's name must end in .npz")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {"labels": trajectory.labels, "fps": np.float64(trajectory.fps)}
        if trajectory.painted is not None:
            arrays["painted"] = trajectory.painted
        np.savez_compressed(file, **arrays)


def save_trajectory_folder(trajectory: Trajectory, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes palette images ``0000.png``, ``0001.png``, ... (index = label) and ``trajectory.json`` with the fps.

    A trajectory that has ``painted`` colours is written as RGB images of these, and ``trajectory.json`` says "colours":
    "channels", by which they are read again.

    Raises:
        InputError: the folder is not empty and ``overwrite`` is not set, or cannot be written.
    """
    legend = {str(int(label)): label.name.lower() for label in Label}
    with atomic_directory(directory, overwrite) as folder:
        for index, labels in enumerate(trajectory.labels):
            if trajectory.painted is None:
                image = Image.fromarray(labels, mode="L")
                image.putpalette(LABEL_COLOURS.tobytes())
            else:
                image = Image.fromarray(trajectory.painted[index])
            image.save(folder / f"{index:04d}.png", optimize=False)
        colours = {} if trajectory.painted is None else {"colours": _CHANNELS}
        write_json(folder / "trajectory.json", {"fps": trajectory.fps, "labels": legend, **colours})


def load_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Reads a trajectory: a ``.npz`` file, or a folder of numbered PNGs in the label colours.

    A folder's frame rate is that of its ``trajectory.json``, or :data:`DEFAULT_FPS` without one. Colours within
    :data:`COLOUR_TOLERANCE` of a label colour are snapped to it. If ``trajectory.json`` says "colours": "channels", any
    colour is read, as by :func:`mask2iv.contract.channels_to_labels`, and kept as ``painted``.

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
            has_colours = _PAINTED_MEMBER in archive.zip.namelist()
            limits = {_LABELS_MEMBER: 1} | ({_PAINTED_MEMBER: 3} if has_colours else {})
            if any(archive.zip.getinfo(name).file_size > n * MAX_TRAJECTORY_PIXELS for name, n in limits.items()):
                raise InputError("trajectory", f"{path} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
            labels, fps = archive["labels"], float(archive["fps"])
            painted = archive["painted"] if has_colours else None
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
    return _checked(path, labels, fps, painted)


def _checked(path: Path, labels: UInt8Array, fps: float, painted: UInt8Array | None = None) -> Trajectory:
    try:
        return Trajectory(labels, fps, painted)
    except InputError as error:
        raise InputError("trajectory", f"{path}: {error}") from error


def _load_folder(folder: Path) -> Trajectory:
    paths = numbered_files(folder, {".png"})
    fps, channels = _read_header(folder / "trajectory.json")
    frames: list[UInt8Array] = []
    for path in paths:
        frames.append(_load_colours(path) if channels else _load_frame(path))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                "trajectory",
                f"{path} is {size_text(frames[-1].shape)} but {paths[0].name} is {size_text(frames[0].shape)}",
                "all frames must have one size",
            )
        if frames[0].shape[0] * frames[0].shape[1] * len(paths) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{folder} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
    if not channels:
        return _checked(folder, np.stack(frames), fps)
    painted = np.where(np.stack(frames) >= 128, np.uint8(255), np.uint8(0))
    return _checked(folder, channels_to_labels(painted), fps, painted)


def _read_header(path: Path) -> tuple[float, bool]:
    """The frame rate, and whether colours count channel by channel; defaults where there is no header."""
    if not path.exists():
        return DEFAULT_FPS, False
    header = read_json(path)
    fps: Any = header.get("fps") if isinstance(header, dict) else None
    if isinstance(fps, bool) or not isinstance(fps, int | float):
        raise InputError("trajectory", f"{path} must hold a number named fps, found {fps!r}")
    colours = header.get("colours")
    if colours not in (None, _CHANNELS):
        raise InputError("trajectory", f"colours in {path} must be {_CHANNELS!r} or absent, found {colours!r}")
    return float(fps), colours == _CHANNELS


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


def _load_frame(path: Path) -> UInt8Array:
    """Labels of one frame, uint8 [H, W]; a transparent pixel is background."""
    rgb = _load_colours(path)
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
