"""Clips for training: decoded once, and kept in memory within a budget."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence

import torch
from tqdm import tqdm

from mask2iv.contract import Batch
from mask2iv.data.dataset import ClipDataset, ClipItem, collate
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import reason


def readable_clips(
    clips: ClipSet, limit: int, before: Mapping[str, str] | None = None
) -> tuple[ClipSet, dict[str, str]]:
    """The clips that can be read, and for each of the others, by its id, why not; also printed on standard error.

    Args:
        clips: a clip set; every clip is decoded once.
        limit: number of clips that may be left out.
        before: clips of another set that were left out already; they count, and are included in the result.

    Raises:
        InputError: more clips than that cannot be read.
    """
    left_out = dict(before or {})
    for index, clip_id in enumerate(tqdm(clips.ids, unit="clip", desc="check")):
        try:
            clips[index]
        except InputError as error:
            left_out[clip_id] = reason(error)
            if len(left_out) > limit:
                raise InputError(
                    f"clip {clip_id}",
                    f"cannot be read: {reason(error)}; it is one more than training.max_bad_clips={limit} allows to "
                    f"leave out ({', '.join(left_out)})",
                    "write these clips again",
                ) from error
            tqdm.write(f"left out: clip {clip_id} cannot be read: {reason(error)}", file=sys.stderr)
    rest = copy.copy(clips)
    rest.rows = [row for row in clips.rows if row["clip_id"] not in left_out]
    return rest, left_out


class ClipMemory:
    """A clip set that keeps decoded clips, up to `budget` bytes; beyond that, clips are decoded every time.

    Args:
        clips: the clip set.
        size: (H, W) of the batches.
        num_frames: T of the batches.
        device: where the batches go; decoded clips are kept in main memory.
        budget: bytes of decoded clips to keep.
    """

    def __init__(
        self,
        clips: ClipSet,
        size: tuple[int, int],
        num_frames: int,
        device: torch.device | None = None,
        budget: int = 8 * 2**30,
    ) -> None:
        self.clips = clips
        self.device = device or torch.device("cpu")
        self.dataset = ClipDataset(clips, size, num_frames)
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
        try:
            item = self.dataset[index]
        except InputError as error:
            raise InputError(
                f"clip {self.clips.ids[index]}",
                f"cannot be read: {reason(error)}",
                "write it again, or set training.max_bad_clips to train without such clips",
            ) from error
        size = int(item["video"].nbytes + item["labels"].nbytes)
        if size <= self._room:
            self._items[index] = item
            self._room -= size
        return item

    def batch(self, indices: Sequence[int]) -> Batch:
        """The clips at these indices as a batch."""
        return collate([self.item(index) for index in indices]).to(self.device)

    def frames(self, indices: Sequence[int], frames: Sequence[int]) -> Batch:
        """The first and one more frame of each clip (T = 2)."""
        items = []
        for index, frame in zip(indices, frames, strict=True):
            item = self.item(index)
            pair = [0, frame]
            items.append(ClipItem(**{**item, "video": item["video"][pair], "labels": item["labels"][pair]}))
        return collate(items).to(self.device)


def random_corner(
    labels: torch.Tensor, crop: tuple[int, int], generator: torch.Generator, central: float = 0.5
) -> tuple[int, int]:
    """Upper left corner (y, x) of a random crop, (height, width), of a frame's labels [H, W].

    A share `central` of the crops is centred on a foreground pixel, as far as the borders allow.
    """
    corner = [
        int(torch.randint(0, n - m + 1, (1,), generator=generator)) for n, m in zip(labels.shape, crop, strict=True)
    ]
    chance, pick = torch.rand(2, generator=generator).tolist()
    foreground = torch.nonzero(labels)
    if chance < central and len(foreground):
        middle = foreground[int(pick * len(foreground))].tolist()
        corner = [min(max(at - m // 2, 0), n - m) for at, n, m in zip(middle, labels.shape, crop, strict=True)]
    return corner[0], corner[1]
