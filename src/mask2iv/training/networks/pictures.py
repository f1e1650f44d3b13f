"""Tensors as pictures, for filmstrips and held-out figures of training runs."""

from __future__ import annotations

import torch

from mask2iv.contract import UInt8Array


def to_uint8(images: torch.Tensor) -> UInt8Array:
    """Images [N, 3, H, W] or one video [3, T, H, W], float in [-1, 1], to uint8 [N, H, W, 3]."""
    if images.shape[0] == 3 and images.shape[1] != 3:
        images = images.transpose(0, 1)
    array: UInt8Array = ((images.permute(0, 2, 3, 1).float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    return array


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels uint8 of any shape, as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1.0


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [-1, 1]."""
    return float(-10 * torch.log10(((a - b) / 2).square().mean()))
