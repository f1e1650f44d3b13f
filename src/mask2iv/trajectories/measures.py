"""Areas, centres, pieces and overlaps of masks.

Coordinates are (y, x) in pixels, with the centre of the top left pixel at (0, 0).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Trajectory
from mask2iv.errors import InputError

PIECE = 0.1
"""Connected pieces below this share of a mask's area do not count as a second object."""


def area(mask: BoolArray) -> int:
    """Number of pixels in a mask, bool [H, W]."""
    return int(np.count_nonzero(mask))


def centroid(mask: BoolArray) -> tuple[float, float] | None:
    """Mean (y, x) of a mask's pixels, bool [H, W]; None when it is empty."""
    rows, columns = np.nonzero(mask)
    return (float(rows.mean()), float(columns.mean())) if len(rows) else None


def iou(a: BoolArray, b: BoolArray) -> float:
    """Intersection over union of two masks of one shape, in [0, 1]; 1.0 for two empty masks."""
    if a.shape != b.shape:
        raise InputError("b", f"must be a mask of the shape of a, {list(a.shape)}, found {list(b.shape)}")
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def pieces(mask: BoolArray, least: float = PIECE) -> int:
    """Connected pieces of a mask bool [H, W] with at least the share `least` of its area; corners connect."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return int((sizes >= least * sizes.sum()).sum()) if len(sizes) else 0


def without_islands(mask: BoolArray, least: float) -> BoolArray:
    """A mask bool [H, W] without pieces below a share of its largest piece; corners connect."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    kept: BoolArray = (sizes >= least * sizes.max())[pieces]
    return kept


def trajectory_iou(a: Trajectory, b: Trajectory, label: int) -> float:
    """:func:`iou` of one label's masks, frame by frame, averaged over the frames."""
    if a.labels.shape != b.labels.shape:
        raise InputError(
            "b", f"must be a trajectory with the T, H, W of a, {list(a.labels.shape)}, found {list(b.labels.shape)}"
        )
    return float(np.mean([iou(x == label, y == label) for x, y in zip(a.labels, b.labels, strict=True)]))


def centroids(trajectory: Trajectory, label: int) -> NDArray[np.float64]:
    """Centre (y, x) of a label in each frame, float64 [T, 2] in pixels; NaN where it is absent."""
    found = [centroid(frame == label) or (np.nan, np.nan) for frame in trajectory.labels]
    return np.array(found, dtype=np.float64)


def areas(trajectory: Trajectory, label: int) -> NDArray[np.int64]:
    """Number of pixels of a label in each frame, int64 [T]."""
    return np.array([area(frame == label) for frame in trajectory.labels], dtype=np.int64)
