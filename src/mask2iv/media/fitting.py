"""How a picture, and the masks that belong to it, get the shape of a result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2iv.contract import BoolArray, Fit, Label, Placement, UInt8Array, is_actor
from mask2iv.errors import InputError
from mask2iv.media.images import MAX_IMAGE_PIXELS, resize_image, resize_mask


def check_fit(fit: str, scale: float | None) -> None:
    """Raises InputError for an unknown fit, a scale that is not positive, or one for another fit than "centre"."""
    if fit not in get_args(Fit):
        raise InputError("fit", f"must be one of {', '.join(get_args(Fit))}, found {fit!r}")
    if scale is None:
        return
    if fit != "centre":
        raise InputError("fit_scale", f"the fit {fit} has none", "choose the fit centre, or leave the scale out")
    if not (math.isfinite(scale) and scale > 0):
        raise InputError("fit_scale", f"must be a positive number, found {scale}")


def place(
    source: tuple[int, int],
    size: tuple[int, int],
    fit: Fit = "crop",
    scale: float = 1.0,
    masks: Sequence[BoolArray] = (),
) -> Placement:
    """Where a picture of the size ``source`` (H, W) lands in a result of ``size`` (H, W).

    A picture that has the size already is taken as it is. Otherwise ``fit`` is one of:

    - "crop": the largest part of the result's aspect ratio; it shows ``masks`` whole and with equal margins where it
      can. Where it cannot, it shows the largest shares of them, the first one's counting twice as much as the second's,
      and so on. Without masks, the middle.
    - "pad": all of the picture, with black borders.
    - "stretch": all of it; the aspect ratio is not kept.
    - "centre": as the original Mask2IV prepares its pictures: the shorter side becomes ``scale`` times the result's
      height, and of that the middle is taken, with black borders where it is too small. The original's scale is 1.0 for
      BridgeData V2 and 1.2 for HOI4D.

    Args:
        source, size: in pixels.
        fit: see above.
        scale: of "centre" alone, > 0.
        masks: bool [H, W] of the picture's size, the most important one first.

    Raises:
        InputError: an unknown fit, or a scale that is not positive or makes more than 64 megapixels.
    """
    check_fit(fit, scale if fit == "centre" else None)
    (height, width), whole = source, (0, 0, *source)
    if source == size or fit == "stretch":
        return Placement(fit, source, whole, size, (0, 0), size)
    wide = width * size[0] > height * size[1]
    if fit == "crop":
        rows = height if wide else max(1, round(width * size[0] / size[1]))
        columns = max(1, round(height * size[1] / size[0])) if wide else width
        return Placement(fit, source, (*_corner(source, (rows, columns), masks), rows, columns), size, (0, 0), size)
    if fit == "pad":
        scaled = (round(size[1] * height / width), size[1]) if wide else (size[0], round(size[0] * width / height))
    else:
        factor = scale * size[0] / min(source)
        scaled = (round(factor * height), round(factor * width))
    scaled = (max(1, scaled[0]), max(1, scaled[1]))
    if scaled[0] * scaled[1] > MAX_IMAGE_PIXELS:
        raise InputError("fit_scale", f"{scale:g} makes more than {MAX_IMAGE_PIXELS // 1_000_000} megapixels of it")
    above, before = ((end - length) // 2 if end > length else -round((length - end) / 2)
                     for length, end in zip(scaled, size, strict=True))  # fmt: skip
    return Placement(fit, source, whole, scaled, (above, before), size)


def _corner(source: tuple[int, int], extent: tuple[int, int], masks: Sequence[BoolArray]) -> tuple[int, int]:
    """(top, left) of the window of ``extent`` (H, W) that shows most of the masks."""
    seen = [mask for mask in masks if mask.any()]
    top, left = (
        _start([np.count_nonzero(mask, axis=1 - axis) for mask in seen], source[axis], extent[axis]) for axis in (0, 1)
    )
    return top, left


def _start(profiles: Sequence[NDArray[Any]], total: int, length: int) -> int:
    """Start of the window of ``length`` that shows most of the masks, given how many pixels each has per row."""
    starts = np.arange(total - length + 1)
    if not profiles:
        return len(starts) // 2
    shares = np.zeros(len(starts))
    for index, profile in enumerate(profiles):
        before = np.concatenate([[0], np.cumsum(profile)])
        shares += (before[starts + length] - before[starts]) / before[-1] / 2**index
    where = np.flatnonzero(np.any([profile > 0 for profile in profiles], axis=0))
    off_middle = np.abs(starts + length / 2 - (where[0] + where[-1] + 1) / 2)
    # The last key counts most; of equals the first is taken. Rounded, since sums of shares differ in their last bits.
    return int(np.lexsort((off_middle, -shares.round(9)))[0])


def placed_image(image: UInt8Array, placement: Placement) -> UInt8Array:
    """The shown part of pictures, uint8 [..., H, W, 3] of the size ``placement.source``, at ``placement.size``."""
    if placement.unchanged:
        return image
    top, left, height, width = placement.box
    how = Image.Resampling.BILINEAR if placement.fit == "centre" else Image.Resampling.BICUBIC
    part = image[..., top : top + height, left : left + width, :]
    return _pasted(resize_image(part, placement.scaled, how), placement, image.ndim - 3)


def placed_mask(mask: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """The part of masks or labels that a result shows, [..., H, W] of any type; black borders are False, or 0."""
    if placement.unchanged:
        return mask
    top, left, height, width = placement.box
    part = mask[..., top : top + height, left : left + width]
    return _pasted(resize_mask(part, placement.scaled), placement, mask.ndim - 2)


def _pasted(part: NDArray[Any], placement: Placement, first: int) -> NDArray[Any]:
    """The resized part in the result, cut off or with borders. ``first`` is the axis of the rows."""
    if placement.scaled == placement.size and placement.offset == (0, 0):
        return np.ascontiguousarray(part)
    borders = [(0, 0)] * part.ndim
    for axis, (offset, size) in enumerate(zip(placement.offset, placement.size, strict=True), first):
        before, cut = max(offset, 0), max(-offset, 0)
        part = part.take(range(cut, min(part.shape[axis], cut + size - before)), axis=axis)
        borders[axis] = (before, size - before - part.shape[axis])
    return np.pad(part, borders)


def fit_clip(
    video: UInt8Array,
    labels: UInt8Array,
    size: tuple[int, int],
    fit: Fit,
    scale: float = 1.0,
    source: tuple[int, int] | None = None,
) -> tuple[UInt8Array, UInt8Array]:
    """A clip at another size; all of its frames are placed alike.

    Args:
        video: uint8 [T, H, W, 3].
        labels: uint8 [T, H, W]. A crop is placed around the object, then the actor, of all frames.
        size, fit, scale: see :func:`place`.
        source: (H, W) of the video before it was reduced, see :func:`reduced_size`; by default it was not.

    Returns:
        Video and labels at ``size``.
    """
    found = (labels.shape[1], labels.shape[2])
    if fit == "centre" and source is not None:
        placement = place(source, size, fit, scale)
        if placement.scaled == found:
            # It is reduced already: a second time would round differently.
            return _pasted(video, placement, 1), _pasted(labels, placement, 1)
    masks = [np.any(labels == Label.OBJECT, axis=0), np.any(is_actor(labels), axis=0)]
    placement = place(found, size, fit, scale, masks)
    return placed_image(video, placement), placed_mask(labels, placement)


def reduced_size(source: tuple[int, int], size: tuple[int, int], fit: Fit, scale: float = 1.0) -> tuple[int, int]:
    """(H, W) to which frames of the size ``source`` may be reduced as they are decoded, before :func:`fit_clip`.

    They are not enlarged. Other arguments: see :func:`place`.
    """
    if fit == "centre":
        scaled = place(source, size, fit, scale).scaled
        return scaled if scaled[0] <= source[0] and scaled[1] <= source[1] else source
    scales = [wanted / found for wanted, found in zip(size, source, strict=True)]
    if fit != "stretch":
        scales = [max(scales) if fit == "crop" else min(scales)] * 2
    height, width = (max(1, round(min(1.0, scale) * side)) for scale, side in zip(scales, source, strict=True))
    return height, width
