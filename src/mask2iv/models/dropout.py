"""Dropout seeded per sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SampleDropout(nn.Dropout):
    """Dropout whose mask can depend on each sample's seed alone.

    Training on several processes, or in parts, then drops the same values as on one process; so does a forward pass
    that is run again (gradient checkpointing).

    Attributes:
        seeds: one for each sample of the batch; None: masks come from PyTorch's global generator.
        index: of this layer among the network's, so that no two layers draw the same mask.
    """

    seeds: Sequence[int] | None = None
    index: int = 0

    def forward(self, x: Tensor) -> Tensor:
        """x [B * anything, ...], samples in a row -> the same shape."""
        if self.seeds is None or self.p == 0 or not self.training:
            return super().forward(x)
        starts = [(0x9E3779B97F4A7C15 * (seed + 0x632BE5AB * self.index)) % 2**64 >> 33 for seed in self.seeds]
        # A hash instead of generators, of which a large batch would need thousands in every step.
        kept = _hashes(torch.tensor(starts, dtype=torch.int32), x.numel() // len(starts), x.device) >= self.p * 2**31
        return x * kept.view(x.shape) / (1 - self.p)


def _hashes(starts: Tensor, count: int, device: torch.device) -> Tensor:
    """Uniform numbers int32 [N, count] in [0, 2**31), one row for each of N starts (MurmurHash3's last steps)."""
    starts = starts.to(device, non_blocking=True).unsqueeze(1)
    x = torch.arange(count, dtype=torch.int32, device=device) * 0x27D4EB2F + starts
    for shift, factor in ((16, -0x7A143595), (13, -0x3D4D51CB), (16, 1)):
        # Right shifts of negative numbers fill with ones.
        x.bitwise_xor_((x >> shift).bitwise_and_((1 << 32 - shift) - 1)).mul_(factor)
    return x.bitwise_and_(0x7FFFFFFF)
