"""A decoder stage that sees the first frame: what the latents blur, the reference still has.

An f8 autoencoder of embedded size blurs the whole scene, yet most of a clip's pixels stand in its first frame already.
As in ToonCrafter's dual-reference decoder, the full-resolution reference joins the decoding: a small network looks at
the decoded frame, the first frame and both frames' masks, and blends the reference with a corrected decoding, pixel by
pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))


class ReferenceDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Blend of first frame and corrected decoding.

    Args:
        width: channels of the hidden layers.
        depth: residual blocks.
        patch: space-to-depth factor; all convolutions run at 1/patch of the resolution, no pixel is lost.
    """

    @register_to_config
    def __init__(self, width: int = 96, depth: int = 3, patch: int = 4) -> None:
        super().__init__()
        self.patch = patch
        self.conv_in = nn.Conv2d(12 * patch**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.conv_out = nn.Conv2d(width, 4 * patch**2, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(
        self, decoded: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor, reference_masks: torch.Tensor
    ) -> torch.Tensor:
        """All inputs [N, 3, H, W], float in [-1, 1]; H and W divisible by `patch`. Returns [N, 3, H, W], not clamped.

        Args:
            decoded: the autoencoder's picture of the frame.
            reference: the clip's first frame.
            masks: the frame's trajectory in label colours.
            reference_masks: the first frame's trajectory in label colours.
        """
        x = torch.cat([decoded, reference, masks, reference_masks], dim=1)
        x = self.conv_in(F.pixel_unshuffle(x, self.patch))
        for block in self.blocks:
            x = block(x)
        correction, gate = F.pixel_shuffle(self.conv_out(F.silu(x)), self.patch).split([3, 1], dim=1)
        blend = torch.sigmoid(gate)
        return blend * reference + (1 - blend) * (decoded + correction)
