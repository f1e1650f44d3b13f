"""The motion of an object, estimated from its masks; warped images and clean plates.

A motion is a similarity (rotation, uniform scale, translation), float64 [2, 3], that maps pixel coordinates (x, y) of
the first frame to those of another. It is initialised from areas and centroids, and refined by overlaying the first
mask on the frame's. Pixels of other labels count as unknown, since they may occlude a part; parts outside the picture
do not count either. Masks do not show how a round object turns: of equally good motions, the one nearest to the
previous frame's is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mask2iv.contract import BoolArray, Label, UInt8Array

Transform = NDArray[np.float64]

SCALE_RANGE = (0.6, 1.7)
"""Range of a motion's scale, relative to the first frame."""
_WORKING_SIDE = 56
"""Longest side of the larger mask in pixels, at the resolution of comparisons."""
_MARGIN = 0.35
"""Margin around the masks in a comparison, as a share of their side."""
_PENALTY = (0.02, 0.04, 0.08)
"""Cost, in IoU, of a change since the previous frame: by a whole side, by a factor of e, by a radian."""


@dataclass(frozen=True)
class _Pose:
    """Parameters of a motion: shift of the centroid in pixels, logarithm of the scale, angle in radians."""

    x: float
    y: float
    log_scale: float
    angle: float

    def matrix(self, centre: tuple[float, float]) -> Transform:
        """The map that rotates and scales about `centre` (x, y), then translates."""
        return similarity(centre, (self.x, self.y), self.log_scale, self.angle)


def similarity(centre: ArrayLike, shift: ArrayLike, log_scale: float, angle: float) -> NDArray[np.float64]:
    """The map of pixels (x, y) that rotates and scales about a centre, then translates; float64 [2, 3].

    Args:
        centre, shift: (x, y) in pixels.
        log_scale: natural logarithm of the scale.
        angle: in radians, positive from x to y.
    """
    cos, sin = np.cos(angle) * np.exp(log_scale), np.sin(angle) * np.exp(log_scale)
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, np.add(centre, shift) - linear @ centre])


def object_transforms(labels: UInt8Array, label: int = Label.OBJECT) -> Transform:
    """The motion of a label's mask from the first frame to each frame.

    Args:
        labels: uint8 [T, H, W].
        label: whose masks to follow.

    Returns:
        float64 [T, 2, 3], maps of (x, y) pixel coordinates. The identity for the first frame; the last known motion
        where a frame lacks the label; all identities if the first frame lacks it.
    """
    first = labels[0] == label
    poses = [_Pose(0.0, 0.0, 0.0, 0.0)]
    if not first.any():
        return np.repeat(np.eye(2, 3)[None], len(labels), axis=0)
    centre = _centroid(first)
    for frame in labels[1:]:
        mask = frame == label
        unknown = (frame != label) & (frame != Label.BACKGROUND)
        poses.append(_align(first, mask, unknown, centre, poses[-1]) if mask.any() else poses[-1])
    return np.stack([pose.matrix(centre) for pose in poses])


def invert(transforms: Transform) -> Transform:
    """The inverse maps, float64 [T, 2, 3]."""
    return np.stack([cv2.invertAffineTransform(transform) for transform in transforms])


def warp_image(image: UInt8Array, transform: Transform) -> UInt8Array:
    """An image uint8 [H, W, 3] warped by a motion; border pixels are replicated outside."""
    height, width = image.shape[:2]
    warped: UInt8Array = np.asarray(
        cv2.warpAffine(image, transform, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
    return warped


def warp_mask(mask: BoolArray, transform: Transform, extended: bool = False) -> BoolArray:
    """A mask bool [H, W] warped by a motion.

    Outside the picture it is empty; with `extended` it goes on there as at the border, as an arm does.
    """
    height, width = mask.shape
    border = cv2.BORDER_REPLICATE if extended else cv2.BORDER_CONSTANT
    warped: BoolArray = cv2.warpAffine(mask.astype(np.float32), transform, (width, height), borderMode=border) > 0.5
    return warped


def clean_plate(image: UInt8Array, mask: BoolArray, radius: int = 3) -> UInt8Array:
    """The image uint8 [H, W, 3] with the area of `mask` bool [H, W] inpainted (Telea 2004).

    Args:
        image: a frame.
        mask: the area to remove; dilated by two pixels, because edges are mixed with the background.
        radius: inpainting radius, in pixels.
    """
    if not mask.any() or mask.all():
        return image
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    filled: UInt8Array = np.asarray(cv2.inpaint(np.ascontiguousarray(image), hole, radius, cv2.INPAINT_TELEA))
    return filled


def _centroid(mask: BoolArray) -> tuple[float, float]:
    """(x, y) of a mask that is not empty."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def _align(first: BoolArray, mask: BoolArray, unknown: BoolArray, centre: tuple[float, float], before: _Pose) -> _Pose:
    """The pose that best overlays `first` on `mask`, searched from the previous pose and from centroid and area."""
    compare = _Comparison(first, mask, unknown, centre, before)
    x, y = _centroid(mask)
    ratio = float(np.clip(mask.sum() / first.sum(), SCALE_RANGE[0] ** 2, SCALE_RANGE[1] ** 2))
    moved = (x - centre[0], y - centre[1])
    turn = _turn(first, mask)
    starts = [
        before,
        _Pose(*moved, before.log_scale, before.angle),
        _Pose(*moved, np.log(ratio) / 2, before.angle),
        _Pose(*moved, np.log(ratio) / 2, before.angle + _nearest_half_turn(turn - before.angle)),
    ]
    scores = [compare(pose) for pose in starts]
    best, score = starts[int(np.argmax(scores))], max(scores)
    step, angle, size = compare.side / 6, 0.25, 0.12
    while step > 0.3:
        tried = [
            _Pose(best.x + dx * step, best.y + dy * step, best.log_scale, best.angle)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ]
        tried += [_Pose(best.x, best.y, best.log_scale, best.angle + sign * angle) for sign in (1, -1)]
        low, high = np.log(SCALE_RANGE)
        tried += [
            _Pose(best.x, best.y, float(np.clip(best.log_scale + sign * size, low, high)), best.angle)
            for sign in (1, -1)
        ]
        scores = [compare(pose) for pose in tried]
        if max(scores) > score + 1e-6:
            best, score = tried[int(np.argmax(scores))], max(scores)
        else:
            step, angle, size = step / 2, angle / 2, size / 2
    return best


class _Comparison:
    """How well a pose explains a mask: IoU over the known pixels, minus the cost of the change since the last pose."""

    def __init__(
        self, first: BoolArray, mask: BoolArray, unknown: BoolArray, centre: tuple[float, float], before: _Pose
    ) -> None:
        rows, columns = np.nonzero(first)
        self.side = float(max(np.ptp(rows), np.ptp(columns)) + 1)
        other = np.nonzero(mask)
        side = max(self.side, float(max(np.ptp(other[0]), np.ptp(other[1])) + 1))
        scale = min(1.0, _WORKING_SIDE / side)
        x, y = _centroid(mask)
        half = side * (0.5 + _MARGIN)
        corner = (x - half, y - half)
        self.size = (round(2 * half * scale), round(2 * half * scale))
        # From the frame to the window in which masks are compared.
        self.window = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
        self.first = first.astype(np.float32)
        self.mask = cv2.warpAffine(mask.astype(np.float32), self.window, self.size)
        seen = cv2.warpAffine((~unknown).astype(np.float32), self.window, self.size)
        self.known = seen * (cv2.warpAffine(np.ones_like(self.first), self.window, self.size) > 0.5)
        self.centre, self.before = centre, before

    def __call__(self, pose: _Pose) -> float:
        matrix = pose.matrix(self.centre)
        joined = self.window[:, :2] @ matrix
        joined[:, 2] += self.window[:, 2]
        overlaid = cv2.warpAffine(self.first, joined, self.size)
        both = float((np.minimum(overlaid, self.mask) * self.known).sum())
        either = float((np.maximum(overlaid, self.mask) * self.known).sum())
        moved = np.hypot(pose.x - self.before.x, pose.y - self.before.y) / self.side
        resized, turned = abs(pose.log_scale - self.before.log_scale), abs(pose.angle - self.before.angle)
        cost = float(np.dot(_PENALTY, (moved, resized, turned)))
        return (both / either if either else 0.0) - cost


def _turn(first: BoolArray, mask: BoolArray) -> float:
    """Angle in radians between the major axes of two masks, modulo half a turn."""
    return _axis(mask) - _axis(first)


def _axis(mask: BoolArray) -> float:
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    return 0.5 * float(np.arctan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"]))


def _nearest_half_turn(angle: float) -> float:
    """`angle` plus the multiple of half a turn that brings it nearest to zero."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2
