"""Statistics of features, in the form of LeRobot data sets: exact, where the lerobot package samples and bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_THINNED = 300
"""From this side on, pictures are thinned out to about half of it, as by the lerobot package."""
Counts = NDArray[np.int64]


def picture_counts(frames: UInt8Array) -> Counts:
    """How often each value occurs in pictures uint8 [T, H, W, 3]: int64 [3, 256]."""
    side = max(frames.shape[1:3])
    step = 1 if side < _THINNED else max(1, side // (_THINNED // 2))
    thin = frames[:, ::step, ::step].reshape(-1, 3)
    return np.stack([np.bincount(thin[:, channel], minlength=256) for channel in range(3)])


def of_pictures(counts: Counts, frames: int) -> dict[str, Any]:
    """Statistics of pictures by :func:`picture_counts`, divided by 255: lists of shape (3, 1, 1), and ``count``, the
    number of frames."""
    values = np.arange(256)
    found: dict[str, list[float]] = {name: [] for name in ("min", "max", "mean", "std", *QUANTILES)}
    for channel in counts:
        there = np.flatnonzero(channel)
        mean = float((channel * values).sum() / channel.sum())
        spread = float(np.sqrt((channel * (values - mean) ** 2).sum() / channel.sum()))
        of_channel = {"min": there[0], "max": there[-1], "mean": mean, "std": spread}
        below = np.cumsum(channel)
        of_channel |= {name: np.searchsorted(below, share * below[-1]) for name, share in QUANTILES.items()}
        for name, value in of_channel.items():
            found[name].append(float(value) / 255)
    shaped: dict[str, Any] = {name: [[[value]] for value in values] for name, values in found.items()}
    return {**shaped, "count": [frames]}


def of_numbers(values: NDArray[Any]) -> dict[str, Any]:
    """Statistics of numbers [N] or [N, D]: lists of one number or of D, and ``count``."""
    wide = values.astype(np.float64).reshape(len(values), -1)
    found = {"min": wide.min(axis=0), "max": wide.max(axis=0), "mean": wide.mean(axis=0), "std": wide.std(axis=0)}
    found |= {name: np.quantile(wide, share, axis=0) for name, share in QUANTILES.items()}
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(wide)]}
