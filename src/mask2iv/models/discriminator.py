"""A patch discriminator, used in training alone."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

PAIR_CHANNELS = 2 * (3 + 3) + 3
"""Two frames with their labels as planes, and the first frame at the same place."""


class PatchDiscriminator(nn.Module):
    """A PatchGAN (Isola et al. 2017, section 3.2.2): convolutions that judge patches of some 50 pixels.

    Args:
        channels: of what it sees.
        widths: channels of the layers; each halves the resolution.
        patch: space-to-depth factor before them. With 1 the first layer keeps the resolution instead, for small maps:
            a finger's edge is a pixel there.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (48, 96, 160), patch: int = 2) -> None:
        super().__init__()
        self.patch = patch
        sizes = (patch**2 * channels, *widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in itertools.pairwise(sizes)
        )
        if patch == 1:
            self.layers[0] = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.judge = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Scores of patches, [N, 1, y, x], high for real, and the features of each layer.

        Args:
            seen: [N, channels, h, w].
        """
        x, features = F.pixel_unshuffle(seen, self.patch), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            # Bounded features keep the game stable without normalising over a batch.
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
            features.append(x)
        return self.judge(x), features


def join_pairs(frames: torch.Tensor, planes: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """What the discriminator of pictures sees, [N, PAIR_CHANNELS, h, w].

    Two frames at once, so that a look that changes from frame to frame gives a picture away.

    Args:
        frames: two in a row, [N, 2, 3, h, w], float in [-1, 1].
        planes: their labels, [N, 2, 3, h, w] in {0, 1}.
        first: the first frame at the same place, [N, 3, h, w].
    """
    return torch.cat([frames.flatten(1, 2), planes.flatten(1, 2).to(frames.dtype), first.to(frames.dtype)], dim=1)


def contest(
    adversary: PatchDiscriminator, real: torch.Tensor, made: torch.Tensor, region: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Hinge losses of both sides, and the mean distance of the adversary's features (Wang et al. 2018).

    ``adversary`` reaches the adversary's weights alone; ``fooled`` and ``features`` reach alone what `made` comes from.

    Args:
        real, made: what the adversary sees, [N, channels, h, w].
        region: where it counts, [N, 1, h, w] in {0, 1}; elsewhere a tenth. None: everywhere.
    """
    verdict, real_features = adversary(real)
    weight = torch.ones_like(verdict, dtype=torch.float32)
    if region is not None:
        weight = 0.1 + F.adaptive_max_pool2d(region.float(), verdict.shape[-2:])
    # Each sample by itself, so that parts of a batch add up to the whole.
    weight = weight / weight.mean(dim=(1, 2, 3), keepdim=True)
    doubt, _ = adversary(made.detach())
    frozen = {name: value.detach() for name, value in adversary.named_parameters()}
    judged, features = functional_call(adversary, frozen, (made,))
    distances = [(a.float() - b.detach().float()).abs().mean() for a, b in zip(features, real_features, strict=True)]
    return {
        "adversary": (weight * (F.relu(1 - verdict.float()) + F.relu(1 + doubt.float()))).mean(),
        "fooled": -(weight * judged.float()).mean(),
        "features": torch.stack(distances).mean(),
    }
