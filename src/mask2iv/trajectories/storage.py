"""Trajectories as folders of palette images and as ``.npz`` files."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2iv.contract import LABEL_COLOURS, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, atomic_write, numbered_files, read_json, reason, write_json
from mask2iv.media.images import MAX_IMAGE_PIXELS, open_image
from mask2iv.trajectories.labels import painted_labels
from mask2iv.trajectories.masks import size_text

DEFAULT_FPS = 8.0
"""Frame rate of a file or folder that states none (the default of :class:`Trajectory`)."""
MAX_TRAJECTORY_PIXELS = 1_000_000_000
_LABELS_MEMBER = "labels.npy"


def save_trajectory_file(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Writes one compressed ``.npz`` holding ``labels`` (uint8 [T, H, W]) and ``fps``; same trajectory, same bytes."""
    if Path(path).suffix != ".npz":
        raise InputError(str(path), "a trajectory file's name must end in .npz")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, labels=trajectory.labels, fps=np.float64(trajectory.fps))


def save_trajectory_folder(trajectory: Trajectory, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes palette images ``0000.png``, ``0001.png``, ... (index = label) and ``trajectory.json`` with the fps.

    Raises:
        InputError: the folder is not empty and ``overwrite`` is not set, or cannot be written.
    """
    legend = {str(int(label)): label.name.lower() for label in Label}
    with atomic_directory(directory, overwrite) as folder:
        for index, labels in enumerate(trajectory.labels):
            image = Image.fromarray(labels, mode="L")
            image.putpalette(LABEL_COLOURS.tobytes())
            image.save(folder / f"{index:04d}.png", optimize=False)
        write_json(folder / "trajectory.json", {"fps": trajectory.fps, "labels": legend})


def load_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Reads a trajectory: a ``.npz`` file, or a folder of numbered PNGs in the label colours.

    The frame rate is that of the file, or of the folder's ``trajectory.json``; :data:`DEFAULT_FPS` where there is none.
    Colours are snapped to the label colours (:func:`~mask2iv.trajectories.labels.painted_labels`).

    Raises:
        InputError: missing, damaged or empty; frames of different sizes; a gap in the numbering; a colour or value that
            is no label.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _load_folder(path)
    with open_labels(path, "trajectory") as archive:
        if math.prod(archive.shape) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{path} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
        labels = np.stack(list(archive.frames())) if archive.shape[0] else np.zeros(archive.shape, dtype=np.uint8)
    return _checked(path, labels, archive.fps)


@dataclass(frozen=True)
class LabelArchive:
    """An open ``.npz`` file with labels.

    Attributes:
        shape: (T, H, W).
        fps: frame rate; :data:`DEFAULT_FPS` where the file has none.
        frames: all frames one by one, uint8 [H, W]; may be called once.
    """

    shape: tuple[int, int, int]
    fps: float
    frames: Callable[[], Iterator[UInt8Array]]


@contextmanager
def open_labels(path: Path, field: str) -> Iterator[LabelArchive]:
    """Opens an ``.npz`` file for reading frame by frame: ``labels``, integers [T, H, W], and maybe ``fps``.

    Raises:
        InputError: missing, damaged (also while frames are read), or without such labels.
    """
    if path.suffix.lower() != ".npz" or not os.path.isfile(path):
        raise InputError(field, f"{path} is neither a folder of PNG frames nor an .npz file")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_LABELS_MEMBER) as file:
            shape, columns_first, dtype = _array_header(file)
            if len(shape) != 3 or dtype.kind not in "biu":
                raise InputError(field, f"{path}: labels must be uint8 [T, H, W], found {dtype} {list(shape)}")
            if shape[1] * shape[2] > MAX_IMAGE_PIXELS:
                raise InputError(field, f"a frame of {path} has more than {MAX_IMAGE_PIXELS // 1_000_000} megapixels")
            fps = DEFAULT_FPS
            if "fps.npy" in archive.namelist():
                with archive.open("fps.npy") as member:
                    fps = float(np.lib.format.read_array(member, allow_pickle=False))

            def frames() -> Iterator[UInt8Array]:
                if columns_first:
                    values = np.frombuffer(file.read(), dtype).reshape(shape, order="F")
                    yield from (_as_labels(values[t], path, field) for t in range(shape[0]))
                    return
                size = shape[1] * shape[2] * dtype.itemsize
                for _ in range(shape[0]):
                    yield _as_labels(np.frombuffer(file.read(size), dtype).reshape(shape[1:]), path, field)

            yield LabelArchive((shape[0], shape[1], shape[2]), fps, frames)
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(field, f"{path} is not a trajectory file or is damaged: {reason(error)}") from error


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape of an array in NumPy's format, whether its first index runs fastest, and its type; then come its values."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    return shape, bool(columns_first) and len(shape) > 1, dtype


def _as_labels(values: NDArray[Any], path: Path, field: str) -> UInt8Array:
    if values.size and (values.min() < 0 or values.max() > 255):
        raise InputError(field, f"{path} holds the value {values.min() if values.min() < 0 else values.max()}")
    return values.astype(np.uint8)


def _checked(path: Path, labels: UInt8Array, fps: float) -> Trajectory:
    try:
        return Trajectory(labels, fps)
    except InputError as error:
        raise InputError("trajectory", f"{path}: {error}") from error


def _load_folder(folder: Path) -> Trajectory:
    paths = numbered_files(folder, {".png"})
    frames: list[UInt8Array] = []
    for path in paths:
        frames.append(load_label_image(path))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                "trajectory",
                f"{path} is {size_text(frames[-1].shape)} but {paths[0].name} is {size_text(frames[0].shape)}",
                "all frames must have one size",
            )
        if frames[0].size * len(paths) > MAX_TRAJECTORY_PIXELS:
            raise InputError("trajectory", f"{folder} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
    fps: Any = DEFAULT_FPS
    if (folder / "trajectory.json").exists():
        header = read_json(folder / "trajectory.json")
        fps = header.get("fps") if isinstance(header, dict) else None
        if isinstance(fps, bool) or not isinstance(fps, int | float):
            raise InputError("trajectory", f"{folder / 'trajectory.json'} must hold a number named fps, found {fps!r}")
    return _checked(folder, np.stack(frames), float(fps))


def load_label_image(path: Path) -> UInt8Array:
    """Labels of one frame, uint8 [H, W]; a transparent pixel is background. For colours see :func:`painted_labels`.

    Raises:
        InputError: unreadable, not in colours, or with areas in another colour than a label's.
    """
    image = open_image(path, "trajectory")
    if image.mode not in ("P", "RGB", "RGBA"):
        raise InputError(
            "trajectory",
            f"{path} is an image of mode {image.mode}",
            "frames must be palette or RGB images, actor green, object red, background black",
        )
    rgba = np.asarray(image.convert("RGBA"))
    rgb = np.where(rgba[..., 3:] == 0, 0, rgba[..., :3]).astype(np.uint8)
    return painted_labels(rgb, str(path), "trajectory")
