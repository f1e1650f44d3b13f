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
    total = height * width
    sized = min(height, width) > 0 and total <= MAX_IMAGE_PIXELS
    # Each by itself: the sum of huge counts wraps around.
    if not sized or (counts < 0).any() or (counts > total).any() or counts.sum() != total:
        raise InputError("rle", f"run lengths do not add up to the {height}x{width} pixels of their size")
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return pixels.reshape((height, width), order="F")


def rle_compress(mask: BoolArray) -> str:
    """Run lengths of a mask, bool [H, W], as the text that pycocotools writes.

    From the third count on it is the difference to the count two before that is written, each number in groups of five
    bits, the lowest first, with a sixth bit where more follow, from the character "0" on.
    """
    counts = rle_encode(mask)["counts"]
    text = bytearray()
    for index, count in enumerate(counts):
        number = count - counts[index - 2] if index > 2 else count
        while True:
            group, number = number & 31, number >> 5
            # The sign is the highest bit of the last group.
            more = number != (-1 if group & 16 else 0)
            text.append(48 + (group | 32 if more else group))
            if not more:
                break
    return text.decode("ascii")


def rle_expand(text: str, size: tuple[int, int]) -> BoolArray:
    """The mask, bool [H, W], of a text that :func:`rle_compress` or pycocotools wrote.

    Raises:
        InputError: other characters, or counts that do not fit the size.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 40:
            raise InputError("rle", f"no compressed run lengths: {text[:40]!r}")
        number |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                number -= 1 << shift
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    if shift:
        raise InputError("rle", "compressed run lengths are cut off")
    return rle_decode({"size": list(size), "counts": counts})
