"""Trivial baselines: what a model must beat."""

from __future__ import annotations

import numpy as np

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.stages.trivial import pasted_object, slide

__all__ = ["object_slides", "object_stays", "pasted_object", "repeat_first_frame"]


def object_stays(clip: Clip) -> Trajectory:
    """The object rests where it is; no actor."""
    return slide(clip.object_mask, None, clip.trajectory.num_frames, clip.fps)


def object_slides(clip: Clip) -> Trajectory:
    """The object's first mask slides evenly to where its last one has its centroid; no actor.

    Raises:
        InputError: the object is not in the first or not in the last frame.
    """
    try:
        return slide(clip.object_mask, clip.target_mask, clip.trajectory.num_frames, clip.fps)
    except InputError as error:
        raise InputError(
            f"clip {clip.clip_id}", "the object must be visible in the first and in the last frame"
        ) from error


def repeat_first_frame(clip: Clip) -> UInt8Array:
    """A still: the first frame T times, uint8 [T, H, W, 3]."""
    return np.repeat(clip.video[:1], len(clip.video), axis=0)
