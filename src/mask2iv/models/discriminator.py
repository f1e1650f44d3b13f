"""A patch discriminator: are two frames in a row, with their masks, from a real clip? Used in training alone."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 2 * (3 + 3) + 3
"""Two frames with their labels as planes, and the first frame at the same place."""


class PatchDiscriminator(nn.Module):
    """A PatchGAN (Isola et al. 2017, section 3.2.2): convolutions that judge patches of some 50 pixels.

    Two frames at once, so that a look that changes from frame to frame gives a picture away.

    Args:
        widths: channels at 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int] = (48, 96, 160)) -> None:
        super().__init__()
        sizes = (4 * CHANNELS, *widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in itertools.pairwise(sizes)
        )
        self.judge = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pairs: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Scores [N, 1, h / 16, w / 16], high for real, and the features of each layer.

        Args:
            pairs: [N, CHANNELS, h, w], of :func:`join_pairs`.
        """
        x, features = F.pixel_unshuffle(pairs, 2), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            # Bounded features keep the game stable without normalising over a batch.
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
            features.append(x)
        return self.judge(x), features


def join_pairs(frames: torch.Tensor, planes: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """What the discriminator sees, [N, CHANNELS, h, w].

    Args:
        frames: two in a row, [N, 2, 3, h, w], float in [-1, 1].
        planes: their labels, [N, 2, 3, h, w] in {0, 1}.
        first: the first frame at the same place, [N, 3, h, w].
    """
    return torch.cat([frames.flatten(1, 2), planes.flatten(1, 2).to(frames.dtype), first.to(frames.dtype)], dim=1)
