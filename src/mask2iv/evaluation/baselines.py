"""Trivial answers: what a model must beat."""

from __future__ import annotations

import numpy as np

from mask2iv.contract import BoolArray, Clip, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.masks import centroid


def object_stays(clip: Clip) -> Trajectory:
    """The object rests where it is; no actor."""
    frame = np.where(clip.object_mask, np.uint8(Label.OBJECT), np.uint8(Label.BACKGROUND))
    return Trajectory(np.repeat(frame[None], clip.trajectory.num_frames, axis=0), clip.fps)


def object_slides(clip: Clip) -> Trajectory:
    """The object's first mask slides evenly to where its last one has its centroid; no actor.

    Shifts are rounded to whole pixels; what leaves the picture is cut off.

    Raises:
        InputError: the object is not in the first or not in the last frame.
    """
    start, goal = centroid(clip.object_mask), centroid(clip.target_mask)
    if start is None or goal is None:
        raise InputError(f"clip {clip.clip_id}: the object must be visible in the first and in the last frame")
    count = clip.trajectory.num_frames
    labels = np.zeros_like(clip.trajectory.labels)
    for index, share in enumerate(np.linspace(0, 1, count)):
        down, right = (round(share * (end - begin)) for begin, end in zip(start, goal, strict=True))
        labels[index][_shifted(clip.object_mask, down, right)] = Label.OBJECT
    return Trajectory(labels, clip.fps)


def repeat_first_frame(clip: Clip) -> UInt8Array:
    """A still: the first frame T times, uint8 [T, H, W, 3]."""
    return np.repeat(clip.video[:1], len(clip.video), axis=0)


def _shifted(mask: BoolArray, down: int, right: int) -> BoolArray:
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved = np.zeros_like(mask)
    moved[rows[inside], columns[inside]] = True
    return moved
