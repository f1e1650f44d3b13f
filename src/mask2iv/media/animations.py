"""Animated pictures for pages and slides: GIF and WebP; same frames, same bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_write

_WEBP_QUALITY = 80
_GIF_CLOCK = 10
"""Milliseconds in which a GIF counts."""
_GIF_LEAST = 20
"""Least time of a frame: players show shorter ones for 100 ms."""
_PALETTE_PIXELS = 4_000_000
"""Most pixels from which a palette is drawn."""


def write_animation(path: str | os.PathLike[str], frames: UInt8Array, fps: float) -> None:
    """Writes frames as an animation that runs for ever, atomically.

    A GIF has 256 colours, the same for all frames, and counts time in hundredths of a second: it runs at the right rate
    on average, up to 50 frames a second.

    Args:
        path: must end in ``.gif`` or ``.webp``.
        frames: uint8 [T, H, W, 3].
        fps: frames per second, 0.01 to 1000.

    Raises:
        InputError: an argument out of its range, or ``path`` cannot be written.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".gif", ".webp"):
        raise InputError(str(path), "an animation's name must end in .gif or .webp")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError("frames", f"must be uint8 [T, H, W, 3], not empty, found {frames.dtype} {list(frames.shape)}")
    if not 0.01 <= fps <= 1000:
        raise InputError("fps", f"must be between 0.01 and 1000, found {fps}")
    pictures: Sequence[Image.Image] = [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"quality": _WEBP_QUALITY, "method": 4}
    durations = _durations(len(frames), fps, 1, 1)
    if kind == ".gif":
        pictures = _with_one_palette(pictures, frames)
        durations = _durations(len(frames), fps, _GIF_CLOCK, _GIF_LEAST)
        options = {"optimize": False, "disposal": 1}
    with atomic_write(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options)


def _durations(count: int, fps: float, clock: int, least: int) -> list[int]:
    """Milliseconds of each frame, in ticks of a clock, so that no frame is late by more than half a tick."""
    ticks = [math.floor(1000 * index / fps / clock + 0.5) for index in range(count + 1)]
    return [max(least, clock * (after - before)) for before, after in pairwise(ticks)]


def _with_one_palette(pictures: Sequence[Image.Image], frames: UInt8Array) -> list[Image.Image]:
    """The pictures in 256 colours. A palette for each would make still parts flicker."""
    step = math.ceil(frames[..., 0].size / _PALETTE_PIXELS)
    few = frames[::step]
    palette = Image.fromarray(few.reshape(-1, *few.shape[2:])).quantize(256, Image.Quantize.MEDIANCUT)
    return [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
