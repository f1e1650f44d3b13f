"""A small policy: a view of the table and the gripper's state to the key poses of what it is to do."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

KEYS = 2
"""Key poses: where the object is taken or first pushed, and where that ends."""
STATE = 10
"""Place (3), turn (2), opening (1), whether the object was taken (1), direction (2), height of the object (1)."""
POSE = 7
"""Place (3), turn (2), opening (1), logit of holding with force (1)."""
SCALE = 0.1
"""Metres that are 1 to the network."""


class Policy(nn.Module):
    """Convolutions, where each channel looks (spatial softmax, Levine et al. 2016), and an MLP that says
    key poses (as James & Davison 2022) in place of every step's.

    Args:
        channels: of the convolutions.
        hidden: width of the MLP.
    """

    def __init__(self, channels: int = 32, hidden: int = 256) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(4, channels, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
        )
        self.say = nn.Sequential(
            nn.Linear(2 * channels + STATE, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, KEYS * POSE),
        )

    def forward(self, view: Tensor, state: Tensor) -> Tensor:
        """The key poses.

        Args:
            view: [B, 4, P, P], colours and the object's first mask, in [-1, 1].
            state: [B, STATE], see there, lengths over SCALE, the turn as cosine and sine of its double.

        Returns:
            [B, KEYS, POSE], in the units of `state`.
        """
        maps = self.look(view)
        height, width = maps.shape[-2:]
        weights = rearrange(maps, "b c h w -> b c (h w)").softmax(-1)
        down = torch.linspace(-1, 1, height, device=view.device)
        right = torch.linspace(-1, 1, width, device=view.device)
        y, x = torch.meshgrid(down, right, indexing="ij")
        points = torch.stack([weights @ x.flatten(), weights @ y.flatten()], dim=-1)
        said = self.say(torch.cat([rearrange(points, "b c two -> b (c two)"), state], dim=-1))
        return rearrange(said, "b (k p) -> b k p", k=KEYS)
