"""HOI4D's masks: pictures whose colours are numbers in a VOC-like palette, decoded by the category's meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.curation.sources.hoi4d.definitions import CATEGORIES, UNKNOWN
from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.media.images import open_image, resize_mask
from mask2iv.media.videos import VideoInfo

FOLDERS = ("mask", "shift_mask")
"""Names of the mask folder below ``2Dseg``, in releases of different times."""
_FIELD = "masks"


def palette_colours() -> UInt8Array:
    """RGB colour of each number, uint8 [256, 3]: its bits 0, 3 and 6 are red's highest ones.

    Bits 1, 4 and 7 are green's, 2 and 5 blue's.
    """
    numbers = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for level in range(3):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return colours


def decode_palette(rgb: UInt8Array) -> tuple[UInt8Array, NDArray[np.bool_]]:
    """Numbers uint8 [...] of colours uint8 [..., 3], and where the colour is one of the palette, bool [...]."""
    numbers = np.zeros(rgb.shape[:-1], dtype=np.uint8)
    for bit in range(8):
        level, channel = divmod(bit, 3)
        numbers |= ((rgb[..., channel] >> (7 - level)) & 1) << bit
    return numbers, (palette_colours()[numbers] == rgb).all(axis=-1)


@dataclass(frozen=True)
class PaletteMasks:
    """The mask pictures of a recording. Implements :class:`~mask2iv.curation.sources.interfaces.GivenMasks`.

    Attributes:
        folder: with ``00000.png`` and so on, numbered like the video's frames from 0.
        category, task: "C8", "T1": they say what a number means.
    """

    folder: Path
    category: str
    task: str

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._paths().values()) if self.folder.is_dir() else ()

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        meanings = CATEGORIES[self.category].meanings(self.task)
        paths = self._paths()
        kept = np.empty((len(indices), *size), dtype=np.uint8)
        for row, index in enumerate(indices):
            if index not in paths:
                raise InputError(_FIELD, f"{self.folder} has none for frame {index}")
            colours = np.asarray(open_image(paths[index], _FIELD).convert("RGB"))
            if colours.shape[:2] not in (info.size, info.stored_size):
                raise InputError(
                    _FIELD,
                    f"{paths[index]} has {colours.shape[1]}x{colours.shape[0]} pixels, the video "
                    f"{info.size[1]}x{info.size[0]}",
                )
            colours = np.stack([resize_mask(colours[..., channel], size) for channel in range(3)], axis=-1)
            numbers, known = decode_palette(colours)
            labels = np.where(known, meanings[numbers], np.uint8(UNKNOWN))
            if (labels == UNKNOWN).any():
                raise self._unknown(index, colours[labels == UNKNOWN], numbers[labels == UNKNOWN], known)
            kept[row] = labels
        return kept

    def _paths(self) -> dict[int, Path]:
        try:
            pictures = [path for path in self.folder.iterdir() if re.fullmatch(r"\d+\.png", path.name.lower())]
        except OSError as error:
            raise InputError(_FIELD, f"{self.folder} cannot be read: {reason(error)}") from error
        return {int(path.stem): path for path in sorted(pictures)}

    def _unknown(self, index: int, colours: UInt8Array, numbers: UInt8Array, known: NDArray[np.bool_]) -> InputError:
        red, green, blue = (int(value) for value in colours[0])
        what = f"number {numbers[0]} of the palette" if known.all() else "none of the palette"
        return InputError(
            _FIELD,
            f"frame {index} in {self.folder} has the colour ({red}, {green}, {blue}), {what}, which means nothing for "
            f"{self.category} ({CATEGORIES[self.category].name})",
        )
