"""Clips for training: decoded once, kept in memory within a budget, sampled as a function of (seed, step)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from tqdm import tqdm

from mask2iv.contract import Batch
from mask2iv.data.dataset import ClipDataset, ClipItem, collate
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.training.samples import Samples


class BadClips:
    """Clips that cannot be read: each is named once and left out, up to a limit.

    Args:
        limit: clips left out before the run stops; each process counts those it meets.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.found: dict[str, str] = {}

    def leave_out(self, clip_id: str, error: InputError) -> None:
        """Name a clip on standard error.

        Raises:
            InputError: that is one too many.
        """
        if clip_id in self.found:
            return
        self.found[clip_id] = reason(error)
        if len(self.found) > self.limit:
            raise InputError(
                f"clip {clip_id} cannot be read: {reason(error)}; training.max_bad_clips={self.limit} allows no more "
                "such clips: write them again, or raise that number to train without them"
            ) from error
        tqdm.write(f"left out: clip {clip_id} cannot be read: {reason(error)}", file=sys.stderr)


class ClipMemory:
    """A clip set that keeps what it has decoded, up to `budget` bytes; beyond that clips are decoded every time.

    Args:
        clips: where the clips lie.
        size: (H, W) of the batches.
        num_frames: T of the batches.
        device: where the batches go; the clips kept in memory stay in main memory.
        budget: bytes kept in memory.
        bad: receives the clips that cannot be read; None allows none.
    """

    def __init__(
        self,
        clips: ClipSet,
        size: tuple[int, int],
        num_frames: int,
        device: torch.device | None = None,
        budget: int = 8 * 2**30,
        bad: BadClips | None = None,
    ) -> None:
        self.clips = clips
        self.device = device or torch.device("cpu")
        self.dataset = ClipDataset(clips, size, num_frames)
        self.bad = bad or BadClips()
        self._room = budget
        self._items: dict[int, ClipItem] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def captions(self) -> list[str]:
        """Captions of all clips."""
        return [row["caption"] for row in self.clips.rows]

    def item(self, index: int) -> ClipItem:
        """One decoded clip; see :class:`ClipDataset`."""
        if index in self._items:
            return self._items[index]
        item = self.dataset[index]
        size = int(item["video"].nbytes + item["labels"].nbytes)
        if size <= self._room:
            self._items[index] = item
            self._room -= size
        return item

    def readable(self, indices: Sequence[int]) -> list[int]:
        """Positions in `indices` of the clips that can be read; the others are left out of the batch, by name.

        Raises:
            InputError: too many clips cannot be read, or none of these can.
        """
        positions = []
        for position, index in enumerate(indices):
            try:
                self.item(index)
            except InputError as error:
                self.bad.leave_out(self.clips.ids[index], error)
            else:
                positions.append(position)
        if not positions:
            raise InputError(
                f"none of the clips {', '.join(self.clips.ids[i] for i in indices)} of a batch can be read"
            )
        return positions

    def readable_samples(self, samples: Samples) -> tuple[list[int], list[torch.Generator]]:
        """Rows and generators of those samples whose clips can be read; see :meth:`readable`."""
        positions, generators = self.readable(samples.rows), samples.generators()
        return [samples.rows[one] for one in positions], [generators[one] for one in positions]

    def batch(self, indices: Sequence[int]) -> Batch:
        """The clips of these indices, assembled."""
        return collate([self.item(index) for index in indices]).to(self.device)

    def frames(self, indices: Sequence[int], frames: Sequence[int]) -> Batch:
        """The first and one more frame of each clip (T = 2), without touching the others."""
        items = []
        for index, frame in zip(indices, frames, strict=True):
            item = self.item(index)
            pair = [0, frame]
            items.append(ClipItem(**{**item, "video": item["video"][pair], "labels": item["labels"][pair]}))
        return collate(items).to(self.device)


def random_corner(labels: torch.Tensor, crop: int, generator: torch.Generator) -> tuple[int, int]:
    """Upper left corner (y, x) of a random crop of a frame's labels [H, W]; every other one shows the foreground."""
    height, width = labels.shape
    y, x = (int(torch.randint(0, side - crop + 1, (1,), generator=generator)) for side in (height, width))
    central, pick = torch.rand(2, generator=generator).tolist()
    foreground = torch.nonzero(labels)
    if central < 0.5 and len(foreground):
        row, column = foreground[int(pick * len(foreground))].tolist()
        y = min(max(row - crop // 2, 0), height - crop)
        x = min(max(column - crop // 2, 0), width - crop)
    return y, x
