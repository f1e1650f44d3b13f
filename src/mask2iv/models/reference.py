"""A decoder stage that warps the first frame along the motion, to restore the detail that the latents blur.

An extension of the paper. An autoencoder of embedded size blurs the whole scene, and a small network blurs whatever
moves even more; yet most of a clip's pixels are in its first frame already. As in ToonCrafter's dual-reference decoder,
the full-resolution first frame joins the decoding. Here it is motion-compensated: the masks show how object and actor
moved, so each frame is offered the first frame warped likewise, and the first frame without either. A small network
blends these with a corrected decoding, pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from numpy.typing import NDArray
from torch import nn

from mask2iv.contract import Label, UInt8Array, is_actor
from mask2iv.models.blocks import pixel_blocks
from mask2iv.models.palette import PARTS
from mask2iv.trajectories.alignment import clean_plate, invert, object_transforms
from mask2iv.trajectories.labels import labels_to_tensor

Floats = NDArray[np.float32]

_INPUTS = 3 + 3 + 3 + 4 + 4 + 3 + 3 + 3 * PARTS
"""Channels: decoded, first frame, plate, moved actor and object with their masks, labels of both frames, palette."""
BANK = 256
"""Palettes that a decoder stores."""
_OUTPUTS = 2 + 3 + 5 + 1
"""Channels: flow, synthesis' correction, gates of the five candidates, shade."""


@dataclass(frozen=True)
class FirstFrame:
    """The first frame as a reference for the others: B clips of T frames.

    Attributes:
        image: float [B, 3, H, W] in [-1, 1].
        plate: the same with object and actors filled in from around them.
        labels: uint8 [B, H, W].
        motions: float [B, T, 3, 2, 3]; for labels 1 to 3, the affine map from a frame's pixels (x, y) to the first's.
        palette: colours of the actors' near and far parts, float [B, 2, 3] in [-1, 1].
    """

    image: torch.Tensor
    plate: torch.Tensor
    labels: torch.Tensor
    motions: torch.Tensor
    palette: torch.Tensor

    @staticmethod
    def of(image: UInt8Array, labels: UInt8Array, palette: Floats, like: torch.Tensor) -> FirstFrame:
        """Of one clip, B = 1.

        Args:
            image: first frame, uint8 [H, W, 3].
            labels: uint8 [T, H, W].
            palette: float [2, 3].
            like: gives device and precision.
        """

        def tensor(picture: UInt8Array) -> torch.Tensor:
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(like) / 127.5 - 1.0

        return FirstFrame(
            tensor(image),
            tensor(first_plate(image, labels)),
            torch.from_numpy(np.array(labels[:1])).to(like.device),
            motions_to_first(labels)[None].to(like.device),
            torch.from_numpy(palette)[None].to(like),
        )


def first_plate(image: UInt8Array, labels: UInt8Array) -> UInt8Array:
    """The first frame uint8 [H, W, 3] without object and actors, for labels uint8 [T, H, W]."""
    return clean_plate(image, labels[0] != Label.BACKGROUND)


def motions_to_first(labels: UInt8Array) -> torch.Tensor:
    """:attr:`FirstFrame.motions` of one clip, float32 [T, 3, 2, 3], for labels uint8 [T, H, W]."""
    moving = (Label.ACTOR, Label.OBJECT, Label.SECOND_ACTOR)
    found = np.stack([invert(object_transforms(labels, label)) for label in moving], axis=1)
    return torch.from_numpy(found).float()


def label_planes(labels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Labels uint8 [N, H, W] as planes of actor, object and second actor, [N, 3, H, W] in {0, 1}."""
    return torch.stack([labels == label for label in (1, 2, 3)], dim=1).to(dtype)


def moved_object(first_labels: torch.Tensor, motions: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The first frame's object warped along its motion, bool [B, T, H, W].

    Args:
        first_labels: uint8 [B, H, W].
        motions: [B, T, 3, 2, 3], as :attr:`FirstFrame.motions`.
        like: uint8 [B, T, H, W], of the frames' size.
    """
    pixels = _positions(like, None)
    plane = (first_labels == Label.OBJECT).unsqueeze(1).float()
    # Beyond the first frame there is nothing; sampling would otherwise continue its border.
    inside = F.pad(plane[..., 1:-1, 1:-1], (1, 1, 1, 1))
    moved = _sample(inside, _source_pixels(pixels, motions, like)[1], plane.shape[-2:])
    return moved.unflatten(0, like.shape[:2]).squeeze(2) > 0.5


class ReferenceDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A U-Net that blends first frame, plate, warped object, warped actor and synthesis into each frame.

    Args:
        widths: channels at 1/patch, 1/(2 patch), 1/(4 patch) of the resolution.
        depth: residual blocks at each of them, both on the way down and on the way up.
        patch: space-to-depth factor; all convolutions run at 1/patch of the resolution, without losing pixels.
    """

    bank: torch.Tensor

    @register_to_config
    def __init__(self, widths: tuple[int, int, int] = (96, 160, 256), depth: int = 1, patch: int = 4) -> None:
        super().__init__()
        self.patch = patch
        self.register_buffer("bank", torch.zeros(BANK, PARTS, 3))
        fine, middle, coarse = widths
        self.conv_in = nn.Conv2d(_INPUTS * patch**2, fine, 3, padding=1)
        self.down = nn.ModuleList([pixel_blocks(fine, depth), pixel_blocks(middle, depth)])
        self.shrink = nn.ModuleList([nn.Conv2d(fine, middle, 2, stride=2), nn.Conv2d(middle, coarse, 2, stride=2)])
        self.inner = pixel_blocks(coarse, 2 * depth)
        self.style = nn.Sequential(nn.Linear(2 * coarse, coarse), nn.SiLU(), nn.Linear(coarse, 2 * coarse))
        self.grow = nn.ModuleList([nn.Conv2d(middle, 4 * fine, 1), nn.Conv2d(coarse, 4 * middle, 1)])
        self.up = nn.ModuleList([pixel_blocks(fine, depth), pixel_blocks(middle, depth)])
        self.conv_out = nn.Conv2d(fine, _OUTPUTS * patch**2, 3, padding=1)
        for layer in (self.conv_out, self.style[2]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def size_multiple(self) -> int:
        """Height and width of frames and windows must be multiples of this number."""
        return 4 * self.patch

    def forward(
        self, decoded: torch.Tensor, labels: torch.Tensor, first: FirstFrame, corners: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The finished frames, float [B, T, 3, h, w], not clamped.

        Args:
            decoded: windows of the autoencoder's decoded frames, [B, T, 3, h, w], float in [-1, 1].
            labels: the windows' labels, uint8 [B, T, h, w].
            first: the whole first frames.
            corners: upper left corners (y, x) of the windows, int [B, T, 2]; None: the windows are whole frames.
        """
        pixels = _positions(decoded, corners)
        frames = decoded.shape[1]
        size = first.image.shape[-2:]
        sources = torch.cat([first.image, first.plate, label_planes(first.labels, decoded.dtype)], dim=1)
        still = _sample(sources, pixels, size)
        grids = _source_pixels(pixels, first.motions, labels)
        moved = [_sample(sources, grid, size) for grid in grids]
        seen = labels_to_tensor(labels.flatten(0, 1)[None])[0].transpose(0, 1).to(decoded.dtype)
        flat = decoded.flatten(0, 1)
        inputs = [flat, still[:, :6], *(_cut_out(part, index) for index, part in enumerate(moved)), seen, still[:, 6:]]
        inputs.append(self._coloured(first.palette, labels, decoded.dtype))
        flow, correction, gates, shade = self._network(torch.cat(inputs, dim=1), labels, frames).split(
            [2, 3, 5, 1], dim=1
        )
        flow = 8 * flow.unflatten(0, (-1, frames)).permute(0, 1, 3, 4, 2)
        actor, item = (_sample(first.image, grid + flow, size) for grid in grids)
        shaded = [(picture + 1) * torch.exp(shade) - 1 for picture in (still[:, :3], still[:, 3:6])]
        candidates = torch.stack([*shaded, actor, item, flat + correction], dim=1)
        blend = torch.softmax(4 * gates, dim=1).unsqueeze(2)
        return (blend * candidates).sum(dim=1).unflatten(0, (-1, frames))

    @staticmethod
    def _coloured(palette: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The palette [B, 2, 3] spread over the actors' pixels, [B * T, 6, h, w]."""
        actor = is_actor(labels).to(dtype)
        return (palette.to(dtype).flatten(1)[:, None, :, None, None] * actor.unsqueeze(2)).flatten(0, 1)

    def _network(self, inputs: torch.Tensor, labels: torch.Tensor, frames: int) -> torch.Tensor:
        """[B * T, _INPUTS, h, w] to [B * T, _OUTPUTS, h, w]."""
        x = self.conv_in(F.pixel_unshuffle(inputs, self.patch))
        passed = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            x = blocks(x)
            passed.append(x)
            x = shrink(x)
        x = self._styled(self.inner(x), labels, frames)
        for blocks, grow, across in zip(self.up[::-1], self.grow[::-1], passed[::-1], strict=True):
            x = blocks(F.pixel_shuffle(grow(x), 2) + across)
        return F.pixel_shuffle(self.conv_out(F.silu(x)), self.patch)

    def _styled(self, x: torch.Tensor, labels: torch.Tensor, frames: int) -> torch.Tensor:
        """The coarse features modulated by clip-wide means, [B * T, C, y, x].

        Scale and shift come from the mean over the actor's pixels of all frames and the mean over all pixels, so that
        an actor looks the same throughout a clip.
        """
        actor = is_actor(labels).flatten(0, 1)[:, None].to(x.dtype)
        share = F.adaptive_avg_pool2d(actor, (x.shape[-2], x.shape[-1]))
        clips = (share * x).unflatten(0, (-1, frames)).sum(dim=(1, 3, 4))
        clips = clips / (share.unflatten(0, (-1, frames)).sum(dim=(1, 3, 4)) + 1e-3)
        overall = x.unflatten(0, (-1, frames)).mean(dim=(1, 3, 4))
        scale, shift = self.style(torch.cat([clips, overall], dim=1)).repeat_interleave(frames, dim=0).chunk(2, dim=1)
        return x * (1 + scale[..., None, None]) + shift[..., None, None]


def _positions(like: torch.Tensor, corners: torch.Tensor | None) -> torch.Tensor:
    """Whole-frame coordinates (x, y) of each pixel of the windows, float32 [B, T, h, w, 2]."""
    height, width = like.shape[-2:]
    y, x = torch.meshgrid(*(torch.arange(n, device=like.device) for n in (height, width)), indexing="ij")
    grid = torch.stack([x, y], dim=-1).float().expand(*like.shape[:2], height, width, 2)
    return grid if corners is None else grid + corners.flip(-1).float()[:, :, None, None]


def _source_pixels(pixels: torch.Tensor, motions: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Where in the first frame each pixel comes from: as an actor's, and as the object's, [B, T, h, w, 2] each.

    The second actor's pixels follow the second actor, all others the first. Sums replace a matrix product, whose
    coordinates autocast would round to whole pixels.
    """
    each = [
        (motion[:, :, None, None, :, :2] * pixels.unsqueeze(-2)).sum(-1) + motion[:, :, None, None, :, 2]
        for motion in motions.float().unbind(2)
    ]
    actor = torch.where((labels == Label.SECOND_ACTOR).unsqueeze(-1), each[2], each[0])
    return [actor, each[1]]


def _sample(images: torch.Tensor, pixels: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Images [B, C, H, W] sampled at pixels [B, T, h, w, 2], to [B * T, C, h, w]; the border is replicated."""
    scale = torch.tensor([2 / max(size[1] - 1, 1), 2 / max(size[0] - 1, 1)], device=pixels.device)
    grid = (pixels * scale - 1).float()
    frames = grid.shape[1]
    rows = grid.flatten(1, 2)  # [B, T * h, w, 2], all frames of a clip in one call
    found = F.grid_sample(images.float(), rows, padding_mode="border", align_corners=True)
    return found.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1).to(images.dtype)


def _cut_out(moved: torch.Tensor, index: int) -> torch.Tensor:
    """Masked picture and mask of the actors (0) or of the object (1), [N, 4, h, w], from moved sources [N, 9, h, w]."""
    mask = moved[:, [6, 8]].amax(dim=1, keepdim=True) if index == 0 else moved[:, 7:8]
    return torch.cat([moved[:, :3] * mask, mask], dim=1)
