"""Labels in ``.npz`` files, read frame by frame: a small file can expand to gigabytes."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.media.images import MAX_IMAGE_PIXELS
from mask2iv.parsing import ARCHIVE_FAULTS, MAX_ARRAY_BYTES

DEFAULT_FPS = 8.0
"""Frame rate of a file or folder that states none (the default of :class:`Trajectory`)."""
_LABELS_MEMBER = "labels.npy"


@dataclass(frozen=True)
class LabelArchive:
    """An open ``.npz`` file with labels.

    Attributes:
        shape: (T, H, W).
        fps: frame rate; :data:`DEFAULT_FPS` where the file has none.
        names: of all arrays in the file.
        frames: all frames one by one, uint8 [H, W]; may be called once.
    """

    shape: tuple[int, int, int]
    fps: float
    names: frozenset[str]
    frames: Callable[[], Iterator[UInt8Array]]


@contextmanager
def open_labels(path: Path, field: str, content: bytes | None = None) -> Iterator[LabelArchive]:
    """Opens an ``.npz`` file for reading frame by frame: ``labels``, integers [T, H, W], and maybe ``fps``.

    Args:
        path, field: the file, and the name of the input in messages.
        content: the file's bytes, where they lie within another file; ``path`` only names them then.

    Raises:
        InputError: missing, damaged (also while frames are read), or without such labels.
    """
    if path.suffix.lower() != ".npz" or (content is None and not os.path.isfile(path)):
        raise InputError(field, f"{path} is neither a folder of PNG frames nor an .npz file")
    source = path if content is None else io.BytesIO(content)
    try:
        with zipfile.ZipFile(source) as archive, archive.open(_LABELS_MEMBER) as file:
            shape, columns_first, dtype = _array_header(file)
            if len(shape) != 3 or dtype.kind not in "biu":
                raise InputError(field, f"{path}: labels must be uint8 [T, H, W], found {dtype} {list(shape)}")
            if shape[1] * shape[2] > MAX_IMAGE_PIXELS:
                raise InputError(field, f"a frame of {path} has more than {MAX_IMAGE_PIXELS // 1_000_000} megapixels")
            if columns_first and math.prod(shape) * dtype.itemsize > MAX_ARRAY_BYTES:
                raise InputError(
                    field, f"{path} holds its frames intermingled, and too many", "save them frame by frame"
                )
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

            names = frozenset(name.removesuffix(".npy") for name in archive.namelist())
            yield LabelArchive((shape[0], shape[1], shape[2]), fps, names, frames)
    except InputError:
        raise
    except ARCHIVE_FAULTS as error:
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
