"""A painter of masks: turns a plan's numbers into the visible masks of actor and object, frame by frame.

Masks are represented as truncated signed distances, positive inside, at a quarter of the resolution. The mean of two
distances is still one shape, whereas the mean of two masks is fragments. Upsampled and thresholded at zero, distances
keep an edge to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from mask2iv.models.blocks import PixelBlock, pixel_blocks
from mask2iv.trajectories.distances import SHRINK
from mask2iv.trajectories.plan import ACTORS, NUMBERS, actor_numbers

_GEOMETRY = 7
_PATCH = 2
"""Space-to-depth factor of the maps: a cell of the network holds four distances of each."""
_MAPS = 3 + ACTORS * _GEOMETRY + 1 + ACTORS
"""Input channels: three known distances, each actor's geometry, the time, the first frame's actor warped for each."""


@dataclass(frozen=True)
class KnownMaps:
    """Known maps of B clips: distances in [-1, 1].

    Attributes:
        moved: the first frame's object warped along the plan, [B, T, 1, h, w].
        first_object, first_actor: of the first frame, [B, 1, h, w]; -1 everywhere for an unknown actor.
    """

    moved: torch.Tensor
    first_object: torch.Tensor
    first_actor: torch.Tensor


@dataclass(frozen=True)
class Painted:
    """Distances of the visible masks, [B, T, h, w] each; in [-1, 1] if exact, unbounded if painted.

    Attributes:
        actor: of all actors together.
        thing: of the object.
    """

    actor: torch.Tensor
    thing: torch.Tensor


class ShapeEncoder(nn.Module):
    """Encodes what a plan omits of a clip's actors (kind, fingers, sleeve) as a code with mean and variance."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 4, stride=4),
            PixelBlock(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            PixelBlock(2 * width),
        )
        self.out = nn.Linear(2 * width, 2 * code)

    def forward(self, painted: Painted) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance, [B, code] each, from all frames of true maps."""
        maps = torch.stack([painted.actor, painted.thing], dim=2)
        features = self.layers(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        mean, log_variance = self.out(features.mean(dim=(1, 3, 4))).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8, 2)


class MaskPainter(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A U-Net over maps of a plan's geometry, conditioned on the actors' shape code and the text.

    Args:
        widths: channels at 1/8, 1/16 and 1/32 of the picture's resolution.
        depth: blocks at each of them, both on the way down and on the way up.
        code: length of the shape code.
        text_width: of the text tokens.
    """

    @register_to_config
    def __init__(
        self, widths: tuple[int, int, int] = (64, 128, 160), depth: int = 1, code: int = 16, text_width: int = 128
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.code = code
        self.encoder = ShapeEncoder(fine, code)
        self.text = nn.Linear(text_width, coarse)
        self.told = nn.Sequential(
            nn.Linear(coarse + code + NUMBERS, 2 * coarse), nn.SiLU(), nn.Linear(2 * coarse, fine + middle + coarse)
        )
        self.conv_in = nn.Conv2d(_MAPS * _PATCH**2, fine, 3, padding=1)
        self.down = nn.ModuleList([pixel_blocks(fine, depth), pixel_blocks(middle, depth)])
        self.shrink = nn.ModuleList([nn.Conv2d(fine, middle, 2, stride=2), nn.Conv2d(middle, coarse, 2, stride=2)])
        self.inner = pixel_blocks(coarse, 2 * depth)
        self.grow = nn.ModuleList([nn.Conv2d(middle, 4 * fine, 1), nn.Conv2d(coarse, 4 * middle, 1)])
        self.up = nn.ModuleList([pixel_blocks(fine, depth), pixel_blocks(middle, depth)])
        self.conv_out = nn.Conv2d(fine, 2 * _PATCH**2, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    @property
    def size_multiple(self) -> int:
        """The picture's height and width must be multiples of this."""
        return 4 * SHRINK * _PATCH

    def forward(
        self,
        plans: torch.Tensor,
        starts: torch.Tensor,
        known: KnownMaps,
        code: torch.Tensor,
        text: torch.Tensor,
        times: torch.Tensor | None = None,
        first_plans: torch.Tensor | None = None,
    ) -> Painted:
        """Paint B clips of T frames, independently of each other.

        Args:
            plans: [B, T, NUMBERS], see :meth:`mask2iv.trajectories.plan.InteractionPlan.to_array`.
            starts: the object's centroid in the first frame, [B, 2].
            known: maps of the clips.
            code: of the actors' shape, [B, code].
            text: text tokens, [B, L, D].
            times: of the frames, [B, T], 0 for the first of a clip and 1 for the last; None: they are whole clips.
            first_plans: of the clips' first frames, [B, NUMBERS]; None: the first frames of `plans`.
        """
        first_plans = plans[:, 0] if first_plans is None else first_plans
        frames = plans.shape[1]
        if times is None:
            times = torch.linspace(0, 1, frames, device=plans.device, dtype=plans.dtype).expand(len(plans), -1)
        maps = torch.cat(
            [
                known.moved,
                known.first_object.unsqueeze(1).expand(-1, frames, -1, -1, -1),
                known.first_actor.unsqueeze(1).expand(-1, frames, -1, -1, -1),
                _geometry(plans, starts, times, known.moved.shape[-2:]),
                moved_actors(plans, first_plans, starts, known.first_actor),
            ],
            dim=2,
        ).flatten(0, 1)
        words = self.text(text.mean(dim=1)).unsqueeze(1).expand(-1, frames, -1)
        bias = self.told(torch.cat([words, code.unsqueeze(1).expand(-1, frames, -1), plans], dim=-1)).flatten(0, 1)
        fine, middle, coarse = bias.split([self.conv_in.out_channels, self.shrink[0].out_channels, words.shape[-1]], 1)  # type: ignore[list-item]
        x = self.conv_in(F.pixel_unshuffle(maps, _PATCH)) + fine[..., None, None]
        passed = []
        for blocks, shrink, bias in zip(self.down, self.shrink, (middle, coarse), strict=True):
            x = blocks(x)
            passed.append(x)
            x = shrink(x) + bias[..., None, None]
        x = self.inner(x)
        for blocks, grow, across in zip(self.up[::-1], self.grow[::-1], passed[::-1], strict=True):
            x = blocks(F.pixel_shuffle(grow(x), 2) + across)
        x = F.pixel_shuffle(self.conv_out(F.silu(x)), _PATCH)
        actor, thing = x.unflatten(0, (-1, frames)).unbind(dim=2)
        return Painted(actor - 0.5, known.moved.squeeze(2) + thing)


def _pixels(like: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Coordinates (x, y) of the maps' cells in units of the picture's height, [2, h, w]."""
    height, width = size
    rows, columns = (
        (torch.arange(count, device=like.device) * SHRINK + (SHRINK - 1) / 2) / (height * SHRINK - 1)
        for count in (height, width)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y]).to(like.dtype)


def moved_actors(
    plans: torch.Tensor, first_plans: torch.Tensor, starts: torch.Tensor, first_actor: torch.Tensor
) -> torch.Tensor:
    """The first frame's actor warped to each actor's planned tip and axis, distances [B, T, ACTORS, h, w].

    So a hand keeps its fingers. The map is -1 everywhere if the actor is missing from either frame.

    Args:
        plans, first_plans, starts: as in :meth:`MaskPainter.forward`.
        first_actor: distances [B, 1, h, w]; the border is replicated outwards.
    """
    height, width = first_actor.shape[-2:]
    frames = plans.shape[1]
    # Autocast would round coordinates.
    with torch.autocast("cuda" if plans.is_cuda else "cpu", enabled=False):
        pixels = _pixels(plans, first_actor.shape[-2:])
        moved = []
        for slot in range(ACTORS):
            now, then = (actor_numbers(numbers, slot) for numbers in (plans, first_plans.unsqueeze(1)))
            tip, first_tip = starts.unsqueeze(1) + plans[..., :2] + now[..., 1:3], starts.unsqueeze(1) + then[..., 1:3]
            axis, first_axis = (
                F.normalize(numbers[..., 3:5] - point, dim=-1) for numbers, point in ((now, tip), (then, first_tip))
            )
            cosine = (axis * first_axis).sum(-1)
            sine = axis[..., 0] * first_axis[..., 1] - axis[..., 1] * first_axis[..., 0]
            x, y = (pixels - tip[..., None, None]).unbind(dim=2)
            cosine, sine = cosine[..., None, None], sine[..., None, None]
            turned = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
            cells = ((turned + first_tip[:, :, None, None]) * (height * SHRINK - 1) - (SHRINK - 1) / 2) / SHRINK
            grid = (2 * cells + 1) / torch.tensor([width, height], device=plans.device) - 1
            found = F.grid_sample(
                first_actor.float(), grid.flatten(1, 2).float(), padding_mode="border", align_corners=False
            ).view(-1, frames, height, width)
            both = ((now[..., 0] > 0.5) & (then[..., 0] > 0.5))[..., None, None]
            moved.append(torch.where(both, found, torch.full_like(found, -1.0)))
    return torch.stack(moved, dim=2)


def _geometry(plans: torch.Tensor, starts: torch.Tensor, times: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Each actor's points relative to every pixel, and the time, [B, T, 2 * 7 + 1, h, w]."""
    batch, frames = plans.shape[:2]
    height, width = size
    pixels = _pixels(plans, size)
    places = starts.unsqueeze(1) + plans[..., :2]
    maps = []
    for slot in range(ACTORS):
        numbers = actor_numbers(plans, slot)
        present = numbers[..., :1]
        tip, entry, centre = places + numbers[..., 1:3], numbers[..., 3:5], numbers[..., 6:8]
        from_tip, from_entry, from_centre = (pixels - point[..., None, None] for point in (tip, entry, centre))
        axis = (entry - tip)[..., None, None]
        along = ((from_tip * axis).sum(2, keepdim=True) / (axis.square().sum(2, keepdim=True) + 1e-3)).clamp(0, 1)
        beside = (from_tip - along * axis).square().sum(2, keepdim=True).add(1e-6).sqrt()
        girth = numbers[..., 8:9, None, None] / 2
        seen = torch.cat([2 * from_tip, from_entry, beside, girth - beside], dim=2)
        round_centre = numbers[..., 8:9, None, None] - from_centre.square().sum(2, keepdim=True).add(1e-6).sqrt()
        maps.append(torch.cat([seen, round_centre], dim=2) * present[..., None, None])
    return torch.cat([*maps, times.view(batch, frames, 1, 1, 1).expand(-1, -1, 1, height, width)], dim=2)
