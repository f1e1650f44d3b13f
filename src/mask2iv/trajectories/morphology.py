"""Dilation and erosion of masks with square kernels, and what the method derives from them.

The contact map weights the stage-2 loss. The random perturbation narrows the gap between the exact masks of training
and the predicted masks of inference (paper, section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mask2iv.contract import BoolArray, Label, is_actor
from mask2iv.errors import InputError


def dilate(mask: torch.Tensor, kernel: int) -> torch.Tensor:
    """Grows a mask, bool [..., H, W] -> bool [..., H, W], by a square of ``kernel`` pixels (odd)."""
    if kernel < 1 or kernel % 2 == 0:
        raise InputError("kernel", f"must be an odd number of pixels, at least 1, found {kernel}")
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    grown = F.max_pool2d(planes, kernel_size=kernel, stride=1, padding=kernel // 2) > 0.5
    return grown.reshape(mask.shape)


def erode(mask: torch.Tensor, kernel: int) -> torch.Tensor:
    """Shrinks a mask, bool [..., H, W] -> bool [..., H, W]; the frame's border does not erode it."""
    return ~dilate(~mask, kernel)


def _contact(actor: torch.Tensor, object_: torch.Tensor, kernel: int) -> torch.Tensor:
    return (dilate(actor, kernel) & object_) | (actor & dilate(object_, kernel))


def contact_map(actor: BoolArray, object: BoolArray, kernel: int = 7) -> BoolArray:
    """Where actor and object touch: (dilate(actor) AND object) OR (actor AND dilate(object)).

    Args:
        actor: bool [..., H, W].
        object: bool of the same shape.
        kernel: side of the square, odd.
    """
    found: BoolArray = _contact(torch.as_tensor(actor), torch.as_tensor(object), kernel).numpy()
    return found


def contact_map_tensor(labels: torch.Tensor, kernel: int = 7) -> torch.Tensor:
    """:func:`contact_map` of label frames, uint8 [..., H, W] -> bool [..., H, W]. Either actor counts."""
    return _contact(is_actor(labels), labels == Label.OBJECT, kernel)


def dilate_labels(labels: torch.Tensor, kernel: int) -> torch.Tensor:
    """Grows every mask into the background, uint8 [..., H, W] -> the same.

    Labelled pixels keep their label; a background pixel reached by several masks goes to the object.
    """
    grown = labels.clone()
    background = labels == Label.BACKGROUND
    for label in (Label.SECOND_ACTOR, Label.ACTOR, Label.OBJECT):
        grown[background & dilate(labels == label, kernel)] = int(label)
    return grown


def erode_labels(labels: torch.Tensor, kernel: int) -> torch.Tensor:
    """Shrinks every mask to the benefit of the background, uint8 [..., H, W] -> the same."""
    shrunk = torch.zeros_like(labels)
    for label in (Label.ACTOR, Label.OBJECT, Label.SECOND_ACTOR):
        shrunk[erode(labels == label, kernel)] = int(label)
    return shrunk


def perturb_labels(
    labels: torch.Tensor,
    probability: float = 0.2,
    kernels: Sequence[int] = (3, 5, 7),
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> torch.Tensor:
    """The paper's random perturbation: all masks of some clips are dilated, or all eroded, by one kernel.

    Args:
        labels: uint8 [B, T, H, W]; not modified, and returned as it is when no clip is perturbed.
        probability: of perturbing a clip; dilation and erosion are equally likely.
        kernels: sides of the squares to draw from, odd.
        generator: source of randomness, or one for each clip. Three numbers are drawn per clip, perturbed or not.

    Returns:
        uint8 [B, T, H, W].
    """
    if isinstance(generator, Sequence):
        draws = torch.cat([torch.rand(1, 3, generator=one) for one in generator])
    else:
        draws = torch.rand(len(labels), 3, generator=generator, device=generator.device if generator else None)
    alike: dict[tuple[bool, int], list[int]] = {}
    for index, (chance, direction, choice) in enumerate(draws.tolist()):
        if chance < probability:
            alike.setdefault((direction < 0.5, kernels[int(choice * len(kernels))]), []).append(index)
    if not alike:
        return labels
    perturbed = labels.clone()
    for (grow, kernel), indices in alike.items():
        # Batched: on a GPU a call takes as long for one clip as for many.
        perturbed[indices] = (dilate_labels if grow else erode_labels)(labels[indices], kernel)
    return perturbed
