"""Training losses, and their weights computed from labels. All are pure functions.

Every loss has the signature :data:`Loss`: ``(prediction, target, weights or None) -> scalar``. The two stages weigh
differently. Stage 2's contact weight multiplies the error BEFORE it is squared, as the paper writes it: a weight of 5
makes a cell count 25-fold (:func:`weighted_mse`). Stage 1's foreground weight multiplies the SQUARED error, as in the
official code: a weight of 5 makes a cell count 5-fold (:func:`weighted_squares`).

Stage 2's weights are resized to the latent grid by area: the weight of a latent cell is the mean weight of its pixels.
Contact maps are bands of a few pixels, narrower than a latent cell of 8 x 8 pixels; nearest-neighbour resizing would
drop or keep a whole cell by chance. By area nothing vanishes, a fully covered cell has the full weight, and the mean
weight of a frame is the same on every grid. Stage 1's masks are large, and are resized by the nearest pixel, as in the
official code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mask2iv.contract import Label
from mask2iv.diffusion.config import ContactMap, ForegroundLoss
from mask2iv.errors import InputError
from mask2iv.trajectories.morphology import contact_map_tensor

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def mse(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error over all elements.

    Args:
        prediction, target: float [B, C, T, h, w].
        weights: must be None; present so that all losses share one signature.

    Returns:
        float32 scalar.

    Raises:
        InputError: shapes differ, or weights are given.
    """
    if weights is not None:
        raise InputError("weights", "mse takes none", "use weighted_mse or pass None")
    return weighted_mse(prediction, target, None)


def weighted_mse(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """mean((w * (prediction - target))^2) over all elements (the contact-weighted loss of the paper).

    Args:
        prediction, target: float [B, C, T, h, w].
        weights: float [B, 1, T, h, w] or any shape that broadcasts to the prediction's; None for 1 everywhere.

    Returns:
        float32 scalar; half-precision inputs are compared in float32.

    Raises:
        InputError: prediction and target differ in shape, or the weights do not broadcast to that shape.
    """
    error = _error(prediction, target, weights)
    return error.square().mean() if weights is None else (weights.float() * error).square().mean()


def weighted_squares(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """mean(w * (prediction - target)^2) over all elements (stage 1's loss in the official code).

    Arguments, result and errors as of :func:`weighted_mse`.
    """
    squares = _error(prediction, target, weights).square()
    return squares.mean() if weights is None else (weights.float() * squares).mean()


def _error(prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """prediction - target in float32, after checking that the weights fit it."""
    if prediction.shape != target.shape:
        raise InputError(
            "target", f"must have the prediction's shape {list(prediction.shape)}, found {list(target.shape)}"
        )
    error = prediction.float() - target.float()
    if weights is not None:
        fits = weights.ndim == error.ndim and all(w in (1, e) for w, e in zip(weights.shape, error.shape, strict=True))
        if not fits:
            raise InputError(
                "weights",
                f"must broadcast to the prediction's shape {list(error.shape)}, found {list(weights.shape)}",
            )
    return error


def foreground_weight(
    labels: Tensor, latent_size: tuple[int, int], weight: float = 5.0, multiplies: ForegroundLoss = "squared-error"
) -> Tensor:
    """Stage 1's loss weights: ``weight`` under actor or object, 1 elsewhere.

    Args:
        labels: uint8 [B, T, H, W] with values of :class:`mask2iv.contract.Label`.
        latent_size: (h, w) of the latent grid, at most (H, W).
        weight: weight of the foreground, > 0.
        multiplies: "squared-error": weights for :func:`weighted_squares`; a cell has the weight of its first pixel, and
            the last frame's actor is left out. "error": weights for :func:`weighted_mse`; a cell on an outline lies in
            between, and all frames count alike.

    Returns:
        float32 [B, 1, T, h, w] between 1 and ``weight``.

    Raises:
        InputError: labels of another dtype or rank, a latent grid finer than the labels, or a weight that is not
            positive.
    """
    _check_labels(labels, latent_size, weight)
    foreground = labels != Label.BACKGROUND
    if multiplies == "error":
        return _weights_on_latent_grid(foreground, latent_size, weight)
    # The official code sets the target mask's green channel to background in place, before the weight is made of it.
    foreground[:, -1] = labels[:, -1] == Label.OBJECT
    nearest = F.interpolate(foreground.to(torch.float32), latent_size, mode="nearest")
    return (1.0 + (weight - 1.0) * nearest).unsqueeze(1)


def contact_weight(
    labels: Tensor,
    latent_size: tuple[int, int],
    weight: float = 5.0,
    kernel: int = 7,
    contact_map: ContactMap = "contact",
) -> Tensor:
    """Stage 2's loss weights: w = (1 - m_c) + weight * m_c, for :func:`weighted_mse`.

    The paper's contact map is m_c = (dilate(actor) AND object) OR (actor AND dilate(object)).

    Args:
        labels: uint8 [B, T, H, W] with values of :class:`mask2iv.contract.Label`; both actors count.
        latent_size: (h, w) of the latent grid, at most (H, W).
        weight: the paper's lambda, > 0.
        kernel: side of the square dilation kernel in label pixels, odd; of no effect with "hand-or-object".
        contact_map: see :data:`ContactMap`.

    Returns:
        float32 [B, 1, T, h, w] between 1 and ``weight``.

    Raises:
        InputError: as :func:`foreground_weight`, or an even kernel.
    """
    _check_labels(labels, latent_size, weight)
    either = labels != Label.BACKGROUND
    found = either if contact_map == "hand-or-object" else contact_map_tensor(labels, kernel=kernel)
    return _weights_on_latent_grid(found, latent_size, weight)


def _weights_on_latent_grid(mask: Tensor, latent_size: tuple[int, int], weight: float) -> Tensor:
    """bool [B, T, H, W] -> float32 [B, 1, T, h, w]: 1 + (weight - 1) * covered share of each cell."""
    covered = F.adaptive_avg_pool2d(mask.to(torch.float32), latent_size)
    return (1.0 + (weight - 1.0) * covered).unsqueeze(1)


def _check_labels(labels: Tensor, latent_size: tuple[int, int], weight: float) -> None:
    if labels.dtype != torch.uint8 or labels.ndim != 4:
        raise InputError("labels", f"must be uint8 [B, T, H, W], found {labels.dtype} {list(labels.shape)}")
    height, width = labels.shape[-2:]
    if not (1 <= latent_size[0] <= height and 1 <= latent_size[1] <= width):
        raise InputError(
            "latent_size",
            f"must lie between (1, 1) and the labels' size {(height, width)}, found {tuple(latent_size)}",
        )
    if not weight > 0:
        raise InputError("weight", f"the loss weight must be positive, found {weight}")
