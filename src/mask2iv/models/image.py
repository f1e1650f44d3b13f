"""Preprocessing for the CLIP image encoder, as in the original's training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mask2iv.errors import InputError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
MIN_SIGMA = 0.001


def preprocess_clip_image(image: Tensor, size: int = 224) -> Tensor:
    """Resize to a square, ignoring the aspect ratio, and normalise with CLIP's mean and deviation.

    An image that shrinks along either side is blurred first. Interpolation is bicubic with aligned corners, without
    clamping the overshoot.

    Args:
        image: float [B, 3, H, W] in [-1, 1].
        size: side of the result in pixels.

    Returns:
        [B, 3, size, size] of the dtype of ``image``, computed in float32.

    Raises:
        InputError: not a float [B, 3, H, W] tensor.
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(
            "image",
            f"preprocess_clip_image expects float [B, 3, H, W] in [-1, 1], found {image.dtype} {list(image.shape)}",
        )
    pixels = image.float()
    factors = (image.shape[2] / size, image.shape[3] / size)
    if max(factors) > 1:
        pixels = _blur(_blur(pixels, factors[1], axis=3), factors[0], axis=2)
    pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", align_corners=True)
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (((pixels + 1) / 2 - mean) / std).to(image.dtype)


def _blur(pixels: Tensor, factor: float, axis: int) -> Tensor:
    """Gaussian blur along one axis (2 rows, 3 columns), reflected at the border, to suit shrinking by ``factor``."""
    sigma = max((factor - 1) / 2, MIN_SIGMA)
    taps = int(max(4 * sigma, 3)) | 1  # odd
    offsets = torch.arange(taps, dtype=pixels.dtype, device=pixels.device) - taps // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels = pixels.shape[1]
    if axis == 2:
        padded = F.pad(pixels, (0, 0, taps // 2, taps // 2), mode="reflect")
        return F.conv2d(padded, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    padded = F.pad(pixels, (taps // 2, taps // 2, 0, 0), mode="reflect")
    return F.conv2d(padded, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
