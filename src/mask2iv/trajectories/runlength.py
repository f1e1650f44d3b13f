"""Run-length encoding of masks, in COCO's uncompressed form."""

from __future__ import annotations

import numpy as np

from mask2iv.contract import BoolArray
from mask2iv.errors import InputError
from mask2iv.media.images import MAX_IMAGE_PIXELS


def rle_encode(mask: BoolArray) -> dict[str, list[int]]:
    """Run lengths of a mask, bool [H, W], as COCO's uncompressed form: ``{"size": [H, W], "counts": [...]}``.

    Pixels are read column by column, top to bottom; the counts alternate between off and on, starting with off (0 when
    the first pixel is on).
    """
    pixels = np.asarray(mask, dtype=np.bool_).ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    starts_on = bool(pixels.size and pixels[0])
    return {"size": [int(side) for side in mask.shape], "counts": [0, *counts] if starts_on else counts}


def rle_decode(rle: dict[str, list[int]]) -> BoolArray:
    """The mask, bool [H, W], that :func:`rle_encode` encoded. Raises InputError when the counts do not fit."""
    try:
        height, width = (int(side) for side in rle["size"])
        counts = np.array(rle["counts"], dtype=np.int64).reshape(-1)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError("rle", 'run lengths must be {"size": [H, W], "counts": [integers]}') from error
    if not 0 < height * width <= MAX_IMAGE_PIXELS or (counts < 0).any() or counts.sum() != height * width:
        raise InputError("rle", f"run lengths do not add up to the {height}x{width} pixels of their size")
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return pixels.reshape((height, width), order="F")
