"""Pure measures of one trajectory or video against the true one, and their means with intervals.

Distances are shares of the image diagonal. The first frame is an input of both stages, so overlap and picture
measures leave it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import iou
from mask2iv.trajectories.morphology import dilate

CHANGED_ABOVE = 10
"""A pixel changes when a channel (0 to 255) differs by more than this from the first frame."""
CHANGED_KERNEL = 7
"""Side of the dilation of the changed pixels."""
PSNR_LIMIT = 100.0
"""PSNR of identical pictures, in dB, and the upper limit for any pair."""
RESAMPLES = 2000
BOOTSTRAP_SEED = 0

Array = NDArray[np.float64]


# --- trajectories


def object_iou(predicted: Trajectory, true: Trajectory) -> float:
    """Mean IoU of the object over the frames after the first, in [0, 1]; a frame where both lack it counts 1."""
    return _mean_iou(predicted.object, true.object)


def actor_iou(predicted: Trajectory, true: Trajectory) -> float:
    """Mean IoU of all actors over the frames after the first, in [0, 1]; a frame where both lack one counts 1."""
    return _mean_iou(predicted.actor, true.actor)


def _mean_iou(a: BoolArray, b: BoolArray) -> float:
    if a.shape != b.shape or len(a) < 2:
        raise InputError(
            "predicted",
            f"must have the true trajectory's shape and 2 frames or more, found {list(a.shape)} and {list(b.shape)}",
        )
    return float(np.mean([iou(x, y) for x, y in zip(a[1:], b[1:], strict=True)]))


# --- pictures


def changed_pixels(video: UInt8Array) -> BoolArray:
    """Pixels of a video uint8 [T, H, W, 3] that change (:data:`CHANGED_ABOVE`), dilated: bool [T-1, H, W]."""
    difference = np.abs(video[1:].astype(np.int16) - video[:1].astype(np.int16)).max(axis=-1)
    grown: BoolArray = dilate(torch.from_numpy(difference > CHANGED_ABOVE), CHANGED_KERNEL).numpy()
    return grown


def psnr(predicted: UInt8Array, true: UInt8Array, where: BoolArray | None = None) -> float | None:
    """Peak signal-to-noise ratio of a video in dB, from its mean squared error over the frames after the first.

    Args:
        predicted, true: uint8 [T, H, W, 3].
        where: bool [T-1, H, W], the pixels that count; None for all.

    Returns:
        At most :data:`PSNR_LIMIT`; None where no pixel counts.
    """
    _check_pair(predicted, true)
    squares = np.square(predicted[1:].astype(np.float64) - true[1:])
    counted = squares if where is None else squares[where]
    if not counted.size:
        return None
    error = counted.mean()
    return PSNR_LIMIT if error == 0 else min(PSNR_LIMIT, float(10 * np.log10(255.0**2 / error)))


def ssim(predicted: UInt8Array, true: UInt8Array) -> float:
    """Structural similarity of a video, mean over the frames after the first and the colour channels.

    As defined by Wang et al. (2004): Gaussian window of 11 x 11 pixels and standard deviation 1.5, K1 = 0.01,
    K2 = 0.03, population variances; windows that reach beyond the picture are left out.

    Args:
        predicted, true: uint8 [T, H, W, 3], H and W at least 11.

    Returns:
        At most 1, for identical pictures.
    """
    _check_pair(predicted, true)
    if min(true.shape[1:3]) < 11:
        raise InputError("true", f"ssim needs pictures of at least 11x11 pixels, found {true.shape[1]}x{true.shape[2]}")
    a, b = _planes(predicted), _planes(true)
    mean_a, mean_b = _gaussian(a), _gaussian(b)
    variance_a, variance_b = _gaussian(a * a) - mean_a**2, _gaussian(b * b) - mean_b**2
    covariance = _gaussian(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean())


def _planes(video: UInt8Array) -> torch.Tensor:
    """The frames after the first, uint8 [T, H, W, 3] -> float64 [3 (T-1), 1, H, W]."""
    return torch.from_numpy(video[1:]).permute(0, 3, 1, 2).flatten(0, 1).unsqueeze(1).double()


def _gaussian(planes: torch.Tensor) -> torch.Tensor:
    """[N, 1, H, W] -> [N, 1, H-10, W-10], smoothed."""
    weights = torch.exp(-(torch.arange(-5, 6, dtype=planes.dtype) ** 2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(planes, weights.view(1, 1, 11, 1)), weights.view(1, 1, 1, 11))


def _check_pair(predicted: UInt8Array, true: UInt8Array) -> None:
    if predicted.shape != true.shape or true.ndim != 4 or len(true) < 2:
        raise InputError(
            "predicted",
            "must have the T, H and W of the true video and 2 frames or more, found "
            f"{list(predicted.shape)} and {list(true.shape)}",
        )


# --- means with intervals


@dataclass(frozen=True)
class Figure:
    """A statistic over clips with its 95 % bootstrap interval.

    Attributes:
        value, low, high: None where no clip counts.
        clips: how many count.
    """

    value: float | None
    low: float | None
    high: float | None
    clips: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def mean_figure(values: ArrayLike) -> Figure:
    """Mean over clips; NaN and None entries are left out."""
    return _figure(_column(values), lambda sample: sample[..., 0].mean(axis=-1))


def median_figure(values: ArrayLike) -> Figure:
    """Median over clips; NaN and None entries are left out."""
    return _figure(_column(values), lambda sample: np.median(sample[..., 0], axis=-1))


def share_figure(parts: ArrayLike, wholes: ArrayLike) -> Figure:
    """Sum of the parts over the sum of the wholes; clips whose whole is 0 are left out."""
    pairs = np.stack([np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)], axis=-1)
    return _figure(pairs[pairs[:, 1] > 0], lambda sample: sample[..., 0].sum(axis=-1) / sample[..., 1].sum(axis=-1))


def ratio_figure(parts: ArrayLike, wholes: ArrayLike) -> Figure:
    """Sum of the parts over the sum of the wholes; all clips count, since a clip's part may exceed its whole."""
    pairs = np.stack([np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)], axis=-1)
    if not pairs[:, 1].sum():
        return Figure(None, None, None, 0)

    def statistic(sample: Array) -> Any:
        part, whole = sample[..., 0].sum(axis=-1), sample[..., 1].sum(axis=-1)
        return part / np.where(whole > 0, whole, np.nan)  # a resample whose wholes are all 0 has no ratio

    return _figure(pairs, statistic)


def share_difference(parts: ArrayLike, wholes: ArrayLike, other_parts: ArrayLike, other_wholes: ArrayLike) -> Figure:
    """How much larger one share of sums is than another over the same clips; all clips count."""
    columns = [np.asarray(column, dtype=np.float64) for column in (parts, wholes, other_parts, other_wholes)]
    rows = np.stack(columns, axis=-1)
    if not (rows[:, 1].sum() and rows[:, 3].sum()):
        return Figure(None, None, None, 0)

    def statistic(sample: Array) -> Any:
        part, whole, other_part, other_whole = (sample[..., i].sum(axis=-1) for i in range(4))
        with np.errstate(invalid="ignore"):
            return part / whole - other_part / other_whole  # NaN where no object of a resample moves

    return _figure(rows, statistic)


def _column(values: ArrayLike) -> Array:
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return column[~np.isnan(column[:, 0])]


def _figure(rows: Array, statistic: Callable[[Array], Any]) -> Figure:
    """Percentile bootstrap over the rows [N, K], with a fixed seed: same rows, same interval."""
    # scipy.stats.bootstrap draws the same resamples, but is slower, refuses a single clip and stumbles over NaN.
    if not len(rows):
        return Figure(None, None, None, 0)
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(len(rows), size=(RESAMPLES, len(rows)))
    low, high = np.nanquantile(statistic(rows[picks]), [0.025, 0.975])
    return Figure(float(statistic(rows)), float(low), float(high), len(rows))
