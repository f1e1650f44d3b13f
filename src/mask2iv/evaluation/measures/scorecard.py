"""The interaction scorecard: does a trajectory, or a video whose masks were found again, handle the object as asked.

Shares of the diagonal and of frames; all but the first frame count, which is an input. Each measure is also taken of
the true video, because the masks found again are not perfect and a true object is not always in sight: what the true
video scores is the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
import torch

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.evaluation.measures import metrics
from mask2iv.trajectories.measures import areas, centroids
from mask2iv.trajectories.morphology import dilate

SUCCESS = 0.05
"""An object has arrived when it ends nearer than this share of the diagonal to the target."""
AREA_FACTOR = 2.0
"""An object keeps its size in a frame when its area is within this factor of its first one."""
PIECE = 0.1
"""Connected pieces below this share of the object's area do not count as a second object."""
MARGIN = 9
"""Side of the dilation of the masks, in pixels, outside of which background begins."""

Measures = dict[str, float]


def of_trajectory(found: Trajectory, target: BoolArray, start: BoolArray) -> Measures:
    """What masks alone tell.

    Args:
        found: T frames, predicted by stage 1 or found again in a video.
        target, start: bool [H, W], where the object shall end and where it is in the first frame; not empty.

    Returns:
        ``target_error``, share of the diagonal; ``success``, 1 if that is below :data:`SUCCESS` and the object is seen
        at the end; ``vanished``, 1 if it is not; ``present``, share of frames that show the object; ``size_kept``,
        share of frames in which it is within :data:`AREA_FACTOR` of its first area; ``one_piece``, share of frames in
        which it is one connected piece; ``jerk``, mean second difference of its centroid per frame squared, share of
        the diagonal; ``frames``, ``moving_frames`` and ``touching_frames``, see
        :func:`~mask2iv.evaluation.measures.metrics.moving_and_touching`.
    """
    error, vanished = metrics.final_distance(found, target, start)
    moving, touching = metrics.moving_and_touching(found)
    sizes = areas(found, Label.OBJECT)[1:] / start.sum()
    parts = np.array([pieces(mask) for mask in found.object[1:]])
    path = centroids(found, Label.OBJECT)
    jerk = np.linalg.norm(np.diff(path, n=2, axis=0), axis=1) / np.hypot(*found.size)
    jerk = jerk[~np.isnan(jerk)]
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
    """What a rendered video tells, with the masks found again in it.

    Args:
        video: uint8 [T, H, W, 3].
        found: its masks.
        requested: the trajectory that it was to follow.
        target, start: bool [H, W], where the object shall end and where it is in the first frame.

    Returns:
        :func:`of_trajectory` of the masks found, and ``object_miou`` and ``actor_miou`` to the requested trajectory,
        ``background_psnr`` and ``flicker`` (see there).
    """
    return {
        **of_trajectory(found, target, start),
        "object_miou": metrics.object_iou(found, requested),
        "actor_miou": metrics.actor_iou(found, requested),
        "background_psnr": background_psnr(video, requested),
        "flicker": flicker(video),
    }


def background_psnr(video: UInt8Array, requested: Trajectory) -> float:
    """How still the background is: PSNR in dB between each frame and the first, outside all masks asked for.

    Masks of the frame and of the first one, dilated by :data:`MARGIN` pixels, are left out. For a resting camera.
    At most :data:`~mask2iv.evaluation.measures.metrics.PSNR_LIMIT`, also where no background is left.
    """
    things = torch.from_numpy(requested.labels > 0)
    outside = ~dilate(things[1:] | things[:1], MARGIN).numpy()
    still = np.repeat(video[:1], len(video), axis=0)
    found = metrics.psnr(video, still, outside)
    return metrics.PSNR_LIMIT if found is None else found


def flicker(video: UInt8Array) -> float:
    """Mean absolute second difference of the pixels over time, in 8-bit levels: 0 for a still or an even change."""
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


def pieces(mask: BoolArray, least: float = PIECE) -> int:
    """Connected pieces of a mask, bool [H, W], that have at least the share `least` of its area; corners connect."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return int((sizes >= least * sizes.sum()).sum()) if len(sizes) else 0
