"""How much happens in a clip, and which clips are left out because too little does."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mask2iv.contract import BoolArray, Label, UInt8Array, is_actor
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import centroid


def motion_score(labels: UInt8Array, actor_only: bool = False) -> float:
    """How far actor and object move, added up (paper, section 4.1: from hand and object displacement).

    The centres of actor and of object are followed from frame to frame; a frame without one is skipped, so that what is
    hidden for a while counts by where it comes out again.

    Args:
        labels: uint8 [T, H, W] with values of :class:`~mask2iv.contract.Label`.
        actor_only: as in the original code, which counts the hand only.

    Returns:
        Length of the centres' paths in diagonals of the frame per clip, the mean of actor and object; of what is seen
        in no two frames it is 0.
    """
    diagonal = float(np.hypot(*labels.shape[1:]))
    parts = [is_actor(labels)] if actor_only else [is_actor(labels), labels == Label.OBJECT]
    return sum(_path(part) for part in parts) / (len(parts) * diagonal)


def _path(track: BoolArray) -> float:
    """Length of the way of a mask's centre, in pixels."""
    centres = [centre for mask in track if (centre := centroid(mask)) is not None]
    if len(centres) < 2:
        return 0.0
    return float(np.linalg.norm(np.diff(np.array(centres), axis=0), axis=1).sum())


def slowest(scores: Mapping[str, float], share: float = 0.05) -> set[str]:
    """The clips with the lowest motion scores (paper: the lowest 5 %).

    Args:
        scores: of each clip.
        share: of the clips, 0 to 1; rounded down to a whole number of clips.

    Returns:
        Their names. Of equal scores the first by name goes.

    Raises:
        InputError: a share out of its range, or a score that is no number.
    """
    if not 0 <= share <= 1:
        raise InputError("share", f"must be 0 to 1, found {share}")
    broken = [name for name, score in scores.items() if not math.isfinite(score)]
    if broken:
        raise InputError("scores", f"must be numbers, found {scores[broken[0]]} for {broken[0]}")
    count = math.floor(len(scores) * share + 1e-9)
    return set(sorted(scores, key=lambda name: (scores[name], name))[:count])
