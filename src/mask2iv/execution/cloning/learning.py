"""Training of a policy on demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mask2iv.execution.cloning.episodes import Episode
from mask2iv.execution.cloning.network import SCALE, Policy
from mask2iv.execution.cloning.views import SIDE


@dataclass(frozen=True)
class Recipe:
    """How a policy is trained.

    Attributes:
        steps, batch, rate, decay: of AdamW; the rate falls to 0 along a cosine.
        turn: largest turn of the table about the vertical, radians.
        shift: largest shift of where the object is said to be, metres.
        noise: standard deviation of the gripper's measured place, metres; what it is to do does not change.
        colour: spread of each colour's gain.
    """

    steps: int = 500
    batch: int = 32
    rate: float = 1e-3
    decay: float = 1e-3
    turn: float = 0.35
    shift: float = 0.015
    noise: float = 0.006
    colour: float = 0.15


def train(episodes: Sequence[Episode], seed: int, recipe: Recipe | None = None) -> Policy:
    """A policy that does as the episodes do; the same arguments give the same weights on the same machine."""
    recipe = recipe or Recipe()
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    policy, data = Policy(), Samples(episodes)
    optimizer = torch.optim.AdamW(policy.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    policy.train()
    for _ in range(recipe.steps):
        chosen = torch.randint(len(data), (recipe.batch,), generator=random)
        view, state, wanted, ahead = data.batch(chosen, recipe, random)
        loss = imitation(policy(view, state), wanted, ahead)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return policy.eval()


def imitation(said: Tensor, wanted: Tensor, ahead: Tensor) -> Tensor:
    """How far said key poses [B, KEYS, POSE] are from demonstrated ones, of those that lie ahead (bool [B, KEYS]).

    L1 of places, turns and openings, and cross entropy of holding with force.
    """
    moves = (said[..., :6] - wanted[..., :6]).abs().mean(-1)
    force = F.binary_cross_entropy_with_logits(said[..., 6], wanted[..., 6], reduction="none")
    return ((moves + 0.1 * force) * ahead).sum() / ahead.sum()


class Samples:
    """All frames of all episodes before their ends."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        views, masks, states, wanted, ahead = [], [], [], [], []
        for one in episodes:
            touch, end = (int(key) for key in one.keys)
            rows, frames = _rows(one), np.arange(end)
            taken = (frames >= touch).astype(np.float32)
            about = np.repeat(np.concatenate([one.direction, one.height / SCALE])[None], end, axis=0)
            states.append(np.concatenate([rows[:end, :6], taken[:, None], about], axis=1))
            wanted.append(np.repeat(rows[None, [touch, end]], end, axis=0))
            ahead.append(np.stack([taken == 0, np.ones(end, dtype=np.bool_)], axis=1))
            views.append(one.views[:end])
            masks.append(np.repeat(one.mask[None], end, axis=0))
        self.views = torch.from_numpy(np.concatenate(views)).permute(0, 3, 1, 2)
        self.masks = torch.from_numpy(np.concatenate(masks))[:, None]
        self.states = torch.from_numpy(np.concatenate(states).astype(np.float32))
        self.wanted = torch.from_numpy(np.concatenate(wanted).astype(np.float32))
        self.ahead = torch.from_numpy(np.concatenate(ahead))

    def __len__(self) -> int:
        return len(self.states)

    def batch(self, chosen: Tensor, recipe: Recipe, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Samples, each with the table turned, mirrored and shifted, and the colours changed."""
        count = len(chosen)

        def spread(size: float, *shape: int) -> Tensor:
            return (torch.rand(count, *shape, generator=random) * 2 - 1) * size

        angle, shift = spread(recipe.turn), spread(recipe.shift, 2)
        flip = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
        gain, lift = 1 + spread(recipe.colour, 3, 1, 1), spread(recipe.colour, 1, 1, 1)
        view = as_input(self.views[chosen], self.masks[chosen])
        view[:, :3] = view[:, :3] * gain + lift
        state, wanted = self.states[chosen].clone(), self.wanted[chosen].clone()
        # World after = turn @ flip @ (world before) - shift.
        cosine, sine = torch.cos(angle), torch.sin(angle)
        moved = torch.stack([torch.stack([cosine * flip, -sine], -1), torch.stack([sine * flip, cosine], -1)], 1)
        for rows in (state[:, None], wanted):
            rows[..., :2] = torch.einsum("bij,bkj->bki", moved, rows[..., :2]) - shift[:, None] / SCALE
            double = torch.atan2(rows[..., 4], rows[..., 3]) * flip[:, None] + 2 * angle[:, None]
            rows[..., 3], rows[..., 4] = torch.cos(double), torch.sin(double)
        state[:, 7:9] = torch.einsum("bij,bj->bi", moved, state[:, 7:9])
        state[:, :3] += torch.randn(count, 3, generator=random) * recipe.noise / SCALE
        return _moved(view, moved, shift), state, wanted, self.ahead[chosen]


def _rows(one: Episode) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Place, turn, opening and shut of each frame, [T, 7], as the network has them."""
    double = 2 * one.turns
    columns = [one.places / SCALE, np.cos(double)[:, None], np.sin(double)[:, None]]
    rows: np.ndarray[tuple[int, int], np.dtype[np.float32]] = np.concatenate(
        [*columns, one.openings[:, None] / SCALE, one.shut[:, None]], axis=1
    )
    return rows


def as_input(views: Tensor, masks: Tensor) -> Tensor:
    """Views uint8 [B, 3, P, P] and masks uint8 [B, 1, P, P] as the network takes them."""
    return torch.cat([views, masks], dim=1).float() / 127.5 - 1


def _moved(view: Tensor, moved: Tensor, shift: Tensor) -> Tensor:
    """Views whose world is turned or mirrored by [B, 2, 2] and shifted by -[B, 2] metres."""
    # grid_sample asks for the place before of each place after, in a frame whose y is down.
    down = torch.diag(torch.tensor([1.0, -1.0]))
    back = moved.transpose(1, 2)
    turn = down @ back @ down
    offset = torch.einsum("bij,bj->bi", down @ back, shift) * 2 / SIDE
    grid = F.affine_grid(torch.cat([turn, offset[..., None]], dim=-1), list(view.shape), align_corners=False)
    return F.grid_sample(view + 1, grid, align_corners=False) - 1
