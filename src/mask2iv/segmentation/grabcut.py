"""The mask of one object from a box around it or a point on it, by GrabCut, without weights."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Segmenter

_ITERATIONS = 5
_SPECK = 0.05
"""Components smaller than this share of the largest one are noise."""
_POINT_REACH = 0.25
"""How far from the point the object may extend, as a share of the image's shorter side."""
_ALIKE = 15.0
"""Distance in 8-bit Lab below which two colours may belong to one object."""


class GrabCut(Segmenter):
    """GrabCut from a box or a point: :func:`mask_from_box` and :func:`mask_from_point`."""

    name = "grabcut"

    def __call__(self, image: UInt8Array, prompt: Sequence[float], field: str = "prompt") -> BoolArray:
        if len(prompt) not in (2, 4):
            raise InputError(field, f"must be a box (x, y, w, h) or a point (x, y), found {list(prompt)}")
        return (mask_from_box if len(prompt) == 4 else mask_from_point)(image, prompt, field)


def mask_from_box(image: UInt8Array, box: Sequence[float], field: str = "box") -> BoolArray:
    """The object that fills most of a box.

    Args:
        image: uint8 [H, W, 3].
        box: (x, y, w, h) in pixels, around the object, inside the image and smaller than it.
        field: name of the input in messages.

    Returns:
        bool [H, W], true only inside the box; deterministic.

    Raises:
        InputError: the box leaves the image, is smaller than 4 pixels or as large as the image, or nothing stands out
            in it.
    """
    height, width = image.shape[:2]
    x, y, w, h = _whole(box, 4, field)
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InputError(field, f"x={x} y={y} w={w} h={h} leaves the image of {width}x{height} pixels")
    if w < 4 or h < 4 or (w == width and h == height):
        raise InputError(field, f"w={w} h={h} must be at least 4 pixels and less than the image, {width}x{height}")
    trimap = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    trimap[y : y + h, x : x + w] = cv2.GC_PR_FGD
    found = _grab_cut(image, trimap)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    if count < 2:
        raise InputError(field, f"nothing in x={x} y={y} w={w} h={h} stands out", "draw a tighter box or supply a mask")
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    kept: BoolArray = np.isin(pieces, np.flatnonzero(sizes >= max(1.0, _SPECK * sizes.max())))
    return kept


def mask_from_point(image: UInt8Array, point: Sequence[float], field: str = "point") -> BoolArray:
    """The object under a point: the connected component of similar colour around it.

    Args:
        image: uint8 [H, W, 3].
        point: (x, y) in pixels.
        field: name of the input in messages.

    Returns:
        bool [H, W], reaching at most a quarter of the image's shorter side from the point, true at the point.

    Raises:
        InputError: the point lies outside the image, or nothing stands out there.
    """
    height, width = image.shape[:2]
    x, y = _whole(point, 2, field)
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(field, f"x={x} y={y} lies outside the image of {width}x{height} pixels")
    reach = max(4, round(_POINT_REACH * min(height, width)))
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - y, columns - x)
    trimap = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    near = np.maximum(np.abs(rows - y), np.abs(columns - x)) <= reach
    certain = distance <= max(1.0, reach / 16)
    colours = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2Lab).astype(np.float32)
    # At first everything of the point's colour counts as foreground, connected or not: another object of that colour
    # would teach it to the background model. Components are separated at the end.
    alike = np.linalg.norm(colours - np.median(colours[certain], axis=0), axis=-1) < _ALIKE
    trimap[near] = cv2.GC_PR_BGD
    trimap[near & (alike | (distance <= reach / 4))] = cv2.GC_PR_FGD
    trimap[certain] = cv2.GC_FGD
    if not (trimap == cv2.GC_BGD).any():
        raise InputError(field, f"the image of {width}x{height} pixels is too small to segment", "supply a mask")
    found = _grab_cut(image, trimap)
    _, pieces = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
    piece: BoolArray = pieces == pieces[y, x]
    if not found[y, x] or piece.sum() <= (trimap == cv2.GC_FGD).sum():
        raise InputError(field, f"nothing stands out at x={x} y={y}", "draw a box or supply a mask")
    return piece


def _whole(values: Sequence[float], count: int, field: str) -> list[int]:
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(field, f"expected {count} numbers of pixels, found {list(values)}")
    return [round(float(value)) for value in values]


def _grab_cut(image: UInt8Array, trimap: UInt8Array) -> BoolArray:
    """Foreground bool [H, W] within what ``trimap`` (cv2.GC_* values) leaves open."""
    rows, columns = np.nonzero(trimap != cv2.GC_BGD)
    # Compared with its surroundings, not the whole image: as good and much faster.
    margin = 8 + max(np.ptp(rows), np.ptp(columns)) // 2
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    part = np.s_[top : rows.max() + margin + 1, left : columns.max() + margin + 1]
    result = np.ascontiguousarray(trimap[part])
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    pixels = np.ascontiguousarray(image[part])
    cv2.grabCut(pixels, result, (0, 0, 0, 0), models[0], models[1], _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.zeros(trimap.shape, dtype=np.bool_)
    found[part] = (result == cv2.GC_FGD) | (result == cv2.GC_PR_FGD)
    return found
