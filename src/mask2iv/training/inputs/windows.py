"""Training data of the reference decoder: windows of frames around moving regions, with the decoder's other inputs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from mask2iv.contract import Label
from mask2iv.models.palette import PARTS
from mask2iv.models.reference import FirstFrame, moved_object
from mask2iv.recipes import ReferenceRecipe
from mask2iv.stages.conditioning import VideoConditioning
from mask2iv.training.engine.samples import Samples
from mask2iv.training.inputs.clips import ClipMemory, random_corner
from mask2iv.training.inputs.shards import Shards
from mask2iv.training.networks.pictures import to_float
from mask2iv.trajectories.morphology import perturb_labels

FRAMES_PER_CLIP = 4
"""Frames of a clip in a batch: two pairs of neighbours, which share one appearance."""
_CENTRAL = 0.8
_JITTER = 0.05
"""Standard deviation of the noise on the palette's colours, whose range is 2."""
_KEPT_SHARE = 0.5
"""Share of a GPU's free memory that the frames of a set may take."""


@dataclass(frozen=True)
class RenderedClips:
    """Clips with the decoder's inputs.

    Attributes:
        clips: the true clips.
        rendered: of :func:`mask2iv.training.inputs.rendered.build_rendered`.
        conditioning: which masks the decoder may see.
    """

    clips: ClipMemory
    rendered: Shards
    conditioning: VideoConditioning

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class Windows:
    """Windows of frames of some clips: B clips, T frames.

    Attributes:
        target: true frames, [B, T, 3, h, w] in [-1, 1], like all pictures here.
        decoded: stage 2's frames, of the same shape.
        labels: those that the decoder sees, uint8 [B, T, h, w].
        true_labels: exact ones, uint8 [B, T, h, w].
        start, start_labels: the first frame at the same places, [B, T, 3, h, w] and uint8 [B, T, h, w].
        first: whole first frames.
        corners: of the windows, int [B, T, 2].
    """

    target: torch.Tensor
    decoded: torch.Tensor
    labels: torch.Tensor
    true_labels: torch.Tensor
    start: torch.Tensor
    start_labels: torch.Tensor
    first: FirstFrame
    corners: torch.Tensor


class WindowSource:
    """Draws the batches' windows, :data:`FRAMES_PER_CLIP` of each clip.

    If a GPU has room for the frames of all clips, they stay there, and a step sends only indices.

    Args:
        data: the training clips.
        recipe: size of the windows, and how their masks are altered.
    """

    def __init__(self, data: RenderedClips, recipe: ReferenceRecipe) -> None:
        self.clips, self.rendered, self.recipe, self.device = data.clips, data.rendered, recipe, data.clips.device
        self.conditioning = data.conditioning
        self._kept = self._all() if self._fits() else None

    def draw(self, samples: Samples) -> Windows:
        """The windows of a batch: two pairs of neighbouring frames of each clip, each pair at one place."""
        rows = samples.rows[::FRAMES_PER_CLIP]
        seeds = [samples.seeds[start : start + FRAMES_PER_CLIP] for start in range(0, len(samples), FRAMES_PER_CLIP)]
        chosen = [self._places(row, each) for row, each in zip(rows, seeds, strict=True)]
        found = self._frames(rows, torch.tensor([frames for frames, _ in chosen]))
        corners = torch.tensor([places for _, places in chosen], device=self.device)
        shown, first_shown = (self.conditioning.shown(found[name]) for name in ("labels", "first_labels"))
        image = to_float(found["first"].permute(0, 3, 1, 2))
        jitter = torch.stack(
            [torch.randn(PARTS, 3, generator=torch.Generator().manual_seed(each[1])) for each in seeds]
        )
        palette = found["palette"] + _JITTER * jitter.to(self.device)
        first = FirstFrame(image, to_float(found["plate"]), first_shown, found["motions"], palette)
        labels = found["labels"]
        count = labels.shape[1]
        altered = _altered(shown, first, [each[0] for each in seeds], self.recipe)
        start = found["first"].unsqueeze(1).expand(-1, count, -1, -1, -1)
        return Windows(
            target=to_float(self._cut(found["video"], corners)),
            decoded=to_float(self._cut(found["decoded"].permute(0, 1, 3, 4, 2), corners)),
            labels=self._cut(altered, corners),
            true_labels=self._cut(labels, corners),
            start=to_float(self._cut(start, corners)),
            start_labels=self._cut(first.labels.unsqueeze(1).expand(-1, count, -1, -1), corners),
            first=first,
            corners=corners,
        )

    def _places(self, row: int, seeds: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Frames of a clip, and the corner of the window in each."""
        labels = self.clips.item(row)["labels"]
        frames, corners = [], []
        for seed in seeds[::2]:
            generator = torch.Generator().manual_seed(seed)
            # The first frame is an input, so it is not a target.
            frame = 1 + int(torch.randint(0, len(labels) - 2, (1,), generator=generator))
            union = torch.maximum(labels[frame], labels[0])
            corner = random_corner(union, self.recipe.crop, generator, _CENTRAL)
            frames += [frame, frame + 1]
            corners += [corner, corner]
        return frames, corners

    def _frames(self, rows: list[int], frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """Frames [B, T] of these clips (``video``, ``labels``, ``decoded``, ``motions``), and what each clip has once
        (``first``, ``first_labels``, ``plate``, ``palette``), on the device."""
        if self._kept is None:
            each = [self._clip(row, index) for row, index in zip(rows, frames, strict=True)]
            return {name: torch.stack([one[name] for one in each]).to(self.device) for name in each[0]}
        row, index = torch.tensor(rows, device=self.device), frames.to(self.device)
        found = {name: self._kept[name][row.unsqueeze(1), index] for name in ("video", "labels", "decoded", "motions")}
        once = {"first": self._kept["video"][row, 0], "first_labels": self._kept["labels"][row, 0]}
        return {**found, **once, **{name: self._kept[name][row] for name in ("plate", "palette")}}

    def _clip(self, row: int, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same for one clip, on the CPU."""
        item, made = self.clips.item(row), self.rendered.row(row)
        return {
            "video": item["video"][frames],
            "labels": item["labels"][frames],
            "decoded": made["decoded"][0][frames],
            "motions": made["motions"][0][frames].float(),
            "first": item["video"][0],
            "first_labels": item["labels"][0],
            "plate": made["plate"][0],
            "palette": made["palette"][0],
        }

    def _fits(self) -> bool:
        if self.device.type != "cuda":
            return False  # the clips are in main memory already
        item = self.clips.item(0)
        size = len(self.clips) * (2 * item["video"].nbytes + item["labels"].nbytes)
        return size < _KEPT_SHARE * torch.cuda.mem_get_info(self.device)[0]

    def _all(self) -> dict[str, torch.Tensor]:
        """The frames of all clips, on the device."""
        frames = torch.arange(len(self.clips.item(0)["labels"]))
        kept: dict[str, torch.Tensor] = {}
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for row, found in enumerate(pool.map(lambda row: self._clip(row, frames), range(len(self.clips)))):
                for name, value in found.items():
                    if name not in kept:
                        kept[name] = torch.empty((len(self.clips), *value.shape), dtype=value.dtype, device=self.device)
                    kept[name][row] = value.to(self.device)
        return kept

    def _cut(self, values: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """Windows of frames [B, T, H, W] or [B, T, H, W, C], the latter as [B, T, C, h, w]."""
        height, width = self.recipe.crop
        rows = (corners[..., 0, None] + torch.arange(height, device=corners.device)).unsqueeze(-1)
        columns = (corners[..., 1, None] + torch.arange(width, device=corners.device)).unsqueeze(-2)
        clip, frame = (torch.arange(count, device=corners.device) for count in values.shape[:2])
        cut = values[clip.view(-1, 1, 1, 1), frame.view(1, -1, 1, 1), rows, columns]
        return cut if cut.ndim == 4 else cut.permute(0, 1, 4, 2, 3).contiguous()


def _altered(labels: torch.Tensor, first: FirstFrame, seeds: list[int], recipe: ReferenceRecipe) -> torch.Tensor:
    """Labels uint8 [B, T, H, W] as stage 1 may give them: exact, dilated, eroded, or with the first frame's object."""
    generators = [torch.Generator().manual_seed(seed ^ 0x5EED) for seed in seeds]
    kinds = [float(torch.rand(1, generator=generator)) for generator in generators]
    perturbed = [index for index, kind in enumerate(kinds) if kind < recipe.perturb]
    redrawn = [index for index, kind in enumerate(kinds) if recipe.perturb <= kind < recipe.perturb + recipe.redraw]
    result = labels.clone()
    if perturbed:
        own = [generators[index] for index in perturbed]
        result[perturbed] = perturb_labels(labels[perturbed], 1.0, generator=own)
    if redrawn:
        given = labels[redrawn]
        moved = moved_object(first.labels[redrawn], first.motions[redrawn], given)
        bare = torch.where(given == Label.OBJECT, torch.zeros_like(given), given)
        over = moved & (bare == Label.BACKGROUND)
        result[redrawn] = torch.where(over, torch.full_like(given, int(Label.OBJECT)), bare)
    return result
