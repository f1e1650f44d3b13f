"""A patch discriminator, used only in training."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

PAIR_CHANNELS = 2 * (3 + 3) + 3
"""Two frames with their label planes, and the same region of the first frame."""


class PatchDiscriminator(nn.Module):
    """A PatchGAN (Isola et al. 2017, section 3.2.2): convolutions that judge patches of some 50 pixels.

    Args:
        channels: input channels.
        widths: channels of the layers; each halves the resolution.
        patch: space-to-depth factor before the layers. With 1, for small maps, the first layer keeps the resolution: a
            finger's edge is one pixel there.
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
            # Bounded features keep training stable without batch normalisation.
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
            features.append(x)
        return self.judge(x), features


def join_pairs(frames: torch.Tensor, planes: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The input of the discriminator of pictures, [N, PAIR_CHANNELS, h, w].

    It sees two frames at once, so that it notices flicker.

    Args:
        frames: two consecutive ones, [N, 2, 3, h, w], float in [-1, 1].
        planes: their labels, [N, 2, 3, h, w] in {0, 1}.
        first: the same region of the first frame, [N, 3, h, w].
    """
    return torch.cat([frames.flatten(1, 2), planes.flatten(1, 2).to(frames.dtype), first.to(frames.dtype)], dim=1)


def contest(
    adversary: PatchDiscriminator, real: torch.Tensor, made: torch.Tensor, region: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Hinge losses of discriminator and generator, and the feature-matching loss (Wang et al. 2018).

    ``adversary`` has gradients only for the adversary's weights; ``fooled`` and ``features`` have them only for `made`.

    Args:
        real, made: inputs of the adversary, [N, channels, h, w].
        region: where the weight is 1, [N, 1, h, w] in {0, 1}; elsewhere it is a tenth. None: everywhere.
    """
    verdict, real_features = adversary(real)
    weight = torch.ones_like(verdict, dtype=torch.float32)
    if region is not None:
        weight = 0.1 + F.adaptive_max_pool2d(region.float(), verdict.shape[-2:])
    # Normalised per sample, so that the parts of a batch add up to the whole.
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
