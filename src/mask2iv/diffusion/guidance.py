"""Guidance: combine the network's predictions under weaker and stronger conditioning. All are pure functions.

With two predictions this is classifier-free guidance; with three, image and text are guided separately. Both are one
chain ``p0 + s1 * (p1 - p0) + s2 * (p2 - p1) + ...`` from the least to the most conditioned prediction, each [B, ...].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mask2iv.errors import InputError


def active_branches(scales: Sequence[float]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Which predictions of a chain have to be computed, and the scales of the chain of these alone.

    A prediction whose factor in the chain is 0 is left out: the unconditional one at scale 1, an intermediate one
    between two equal scales. The last, fully conditioned prediction is always kept.

    Args:
        scales: the N guidance scales of a chain of N + 1 predictions; ``(guidance_scale,)`` for classifier-free
            guidance, ``(image_scale, guidance_scale)`` with a branch "image yes, text empty" in between.

    Returns:
        (indices, scales): ascending indices into the N + 1 predictions, and one scale fewer than indices. If all scales
        are 1 these are ``((N,), ())``: one network call, no guidance and no rescale.
    """
    factors = (1.0, *scales)
    last_of_run = [k for k in range(len(factors)) if k == len(factors) - 1 or factors[k] != factors[k + 1]]
    return tuple(last_of_run), tuple(float(factors[k]) for k in last_of_run[1:])


def rescale_guidance(v_guided: Tensor, v_cond: Tensor, phi: float) -> Tensor:
    """Undo the increase in standard deviation caused by guidance (arXiv 2305.08891, equations 15 and 16).

    Args:
        v_guided: guided prediction [B, ...].
        v_cond: conditional prediction, same shape.
        phi: share of the rescaled prediction in the result, in [0, 1]; 0 returns ``v_guided``.

    Returns:
        phi * v_guided * std(v_cond) / std(v_guided) + (1 - phi) * v_guided, with the unbiased standard deviation of
        each sample over all other dimensions. A constant prediction, whose deviation is 0, is not changed.

    Raises:
        InputError: phi outside [0, 1].
    """
    if not 0.0 <= phi <= 1.0:
        raise InputError("guidance_rescale", f"must be in [0, 1], found {phi}")
    if phi == 0.0:
        return v_guided
    dims = list(range(1, v_guided.ndim))
    std_guided = v_guided.std(dim=dims, keepdim=True)
    std_cond = v_cond.std(dim=dims, keepdim=True)
    # A freshly initialised network predicts all zeros; 0 / 0 would turn the whole sample into NaN.
    ratio = torch.where(std_guided > 0, std_cond / std_guided, torch.ones_like(std_guided))
    return phi * (v_guided * ratio) + (1.0 - phi) * v_guided


def chained_guidance(predictions: Sequence[Tensor], scales: Sequence[float], rescale: float = 0.0) -> Tensor:
    """v = p0 + s1 * (p1 - p0) + s2 * (p2 - p1) + ..., then :func:`rescale_guidance` against the last prediction.

    Args:
        predictions: N + 1 predictions [B, ...] from the least to the most conditioned, e.g. those of
            :func:`active_branches`. A single one (N = 0) is returned untouched.
        scales: N guidance scales.
        rescale: phi of :func:`rescale_guidance`, in [0, 1].

    Raises:
        InputError: the numbers of predictions and scales do not match, or rescale is outside [0, 1].
    """
    if len(predictions) != len(scales) + 1:
        raise InputError(
            "predictions",
            f"guidance needs one more than scales, found {len(predictions)} predictions and {len(scales)} scales",
        )
    if not scales:
        return predictions[0]
    guided = predictions[0]
    for weaker, stronger, scale in zip(predictions[:-1], predictions[1:], scales, strict=True):
        guided = guided + scale * (stronger - weaker)
    return rescale_guidance(guided, predictions[-1], rescale)
