"""Labels and the colours that stand for them.

A trajectory is labels (uint8, values of :class:`~mask2iv.contract.Label`) everywhere but in the autoencoder, which
takes three channels and so gets the label colours (paper, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mask2iv.contract import LABEL_COLOURS, Label, UInt8Array

if TYPE_CHECKING:
    import torch

_PREDICTED_LABELS = (int(Label.BACKGROUND), int(Label.ACTOR), int(Label.OBJECT))


def labels_to_rgb(labels: UInt8Array) -> UInt8Array:
    """Paints labels, uint8 [..., H, W] -> uint8 [..., H, W, 3] in the label colours."""
    painted: UInt8Array = LABEL_COLOURS[labels]
    return painted


def rgb_to_labels(rgb: UInt8Array, labels: Sequence[int] = _PREDICTED_LABELS) -> UInt8Array:
    """Snaps each pixel to the nearest label colour, uint8 [..., 3] -> uint8 [...].

    Args:
        rgb: colours.
        labels: the labels to choose from; ties go to the first.
    """
    pixels = rgb.astype(np.int32)
    nearest = np.full(rgb.shape[:-1], labels[0], dtype=np.uint8)
    best = np.full(rgb.shape[:-1], np.iinfo(np.int32).max, dtype=np.int32)
    for label in labels:
        distance = np.square(pixels - LABEL_COLOURS[label].astype(np.int32)).sum(axis=-1)
        closer = distance < best
        nearest[closer] = label
        best[closer] = distance[closer]
    return nearest


def labels_to_tensor(labels: torch.Tensor) -> torch.Tensor:
    """Paints labels for the autoencoder, uint8 [B, T, H, W] -> float32 [B, 3, T, H, W] in [-1, 1]."""
    import torch

    colours = torch.from_numpy(LABEL_COLOURS).to(labels.device, torch.float32) / 127.5 - 1.0
    return colours[labels.long()].permute(0, 4, 1, 2, 3).contiguous()


def tensor_to_labels(x: torch.Tensor, labels: Sequence[int] = _PREDICTED_LABELS) -> torch.Tensor:
    """Snaps a decoded trajectory to labels, float [B, 3, T, H, W] in [-1, 1] -> uint8 [B, T, H, W]."""
    import torch

    colours = torch.from_numpy(LABEL_COLOURS[list(labels)]).to(x.device, torch.float32) / 127.5 - 1.0
    distances = [(x.float() - colour.view(1, 3, 1, 1, 1)).square().sum(dim=1) for colour in colours]
    choice = torch.stack(distances).argmin(dim=0)
    return torch.tensor(list(labels), dtype=torch.uint8, device=x.device)[choice]


def only_object(labels: torch.Tensor) -> torch.Tensor:
    """Labels with all actors set to background, as in a target-position mask. uint8, any shape."""
    return labels.where(labels == Label.OBJECT, 0)


def only_actors(labels: torch.Tensor) -> torch.Tensor:
    """Labels with the object set to background: the actors' visible masks. uint8, any shape."""
    return labels.where(labels != Label.OBJECT, 0)
