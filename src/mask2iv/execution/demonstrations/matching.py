"""Which moment of an execution a frame of a film shows, by the arm's masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray
from mask2iv.sim.world.geometry import Array

_EVEN = 0.3
"""How much a whole way's difference from the usual pace costs, against masks that do not overlap at all."""
_RUSH = 4.0
"""Cost of going twice as far between two frames as the joints can."""
_SEEN = 0.002
"""Share of the picture from which on an arm's mask says where the arm is."""


def match(
    masks: BoolArray, seen: BoolArray, joints: Array, farthest: float, usual: Array, end: int
) -> NDArray[np.int64]:
    """The moment of each frame, in the order of time: the masks overlap best, no joint rushes, and where masks say
    nothing the pace is the usual one. The first frame shows the first moment.

    Args:
        masks: bool [N, H, W], of the arm at each moment of the execution.
        seen: bool [T, H, W], of the arm in the film.
        joints: [N, J], at each moment.
        farthest: that a joint may go between two frames.
        usual: [T], the moment that each frame has at the usual pace, as a share of all.
        end: the first moment that the last frame may show.

    Returns:
        int64 [T].
    """
    count, frames = len(masks), len(seen)
    share = np.arange(count) / max(count - 1, 1)
    cost = 1 - _overlap(seen, masks) + _EVEN * np.abs(usual[:, None] - share)
    # How far the farthest joint goes between each two moments.
    gone = np.abs(joints[:, None] - joints[None]).max(axis=-1)
    rush = _RUSH * np.maximum(gone / farthest - 1, 0)
    rush[np.tril_indices(count, -1)] = np.inf
    total = np.full(count, np.inf)
    total[0] = 0.0
    came = np.zeros((frames, count), dtype=np.int64)
    for k in range(1, frames):
        ways = total[:, None] + rush
        came[k] = ways.argmin(axis=0)
        total = ways.min(axis=0) + cost[k]
    found = np.full(frames, end + int(total[end:].argmin()), dtype=np.int64)
    for k in range(frames - 1, 0, -1):
        found[k - 1] = came[k, found[k]]
    return found


def _overlap(seen: BoolArray, masks: BoolArray) -> Array:
    """IoU of each mask of the film with each of the execution, [T, N]; 1 where the film hardly shows the arm."""
    a, b = (one.reshape(len(one), -1).astype(np.float32) for one in (seen, masks))
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - both
    overlap: Array = (both / np.maximum(either, 1)).astype(np.float64)
    overlap[a.mean(axis=1) < _SEEN] = 1.0
    return overlap
