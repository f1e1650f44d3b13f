"""The Frechet distance between two sets of features, with an interval: behind FVD, FID and FVD-sim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.errors import InputError
from mask2iv.evaluation.measures.metrics import Figure

GROUPS = 20
"""Groups of clips that the jackknife leaves out one at a time; fewer where there are fewer clips."""

_Z = 1.96
"""Half-width of a 95 % interval, in standard errors."""

Array = NDArray[Any]


def frechet_distance(a: Array, b: Array) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features (Heusel et al., 2017, equation 6).

    ``|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` with unbiased covariances. The trace of the root is the
    sum of the singular values of the product of both centred sets, so no matrix root is needed and fewer samples than
    features are no numerical problem. The distance falls with the number of samples: compare equal numbers.

    Args:
        a, b: [N, D] and [M, D], N and M at least 2.

    Raises:
        InputError: other shapes.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            "features", f"must be two sets of 2 or more vectors of one length, found {a.shape} and {b.shape}"
        )
    one, other = (np.asarray(x, dtype=np.float64) for x in (a, b))
    shift = one.mean(axis=0) - other.mean(axis=0)
    one, other = (x - x.mean(axis=0) for x in (one, other))
    spread = np.square(one).sum() / (len(one) - 1) + np.square(other).sum() / (len(other) - 1)
    # Singular values depend on the triangular factors alone, which have at most D rows.
    factors = [np.asarray(np.linalg.qr(x, mode="r")) for x in (one, other)]
    cross = factors[0] @ factors[1].T
    root = np.linalg.svd(cross, compute_uv=False).sum() / np.sqrt((len(one) - 1.0) * (len(other) - 1.0))
    return float(shift @ shift + spread - 2 * root)


def frechet_figure(a: Sequence[Array], b: Sequence[Array]) -> Figure:
    """The distance between features per clip, [n, D] each, with a 95 % jackknife interval over groups of clips.

    The bootstrap used for the other figures draws clips repeatedly. That raises a Frechet distance, and the distance
    itself would lie below its interval.
    """
    if len(a) < 2 or len(a) != len(b):
        return Figure(None, None, None, len(a))
    value, parts = frechet_distance(np.concatenate(a), np.concatenate(b)), _left_out(a, b)
    return _figure(value, parts, len(a), least=0.0)


def frechet_difference(a: Sequence[Array], b: Sequence[Array], true: Sequence[Array]) -> Figure:
    """How much farther `a` is from `true` than `b` is, all of the same clips in the same order; intervals as above."""
    if len(true) < 2:
        return Figure(None, None, None, len(true))
    pooled = [np.concatenate(x) for x in (a, b, true)]
    value = frechet_distance(pooled[0], pooled[2]) - frechet_distance(pooled[1], pooled[2])
    return _figure(value, _left_out(a, true) - _left_out(b, true), len(true))


def _left_out(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """The distance without each group of clips; clip i is in group i modulo their number."""
    groups = min(GROUPS, len(a))
    if len(a) - -(-len(a) // groups) < 2:  # too few clips to leave any out
        return np.full(2, np.nan)
    kept = [[i for i in range(len(a)) if i % groups != group] for group in range(groups)]
    return np.array(
        [frechet_distance(np.concatenate([a[i] for i in k]), np.concatenate([b[i] for i in k])) for k in kept]
    )


def _figure(value: float, parts: Array, clips: int, least: float = -np.inf) -> Figure:
    """With the jackknife interval, not below `least`; without an interval where there are too few clips."""
    count = len(parts)
    half = _Z * float(np.sqrt((count - 1) / count * np.square(parts - parts.mean()).sum()))
    if not np.isfinite(half):
        return Figure(value, None, None, clips)
    return Figure(value, max(value - half, least), value + half, clips)
