"""The interaction scorecard: does a trajectory, or a video with its segmented masks, handle the object as asked.

Values are shares of the diagonal or of frames. The first frame is an input and does not count. Each measure is also
taken of the true video, whose score is the ceiling: segmentation is not perfect, and a true object is not always
visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.evaluation.measures import metrics
from mask2iv.trajectories.measures import areas, pieces
from mask2iv.trajectories.morphology import dilate
from mask2iv.trajectories.scoring import movement
from mask2iv.trajectories.scoring.score import AREA_FACTOR

SUCCESS = 0.05
"""An object has arrived when it ends within this share of the diagonal of the target."""
MARGIN = 9
"""Side of the dilation of the masks, in pixels; what lies outside is background."""

Measures = dict[str, float]


def of_trajectory(found: Trajectory, target: BoolArray, start: BoolArray) -> Measures:
    """The part of the scorecard that needs masks alone.

    Args:
        found: T frames, predicted by stage 1 or segmented from a video.
        target, start: bool [H, W], where the object should end and where it is in the first frame; not empty.

    Returns:
        ``target_error``, share of the diagonal; ``success``, 1 if that is below :data:`SUCCESS` and the last frame
        shows the object; ``vanished``, 1 if it does not; ``present``, share of frames that show the object;
        ``size_kept``, share of frames in which its area is within :data:`AREA_FACTOR` of its first; ``one_piece``,
        share of frames in which it is one connected piece; ``jerk``, mean second difference of its centroid per frame
        squared, share of the diagonal; ``frames``, ``moving_frames`` and ``touching_frames``, see
        :func:`mask2iv.trajectories.scoring.movement.moving_and_touching`.
    """
    error, vanished = movement.final_distance(found, target, start)
    moving, touching = movement.moving_and_touching(found)
    sizes = areas(found, Label.OBJECT)[1:] / start.sum()
    parts = np.array([pieces(mask) for mask in found.object[1:]])
    jerk = movement.path_changes(found, 2)
    return {
        "target_error": error,
        "success": float(error < SUCCESS and not vanished),
        "vanished": float(vanished),
        "present": float((sizes > 0).mean()),
        "size_kept": float(((sizes >= 1 / AREA_FACTOR) & (sizes <= AREA_FACTOR)).mean()),
        "one_piece": float((parts == 1).mean()),
        "jerk": float(jerk.mean()) if len(jerk) else 0.0,
        "frames": found.num_frames - 1,
        "moving_frames": moving,
        "touching_frames": touching,
    }


def of_video(
    video: UInt8Array, found: Trajectory, requested: Trajectory, target: BoolArray, start: BoolArray
) -> Measures:
    """The scorecard of a rendered video and the masks segmented from it.

    Args:
        video: uint8 [T, H, W, 3].
        found: its masks.
        requested: the trajectory it was asked to follow.
        target, start: bool [H, W], where the object should end and where it is in the first frame.

    Returns:
        :func:`of_trajectory` of its masks; ``object_miou`` and ``actor_miou`` to the requested trajectory;
        :func:`background_psnr` and :func:`flicker`.
    """
    return {
        **of_trajectory(found, target, start),
        "object_miou": metrics.object_iou(found, requested),
        "actor_miou": metrics.actor_iou(found, requested),
        "background_psnr": background_psnr(video, requested),
        "flicker": flicker(video),
    }


def background_psnr(video: UInt8Array, requested: Trajectory) -> float:
    """How still the background is: PSNR in dB between each frame and the first, outside all requested masks.

    The masks of the frame and of the first one are dilated by :data:`MARGIN` pixels. The camera must not move. At most
    :data:`~mask2iv.evaluation.measures.metrics.PSNR_LIMIT`, also where no background is left.
    """
    foreground = torch.from_numpy(requested.labels > 0)
    outside = ~dilate(foreground[1:] | foreground[:1], MARGIN).numpy()
    still = np.repeat(video[:1], len(video), axis=0)
    found = metrics.psnr(video, still, outside)
    return metrics.PSNR_LIMIT if found is None else found


def flicker(video: UInt8Array) -> float:
    """Mean absolute second difference of the pixels over time, in 8-bit levels: 0 for a still or a steady change."""
    if len(video) < 3:
        return 0.0
    return float(np.abs(np.diff(video.astype(np.int16), n=2, axis=0)).mean())


def video_diversity(videos: Sequence[UInt8Array]) -> float:
    """Mean over pairs of seeds of the root mean squared difference of their videos, in 8-bit levels."""
    pairs = combinations([video[1:].astype(np.float32) for video in videos], 2)
    return float(np.mean([np.sqrt(np.square(a - b).mean()) for a, b in pairs]))


def trajectory_diversity(trajectories: Sequence[Trajectory]) -> float:
    """Mean over pairs of seeds of 1 less the object's mean IoU."""
    return float(np.mean([1 - metrics.object_iou(a, b) for a, b in combinations(trajectories, 2)]))
