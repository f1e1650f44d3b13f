"""Parts of a video file that holds many recordings: only they are decoded, from the nearest key frame before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.colour import to_srgb
from mask2iv.media.images import resize_image
from mask2iv.media.streams import Decoded, VideoStream, open_stream
from mask2iv.media.videos import VideoInfo, check_kept_pixels


def scan_part(path: Path, start: float, count: int, fps: float, field: str = "video") -> VideoInfo:
    """Times and size of a part of a video file. One frame is decoded; of the others only the time stamps are read.

    Args:
        path: the file.
        start: when the first frame is shown, by the file's time stamps.
        count: number of frames.
        fps: their rate.
        field: name of the input in messages.

    Raises:
        InputError: the file cannot be read, or does not hold the part.
    """
    with open_stream(path, field) as file:
        first = next(_decoded(file, start, fps), None)
        if first is None:
            raise InputError(field, f"{path} ends before {start:g} s")
        size = file.square_size(first)
        stored = first.view.size(first.frame.height, first.frame.width)
    with open_stream(path, field) as file:
        times = sorted(_stamps(file, start, count, fps))[:count]
    if len(times) < count:
        raise InputError(field, f"{path} has {len(times)} frames from {start:g} s on, {count} were expected")
    return VideoInfo(np.array(times) - times[0], fps, size, stored)


def read_part(
    path: Path, start: float, indices: Sequence[int], fps: float, size: tuple[int, int], field: str = "video"
) -> UInt8Array:
    """Some frames of a part of a video file, resized as they are decoded; no other frame is kept.

    Args:
        path, start, fps, field: see :func:`scan_part`.
        indices: of the frames, counted from the part's first, rising.
        size: (H, W) of the result.

    Returns:
        uint8 [len(indices), H, W, 3], upright, in sRGB.

    Raises:
        InputError: the file cannot be read, or ends before.
    """
    check_kept_pixels(path, len(indices), size, field)
    kept = np.empty((len(indices), *size, 3), dtype=np.uint8)
    row = 0
    with open_stream(path, field) as file:
        for index, decoded in enumerate(_decoded(file, start, fps)):
            if row == len(indices):
                break
            if index == indices[row]:
                kept[row] = resize_image(decoded.view.upright(to_srgb(decoded.frame, field, path)), size)
                row += 1
    if row < len(indices):
        raise InputError(field, f"{path} has no frame {indices[row]} from {start:g} s on")
    return kept


def _decoded(file: VideoStream, start: float, fps: float) -> Iterator[Decoded]:
    """Frames from `start` on; half a frame before it counts as it."""
    return file.frames(start - 0.5 / fps)


def _stamps(file: VideoStream, start: float, count: int, fps: float) -> Iterator[float]:
    """Times of frames from `start` on, in the order they are stored, until there are `count` and those beside them."""
    since, found, last = start - 0.5 / fps, 0, start + (count + 0.5) / fps
    for time, decoded_at in file.stamps(since):
        if time >= since:
            found += 1
            yield time
        # Frames may be stored before those that are shown earlier, so a few more are looked at.
        if found >= count and decoded_at > last:
            return
