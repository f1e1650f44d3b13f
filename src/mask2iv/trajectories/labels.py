"""Labels and the colours that stand for them.

A trajectory is labels (uint8, values of :class:`~mask2iv.contract.Label`) everywhere but in the autoencoder, which
takes three channels and so gets the label colours (paper, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mask2iv.contract import LABEL_COLOURS, BoolArray, Label, Trajectory, UInt8Array, channels_to_labels
from mask2iv.errors import InputError

if TYPE_CHECKING:
    import torch

Snapping = Literal["nearest", "channels"]
"""How colours and labels belong together in a model. "nearest": a decoded pixel takes the nearest label colour, and the
second actor is blue. "channels", as in the official code: each channel of a decoded pixel is on or off by itself, red
or blue is the object, and both actors are green."""

COLOUR_TOLERANCE = 32
"""Largest distance, per 8-bit channel, at which a stored colour still means a label colour."""
_OUTLINE = 4
"""Outlines that were smoothed or compressed are at most this wide, in pixels."""
_SPECK = 2
"""Colours that no smoothing between label colours makes are at most this wide where chroma was stored coarser."""
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


def painted_labels(rgb: UInt8Array, place: str, field: str) -> UInt8Array:
    """Labels of a stored picture in the label colours, uint8 [H, W, 3] -> uint8 [H, W].

    Each pixel is snapped to the nearest label colour. Outlines may hold other colours, as smoothing and compression
    leave them; areas may not.

    Args:
        rgb: colours.
        place: the picture's name in messages.
        field: the input's name in messages.

    Raises:
        InputError: an area has a colour that is no label's within :data:`COLOUR_TOLERANCE`.
    """
    labels = np.zeros(rgb.shape[:-1], dtype=np.uint8)
    off, strange = np.zeros(labels.shape, dtype=np.bool_), np.zeros(labels.shape, dtype=np.bool_)
    # Most pixels have a label's colour, which is soon seen; only the others need distances.
    rest = np.ones(labels.shape, dtype=np.bool_)
    for label in Label:
        same = np.logical_and.reduce([rgb[..., channel] == LABEL_COLOURS[label][channel] for channel in range(3)])
        labels[same] = label
        rest &= ~same
    if not rest.any():
        return labels
    pixels = rgb[rest]
    labels[rest] = rgb_to_labels(pixels, tuple(int(label) for label in Label))
    off[rest] = np.abs(pixels.astype(np.int16) - LABEL_COLOURS[labels[rest]]).max(axis=-1) > COLOUR_TOLERANCE
    # What lies between label colours has channels that add up to at most 255.
    strange[rest] = off[rest] & (pixels.sum(axis=-1, dtype=np.int32) > 255 + 3 * COLOUR_TOLERANCE)
    for mask, width in ((strange, _SPECK), (off, _OUTLINE)):
        found = np.argwhere(_squares(mask, width + 1))
        if len(found):
            y, x = (int(value) for value in found[0])
            raise InputError(
                field,
                f"{place} has the colour {tuple(rgb[y, x].tolist())} at x={x}, y={y}, which is no label",
                "use black (0, 0, 0), actor green (0, 255, 0), object red (255, 0, 0), second actor blue (0, 0, 255)",
            )
    return labels


def _squares(mask: BoolArray, side: int) -> BoolArray:
    """Where squares of true pixels begin: bool [H, W] -> bool [H - side + 1, W - side + 1]."""
    for axis in (0, 1):
        length = max(0, mask.shape[axis] - side + 1)
        mask = np.logical_and.reduce([mask.take(range(start, start + length), axis) for start in range(side)])
    return mask


def labels_to_tensor(labels: torch.Tensor, snapping: Snapping = "nearest") -> torch.Tensor:
    """Paints labels for the autoencoder, uint8 [B, T, H, W] -> float32 [B, 3, T, H, W] in [-1, 1]."""
    import torch

    colours = torch.from_numpy(LABEL_COLOURS).to(labels.device, torch.float32) / 127.5 - 1.0
    if snapping == "channels":
        colours[Label.SECOND_ACTOR] = colours[Label.ACTOR]
    return colours[labels.long()].permute(0, 4, 1, 2, 3).contiguous()


def tensor_to_labels(x: torch.Tensor, labels: Sequence[int] = _PREDICTED_LABELS) -> torch.Tensor:
    """Snaps a decoded trajectory to labels, float [B, 3, T, H, W] in [-1, 1] -> uint8 [B, T, H, W]."""
    import torch

    colours = torch.from_numpy(LABEL_COLOURS[list(labels)]).to(x.device, torch.float32) / 127.5 - 1.0
    distances = [(x.float() - colour.view(1, 3, 1, 1, 1)).square().sum(dim=1) for colour in colours]
    choice = torch.stack(distances).argmin(dim=0)
    return torch.tensor(list(labels), dtype=torch.uint8, device=x.device)[choice]


def snapped(x: torch.Tensor, snapping: Snapping, fps: float) -> list[Trajectory]:
    """Decoded trajectories, float [B, 3, T, H, W] in [-1, 1], as a model's :data:`Snapping` reads them."""
    if snapping == "nearest":
        return [Trajectory(labels, fps) for labels in tensor_to_labels(x).cpu().numpy()]
    painted: UInt8Array = ((x >= 0).byte() * 255).permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()
    labels = channels_to_labels(painted)
    plain = (labels_to_rgb(labels) == painted).all(axis=(1, 2, 3, 4))
    return [Trajectory(labels[index], fps, None if plain[index] else painted[index]) for index in range(len(painted))]


def only_object(labels: torch.Tensor) -> torch.Tensor:
    """Labels with all actors set to background, as in a target-position mask. uint8, any shape."""
    return labels.where(labels == Label.OBJECT, 0)


def only_actors(labels: torch.Tensor) -> torch.Tensor:
    """Labels with the object set to background: the actors' visible masks. uint8, any shape."""
    return labels.where(labels != Label.OBJECT, 0)
