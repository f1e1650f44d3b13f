"""Clips as training batches, in four separate steps.

:class:`~mask2iv.data.store.ClipSet` reads clips, :func:`select_frames` chooses frames, :func:`resize_clip` transforms
them, and :func:`collate` assembles batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from mask2iv.contract import Batch, Clip, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import resize_image, resize_mask

if TYPE_CHECKING:
    import torch


class ClipItem(TypedDict):
    """One clip as tensors."""

    clip_id: str
    video: torch.Tensor
    """uint8 [T, H, W, 3]"""
    labels: torch.Tensor
    """uint8 [T, H, W]"""
    caption: str
    fps: float
    """frame rate of the selected frames"""


def select_frames(total: int, num_frames: int, stride: int | None = None) -> list[int]:
    """Which frames of a clip to take.

    Args:
        total: frames the clip has.
        num_frames: frames to take.
        stride: take every ``stride``-th frame from the first; None spaces them evenly from the first to the last.

    Raises:
        InputError: the clip is too short.
    """
    needed = num_frames if stride is None else (num_frames - 1) * stride + 1
    if num_frames < 1 or needed > total or (stride is not None and stride < 1):
        spacing = "" if stride is None else f" at a stride of {stride}"
        raise InputError(
            "num_frames",
            f"{num_frames} frames{spacing} cannot be taken from a clip of {total}",
            "lower it" if stride is None else "lower one of them",
        )
    if stride is not None:
        return list(range(0, needed, stride))
    return [round(float(position)) for position in np.linspace(0, total - 1, num_frames)]


def resize_clip(video: UInt8Array, labels: UInt8Array, size: tuple[int, int]) -> tuple[UInt8Array, UInt8Array]:
    """Video uint8 [T, H, W, 3], antialiased, and labels uint8 [T, H, W], nearest pixel, resized to ``size`` (H, W)."""
    return resize_image(video, size), resize_mask(labels, size)


def collate(items: Sequence[ClipItem]) -> Batch:
    """Items of one size and length -> :class:`Batch` with the video as float32 [B, 3, T, H, W] in [-1, 1]."""
    import torch

    video = torch.stack([item["video"] for item in items])
    return Batch(
        clip_ids=[item["clip_id"] for item in items],
        video=video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0,
        labels=torch.stack([item["labels"] for item in items]),
        captions=[item["caption"] for item in items],
        fps=torch.tensor([item["fps"] for item in items], dtype=torch.float32),
    )


class ClipDataset:
    """Clips as tensors of one size and length; use with a ``DataLoader`` and ``collate_fn=collate``.

    Args:
        clips: a :class:`~mask2iv.data.store.ClipSet`, or clips in memory.
        size: (H, W) of the items.
        num_frames: T of the items.
        stride: see :func:`select_frames`.
    """

    def __init__(
        self, clips: Sequence[Clip], size: tuple[int, int], num_frames: int, stride: int | None = None
    ) -> None:
        if not len(clips):
            raise InputError("clips", "the clip set is empty")
        self.clips, self.size, self.num_frames, self.stride = clips, (int(size[0]), int(size[1])), num_frames, stride

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> ClipItem:
        import torch

        clip = self.clips[index]
        frames = select_frames(len(clip.video), self.num_frames, self.stride)
        video, labels = resize_clip(clip.video[frames], clip.trajectory.labels[frames], self.size)
        # Skipped frames make the motion look faster: the rate falls accordingly.
        spacing = (frames[-1] - frames[0]) / (len(frames) - 1) if len(frames) > 1 else 1.0
        return ClipItem(
            clip_id=clip.clip_id,
            video=torch.from_numpy(np.ascontiguousarray(video)),
            labels=torch.from_numpy(np.ascontiguousarray(labels)),
            caption=clip.caption,
            fps=clip.fps / spacing,
        )
