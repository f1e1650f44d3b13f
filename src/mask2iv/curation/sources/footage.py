"""The pictures of a recording: a video file, or a folder of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError, within
from mask2iv.files import numbered_files
from mask2iv.media.images import IMAGE_SUFFIXES, picture_size, read_image, resize_image
from mask2iv.media.videos import MAX_VIDEO_PIXELS, VideoInfo, read_frames, scan_stamps, scan_video

_FIELD = "video"


@dataclass(frozen=True)
class SingleFile:
    """What all footage in one file has in common."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)


@dataclass(frozen=True)
class VideoFootage(SingleFile):
    """A video file. Implements :class:`~mask2iv.curation.sources.interfaces.Footage`."""

    def scan(self, whole: bool = True) -> VideoInfo:
        """With `whole` every frame is decoded."""
        return scan_video(self.path, _FIELD) if whole else scan_stamps(self.path, _FIELD)

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        return read_frames(self.path, indices, size, _FIELD, None if info is None else info.times)


@dataclass(frozen=True)
class PictureFootage:
    """A folder of pictures ``im_0.jpg, im_1.jpg, ... im_10.jpg``, ordered by number.

    Implements :class:`~mask2iv.curation.sources.interfaces.Footage`.

    Attributes:
        folder: with the pictures; other files in it are ignored.
        fps: their rate, > 0.
        first: number of the first picture; None: any.
    """

    folder: Path
    fps: float
    first: int | None = 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures in their order.

        Raises:
            InputError: none, a gap in the numbering, or a name without a number.
        """
        with within(_FIELD):
            paths = tuple(numbered_files(self.folder, IMAGE_SUFFIXES))
        if self.first is not None and _number(paths[0]) != self.first:
            raise InputError(
                _FIELD,
                f"{self.folder} begins with frame {_number(paths[0])}; frame {self.first} is missing",
                "copy it again",
            )
        return paths

    def scan(self, whole: bool = True) -> VideoInfo:
        """Only the headers of the pictures are read; a picture that is damaged behind its header is found by `read`.

        Raises:
            InputError: a gap in the numbering, a picture that is none, or pictures of several sizes; names the frame.
        """
        paths = self.files
        size = (0, 0)
        for index, path in enumerate(paths):
            with within(f"frame {index}"):
                found = picture_size(path, _FIELD)
            if index and found != size:
                raise InputError(
                    _FIELD,
                    f"frame {index} of {self.folder} has {found[1]}x{found[0]} pixels, those before it "
                    f"{size[1]}x{size[0]}",
                    "use frames of one size",
                )
            size = found
        return VideoInfo(np.arange(len(paths)) / self.fps, self.fps, size, size)

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        if len(indices) * size[0] * size[1] > MAX_VIDEO_PIXELS:
            raise InputError(_FIELD, f"more than {MAX_VIDEO_PIXELS:,} pixels are asked for of {self.folder}")
        paths = self.files
        kept = np.empty((len(indices), *size, 3), dtype=np.uint8)
        for row, index in enumerate(indices):
            if index >= len(paths):
                raise InputError(_FIELD, f"{self.folder} has no frame {index}, only {len(paths)} frames")
            with within(f"frame {index}"):
                kept[row] = resize_image(read_image(paths[index], _FIELD), size)
        return kept


def _number(path: Path) -> int:
    """The last number in a picture's name."""
    return int(re.findall("[0-9]+", path.stem)[-1])


def frames_between(info: VideoInfo, start: float, stop: float | None) -> NDArray[np.intp]:
    """Indices of the frames of a part of a recording.

    Args:
        info: of the recording.
        start: seconds from the first frame.
        stop: seconds, past the end; None: to the end.

    Returns:
        int [N], rising. Time stamps count up to a quarter of a frame early: containers round them.
    """
    slack = 0.25 / info.fps
    inside = info.times >= start - slack
    if stop is not None:
        inside &= info.times < stop - slack
    return np.flatnonzero(inside)
