"""The convolution block of the reference decoder, the painter and the planner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PixelBlock(nn.Module):
    """Two convolutions with a skip connection, [N, C, h, w] to the same.

    The norm is over the channels of each pixel, so that a crop gives the same values as the whole picture.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1, 1))
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
        update: torch.Tensor = self.conv2(F.silu(self.conv1(F.silu(x * scale * self.gain))))
        return x + update


def pixel_blocks(width: int, depth: int) -> nn.Sequential:
    """`depth` blocks in a row."""
    return nn.Sequential(*(PixelBlock(width) for _ in range(depth)))
