"""A planner: a small transformer that samples an interaction's plan by flow matching (Lipman et al. 2023).

It samples the plan's numbers over time as coefficients of a cosine transform, each in units of its standard deviation
over the training clips, so that plans are as smooth as real ones. The painter's shape code is sampled with them, since
an actor's look correlates with its motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from numpy.typing import NDArray
from torch import nn

from mask2iv.models.blocks import PixelBlock
from mask2iv.models.dropout import SampleDropout
from mask2iv.trajectories.plan import ACTOR_NUMBERS, ACTORS, NUMBERS, OBJECT_NUMBERS

PICTURE = (40, 64)
"""Height and width of the picture that a planner sees."""
PICTURE_CHANNELS = 6
"""RGB in [-1, 1], and planes of object, actor and target in {0, 1}."""
_IMPORTANCE = (0.2, 5.0)
_LEAST_COVERED = 0.01
FACTS = 3 + 1 + OBJECT_NUMBERS + 1 + ACTORS * ACTOR_NUMBERS


@dataclass(frozen=True)
class PlannerConditions:
    """The conditions of B scenes.

    Attributes:
        picture: [B, 6, 40, 64], see :data:`PICTURE_CHANNELS`; planes of unknown masks are zero.
        start: the object's centroid (x, y) and the square root of its area, in units of the height, [B, 3].
        has_target, target: whether the object's last pose is given, bool [B]; the pose: shift, log_scale, angle [B, 4].
        has_actor, actors: whether the first frame's actors are given, bool [B]; their numbers [B, 18].
        text: text tokens [B, L, D].
    """

    picture: torch.Tensor
    start: torch.Tensor
    has_target: torch.Tensor
    target: torch.Tensor
    has_actor: torch.Tensor
    actors: torch.Tensor
    text: torch.Tensor

    def facts(self) -> torch.Tensor:
        """The numbers as one vector, [B, FACTS]; those not given are zero."""
        has_target, has_actor = (flag.to(self.start.dtype).unsqueeze(1) for flag in (self.has_target, self.has_actor))
        return torch.cat([self.start, has_target, has_target * self.target, has_actor, has_actor * self.actors], dim=1)


class InteractionPlanner(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Predicts the velocity of noisy plans, given the conditions.

    Args:
        num_frames: T.
        width, layers, heads: of the transformer.
        code: length of the painter's shape code.
        text_width: of the text tokens.
        dropout: in training.
    """

    plan_mean: torch.Tensor
    plan_std: torch.Tensor
    code_mean: torch.Tensor
    code_std: torch.Tensor

    @register_to_config
    def __init__(
        self,
        num_frames: int = 16,
        width: int = 224,
        layers: int = 6,
        heads: int = 7,
        code: int = 16,
        text_width: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_frames, self.code = num_frames, code
        self.plan_in, self.plan_out = nn.Linear(NUMBERS, width), nn.Linear(width, NUMBERS)
        self.code_in, self.code_out = nn.Linear(code, width), nn.Linear(width, code)
        self.places = nn.Parameter(0.02 * torch.randn(num_frames + 1, width))
        self.text_in, self.facts_in = nn.Linear(text_width, width), nn.Linear(FACTS, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.picture = nn.Sequential(
            nn.Conv2d(PICTURE_CHANNELS, 32, 4, stride=2, padding=1),
            PixelBlock(32),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            PixelBlock(64),
            nn.Conv2d(64, width, 2, stride=2),
        )
        self.cells = nn.Parameter(0.02 * torch.randn(PICTURE[0] * PICTURE[1] // 64, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        # Dropout seeded per sample gives the same training on several processes as on one; attention's own dropout
        # cannot be seeded so.
        layer.self_attn.dropout = 0.0
        layer.dropout, layer.dropout1, layer.dropout2 = (SampleDropout(dropout) for _ in range(3))
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        for name, shape in (("plan", (num_frames, NUMBERS)), ("code", (code,))):
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_std", torch.ones(shape))

    @property
    def state_size(self) -> int:
        """Length of a state: all numbers of a plan, and the code."""
        return self.num_frames * NUMBERS + self.code

    def forward(self, states: torch.Tensor, times: torch.Tensor, conditions: PlannerConditions) -> torch.Tensor:
        """The velocities of states [B, state_size] at times [B] in [0, 1]: noise at 0, data at 1 (:meth:`encode`)."""
        plans, codes = self._split(states)
        steps = self.time(_sinusoids(times, self.places.shape[1])).unsqueeze(1)
        drawn = torch.cat([self.plan_in(plans), self.code_in(codes).unsqueeze(1)], dim=1) + self.places + steps
        cells = self.picture(conditions.picture).flatten(2).transpose(1, 2) + self.cells
        given = [self.facts_in(conditions.facts()).unsqueeze(1), self.text_in(conditions.text), cells]
        x = self.transformer(torch.cat([drawn, *given], dim=1))
        return torch.cat([self.plan_out(x[:, : self.num_frames]).flatten(1), self.code_out(x[:, self.num_frames])], 1)

    def encode(self, plans: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Plans [B, T, NUMBERS] and codes [B, code] as states: cosine coefficients and code, standardised."""
        # Autocast would round coefficients before the division by spreads a thousand times as small.
        with torch.autocast(plans.device.type, enabled=False):
            coefficients = (_cosines(plans) @ plans - self.plan_mean) / self.plan_std
        return torch.cat([coefficients.flatten(1), (codes - self.code_mean) / self.code_std], dim=1)

    def decode(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inverse of :meth:`encode`."""
        coefficients, codes = self._split(states)
        coefficients = coefficients * self.plan_std + self.plan_mean
        with torch.autocast(states.device.type, enabled=False):
            plans = _cosines(coefficients).T @ coefficients
        return plans, codes * self.code_std + self.code_mean

    def known_object(self, motions: NDArray[np.float64], noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The object's part of states that is known from the start: which numbers of a state it is, bool [S], and the
        velocity [B, S] that leads them from their noise to their value in a straight line.

        Args:
            motions: the object's numbers, [B, T, OBJECT_NUMBERS].
            noise: where states begin, [B, S].
        """
        plans = torch.zeros(len(motions), self.num_frames, NUMBERS, device=noise.device)
        plans[..., :OBJECT_NUMBERS] = torch.from_numpy(motions).to(plans)
        states = self.encode(plans, self.code_mean.float().expand(len(plans), -1))
        which = torch.zeros(self.num_frames, NUMBERS, dtype=torch.bool, device=noise.device)
        which[:, :OBJECT_NUMBERS] = True
        rest = torch.zeros(self.code, dtype=torch.bool, device=noise.device)
        return torch.cat([which.flatten(), rest]), states.to(noise) - noise

    def _split(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        plans, codes = states.split([self.num_frames * NUMBERS, self.code], dim=1)
        return plans.unflatten(1, (self.num_frames, NUMBERS)), codes

    def importance(self) -> torch.Tensor:
        """The loss weight of each number of a state, [state_size], 1 on average.

        Weights are proportional to the number's spread in the picture, within bounds: the few numbers for where the
        object goes and where the arm comes from would be lost among hundreds of equal weight. The minimiser of the loss
        is the same.
        """
        spread = self.plan_std / self.plan_std.mean()
        weights = torch.cat([spread.clamp(*_IMPORTANCE).flatten(), torch.ones_like(self.code_std)])
        return weights / weights.mean()

    @torch.no_grad()
    def fit(self, plans: torch.Tensor, codes: torch.Tensor) -> None:
        """Take mean and spread from training data, plans [N, T, NUMBERS] and codes [N, code]."""
        coefficients = _cosines(plans) @ plans
        self.plan_mean.copy_(coefficients.mean(dim=0))
        # Clamped, since numbers that never vary (an actor that no clip has) have no spread to divide by.
        self.plan_std.copy_(coefficients.std(dim=0).clamp(min=2e-3))
        self.code_mean.copy_(codes.mean(dim=0))
        self.code_std.copy_(codes.std(dim=0).clamp(min=1e-3))


def on_border(tips: torch.Tensor, entries: torch.Tensor, covered: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Entries (x, y) moved to the picture's border along the ray from the actor's tip, [..., 2].

    An entry is the centre of the border that an actor covers. It lies at most half that length off the border, and does
    so only in a corner. Kept are entries that near, those of a tip outside the picture, and those of an actor that
    covers none of the border.

    Args:
        tips, entries: [..., 2] in units of the picture's height.
        covered: length of the border that the actor covers, [...].
        widths: of the pictures, [...].
    """
    sides, way = torch.stack([widths, torch.ones_like(widths)], dim=-1), entries - tips
    inside = torch.minimum(entries, sides - entries).amin(dim=-1)
    steps = torch.where(way > 0, sides - tips, -tips) / torch.where(way.abs() < 1e-4, torch.full_like(way, 1e-4), way)
    step = torch.where(way.abs() < 1e-4, torch.full_like(way, torch.inf), steps).amin(dim=-1)
    moved = (covered > _LEAST_COVERED) & ((inside < 0) | (inside > covered / 2)) & (step > 0) & step.isfinite()
    return torch.where(moved.unsqueeze(-1), tips + step.clamp(max=1e3).unsqueeze(-1) * way, entries)


def _cosines(like: torch.Tensor) -> torch.Tensor:
    """The orthonormal cosine transform (type II) over the frames of [B, T, ...], as a matrix [T, T]."""
    count = like.shape[1]
    n = torch.arange(count, device=like.device, dtype=like.dtype)
    k = n.unsqueeze(1)
    matrix = torch.cos(math.pi * (n + 0.5) * k / count) * math.sqrt(2 / count)
    matrix[0] /= math.sqrt(2)
    return matrix


def _sinusoids(times: torch.Tensor, width: int) -> torch.Tensor:
    half = width // 2
    frequencies = torch.exp(torch.linspace(0, math.log(1000), half, device=times.device)).to(times.dtype)
    angles = times.unsqueeze(1) * frequencies
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width - 2 * half))
