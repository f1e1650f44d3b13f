"""Masks as truncated signed distances: small maps that keep a shape's edge; the mean of two maps is again a shape."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mask2iv.contract import BoolArray

SHRINK = 4
"""Side of a map's pixel in pixels of the picture."""
REACH = 0.1
"""Distances are truncated at this share of the picture's height."""


def distance_map(mask: BoolArray) -> NDArray[np.float32]:
    """Signed distance to a mask's edge as a share of :data:`REACH`, positive inside, float32 [H / 4, W / 4] in [-1, 1].

    Each value is the mean over the pixels of the picture it covers.

    Args:
        mask: bool [H, W], both multiples of :data:`SHRINK`; an empty mask gives -1 everywhere.
    """
    height, width = mask.shape
    reach = REACH * height
    inside = mask.astype(np.uint8)
    if not mask.any():
        signed = np.full(mask.shape, -reach, dtype=np.float32)
    else:
        # The edge lies between pixels, half a pixel from the centres on both sides.
        signed = np.where(
            mask,
            cv2.distanceTransform(inside, cv2.DIST_L2, 5) - 0.5,
            0.5 - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5),
        )
    clipped = np.clip(signed / reach, -1, 1).reshape(height // SHRINK, SHRINK, width // SHRINK, SHRINK)
    shrunk: NDArray[np.float32] = clipped.mean(axis=(1, 3)).astype(np.float32)
    return shrunk


def enlarge_maps(maps: torch.Tensor) -> torch.Tensor:
    """Distance maps [N, C, h, w] at the picture's resolution, [N, C, 4 h, 4 w], by bicubic interpolation."""
    return F.interpolate(maps, scale_factor=SHRINK, mode="bicubic", align_corners=False)
