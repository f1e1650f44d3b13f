"""Masks in NumPy's files, and masks of which each instance has a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import Label, UInt8Array
from mask2iv.data.masks.frames import FIELD, MaskFrames, Numbers, combined, is_number, labelled
from mask2iv.errors import InputError, within
from mask2iv.files import numbered_files, reason, require_regular
from mask2iv.media.images import open_image
from mask2iv.parsing import ARCHIVE_FAULTS, MAX_ARRAY_BYTES, read_arrays

_ROLES = {"actor": Label.ACTOR, "object": Label.OBJECT, "second_actor": Label.SECOND_ACTOR}
_MASK_FILES = (".png", ".npy", ".npz")


def array_frames(path: Path, numbers: Numbers) -> MaskFrames:
    """Masks of all frames in one file: ``.npy`` [T, H, W], or ``.npz`` with such arrays (see :func:`_parts`).

    Raises:
        InputError: missing, damaged, of another rank, or of arrays that do not belong together.
    """
    arrays = _load(path)
    if not arrays:
        raise InputError(FIELD, f"{path} holds no arrays")
    first = next(iter(arrays.values())).shape
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape != first:
            raise InputError(FIELD, f"{path}: {name} must be [T, H, W] like the others, found {list(array.shape)}")

    def read(indices: Sequence[int]) -> Iterator[UInt8Array]:
        for index in indices:
            parts = {name: np.asarray(array[index]) for name, array in arrays.items()}
            yield _parts(parts, numbers, f"frame {index} of {path}")

    return MaskFrames(first[0], read)


def arrays_of_folder(folder: Path, numbers: Numbers) -> MaskFrames:
    """Masks of frames in files of their own: ``00000.npy`` [H, W], or ``.npz``.

    Raises:
        InputError: a gap in the numbering; when reading, a damaged file.
    """
    paths = numbered_files(folder, {".npy", ".npz"})
    return MaskFrames(len(paths), lambda indices: (_parts(_load(paths[i]), numbers, str(paths[i])) for i in indices))


def instances_of_folder(folders: Sequence[Path], numbers: Numbers) -> MaskFrames:
    """Masks of instances, each with a folder named by its number; an instance that lacks a frame is not in view there.

    Pixels other than 0 belong to the instance.

    Raises:
        InputError: frames that no instance has, or no frames at all.
    """
    found: dict[int, dict[int, Path]] = {}
    for folder in folders:
        files = {path for path in folder.iterdir() if path.suffix.lower() in _MASK_FILES and path.name[0] != "."}
        found[int(folder.name)] = {_frame(path): path for path in sorted(files)}
    frames = sorted({frame for paths in found.values() for frame in paths})
    if not frames or frames != list(range(frames[0], frames[-1] + 1)):
        what = "jumps in its numbering" if frames else "holds no frames"
        raise InputError(FIELD, f"{folders[0].parent} {what}", "add the frames between them" if frames else "")

    def read(indices: Sequence[int]) -> Iterator[UInt8Array]:
        for index in indices:
            there = {instance: paths[frames[index]] for instance, paths in found.items() if frames[index] in paths}
            instances = {instance: _one(path) for instance, path in there.items()}
            yield combined(instances, numbers, f"frame {frames[index]} of {folders[0].parent}")

    return MaskFrames(len(frames), read)


def _frame(path: Path) -> int:
    digits = re.findall(r"[0-9]+", path.stem)
    if not digits:
        raise InputError(str(path), "has no frame number in its name")
    return int(digits[-1])


def _one(path: Path) -> NDArray[Any]:
    """Mask of one instance, bool [H, W]."""
    if path.suffix.lower() == ".png":
        image = open_image(path, FIELD)
        values = np.asarray(image if image.mode in ("P", "L", "1") else image.convert("L"))
    else:
        arrays = _load(path)
        if len(arrays) != 1:
            raise InputError(FIELD, f"{path} holds {len(arrays)} arrays", "save the mask of one instance in it")
        values = next(iter(arrays.values()))
        # Video predictors give masks an axis for the instance.
        values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise InputError(FIELD, f"{path} must be bool or integers [H, W], found {values.dtype} {list(values.shape)}")
    return values != 0


def _parts(arrays: Mapping[str, NDArray[Any]], numbers: Numbers, place: str) -> UInt8Array:
    """Labels of one frame's arrays: a single one, or one for each instance.

    Several arrays are named ``actor``, ``object`` and ``second_actor``, or by the numbers of instances.
    """
    if len(arrays) == 1 and not set(arrays) & set(_ROLES):
        return labelled(next(iter(arrays.values())), numbers, place)
    if set(arrays) <= set(_ROLES):
        return combined({int(_ROLES[name]): array != 0 for name, array in arrays.items()}, None, place)
    if all(is_number(name) for name in arrays):
        return combined({int(name): array != 0 for name, array in arrays.items()}, numbers, place)
    names = ", ".join(arrays)[:200]
    raise InputError(FIELD, f"{place} holds the arrays {names}", "name them actor and object, or by numbers")


def _load(path: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays of a file by name; a ``.npy`` file's is not read as a whole."""
    if path.suffix.lower() == ".npz":
        with within(FIELD):
            return {name: array for name, array in read_arrays(path).items() if array.ndim}
    with within(FIELD):
        require_regular(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ARCHIVE_FAULTS as error:
        raise InputError(FIELD, f"{path} is not an array, or is damaged: {reason(error)}") from error
    if array.nbytes > MAX_ARRAY_BYTES:
        raise InputError(FIELD, f"{path} has {array.nbytes:,} bytes; at most {MAX_ARRAY_BYTES:,} are read")
    return {"labels": array}
