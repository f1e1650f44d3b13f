"""Measures as the paper's own evaluation takes them, where they differ from this package's.

Figures of both must not stand in one table; :data:`Convention` is part of every protocol.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.metrics import PSNR_LIMIT
from mask2iv.trajectories.labels import labels_to_rgb

Convention = Literal["own", "paper"]
"""By whose rules FVD, PSNR and the mIoU of trajectories are taken."""


def psnr_by_frame(predicted: UInt8Array, true: UInt8Array) -> float:
    """Mean over all frames, the first among them, of each frame's PSNR in dB, at most :data:`PSNR_LIMIT` each.

    Args:
        predicted, true: uint8 [T, H, W, 3].

    Raises:
        InputError: another shape.
    """
    _check_shapes(predicted, true)
    errors = np.square(predicted.astype(np.float64) - true).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return float(np.minimum(10 * np.log10(255.0**2 / errors), PSNR_LIMIT).mean())


def channel_miou(predicted: Trajectory, true: Trajectory) -> float:
    """Mean over the three colour channels of the IoU of what is on in either, in [0, 1].

    Pixels of all frames count together, the first frame's too. A channel that is off in both, as blue is where the
    object has one part, counts as 1, so no trajectory of such a clip is below a third.

    Raises:
        InputError: trajectories of other shapes.
    """
    _check_shapes(predicted.labels, true.labels)
    one, other = (_channels(trajectory) for trajectory in (predicted, true))
    both, either = (found.sum(axis=(0, 1, 2)) for found in (one & other, one | other))
    return float(np.mean([shared / all_ if all_ else 1.0 for shared, all_ in zip(both, either, strict=True)]))


def _channels(trajectory: Trajectory) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where each colour is on, bool [T, H, W, 3]; both actors are green."""
    labels = np.where(trajectory.labels == Label.SECOND_ACTOR, np.uint8(Label.ACTOR), trajectory.labels)
    painted = labels_to_rgb(labels) if trajectory.painted is None else trajectory.painted
    return painted > 0


def central_square(video: torch.Tensor, side: int) -> torch.Tensor:
    """Videos [B, 3, T, H, W] with the shorter side brought to `side`, and its middle cut out: [B, 3, T, side, side].

    As StyleGAN-V prepares videos for FVD: bilinear without antialiasing, the longer side rounded up.
    """
    batch, _, frames, height, width = video.shape
    scale = side / min(height, width)
    size = [side if length == min(height, width) else math.ceil(length * scale) for length in (height, width)]
    resized = F.interpolate(video.transpose(1, 2).flatten(0, 1), size=size, mode="bilinear", align_corners=False)
    top, left = ((length - side) // 2 for length in size)
    return resized[..., top : top + side, left : left + side].unflatten(0, (batch, frames)).transpose(1, 2)


def _check_shapes(predicted: UInt8Array, true: UInt8Array) -> None:
    if predicted.shape != true.shape:
        raise InputError("predicted", f"must have the shape {list(true.shape)}, found {list(predicted.shape)}")
