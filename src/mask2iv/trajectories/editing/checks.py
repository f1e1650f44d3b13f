"""What looks wrong in a trajectory before it is rendered: what an edit broke, or a network drew badly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import PIECE, areas, centroids, pieces
from mask2iv.trajectories.scoring.movement import MOVING_SHARE, touch

Kind = Literal["first_frame", "missing", "size", "pieces", "jump", "untouched", "floating"]
"""What is wrong: the first frame differs from the picture's masks; the object is not seen; its size jumps; it, or the
actor, is in pieces; it jumps; it moves untouched; the actor comes from nowhere."""

JUMP = 0.15
"""A centroid jumps when it is farther than this from its place in the previous frame, as a share of the diagonal."""
SIZE_JUMP = 2.0
"""A size jumps when it is more than this times what it was in the previous frame, or less than its inverse."""


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Attributes:
        kind: what.
        frames: where, in rising order.
        text: for people, without the frames.
    """

    kind: Kind
    frames: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        return f"frames {_ranges(self.frames)}: {self.text}"


def validate(trajectory: Trajectory, original: Trajectory | None = None) -> list[Finding]:
    """What looks wrong in a trajectory; an empty list is a good sign and no proof.

    Args:
        trajectory: T frames.
        original: what it was made of, to whose first frame its first frame is compared; None for no such comparison.

    Raises:
        InputError: an original of another size.
    """
    if original is not None and original.size != trajectory.size:
        raise InputError("original", f"must be of the size {list(trajectory.size)}, found {list(original.size)}")
    return [Finding(kind, tuple(frames), text) for kind, frames, text in _found(trajectory, original) if frames]


def _found(trajectory: Trajectory, original: Trajectory | None) -> Iterator[tuple[Kind, Sequence[int], str]]:
    thing, actor = trajectory.object, trajectory.actor
    if original is not None and (trajectory.labels[0] != original.labels[0]).any():
        yield "first_frame", [0], "it is no longer what the picture shows"
    yield "missing", np.flatnonzero(~thing.any(axis=(1, 2))).tolist(), "the object is not seen"
    sizes = areas(trajectory, Label.OBJECT).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = sizes[1:] / sizes[:-1]
    jumps = (growth > SIZE_JUMP) | ((growth < 1 / SIZE_JUMP) & (growth > 0))
    yield "size", (1 + np.flatnonzero(jumps)).tolist(), f"the object's size changes by a factor above {SIZE_JUMP:g}"
    yield "pieces", _broken(thing), f"the object is in several pieces of {PIECE:.0%} of it or more"
    steps = np.linalg.norm(np.diff(centroids(trajectory, Label.OBJECT), axis=0), axis=1) / np.hypot(*trajectory.size)
    far = (1 + np.flatnonzero(steps > JUMP)).tolist()
    yield "jump", far, f"the object jumps by more than {JUMP:.0%} of the diagonal"
    if actor.any():
        moving = 1 + np.flatnonzero(steps > MOVING_SHARE)
        untouched = [int(t) for t in moving if thing[t].any() and not touch(actor[t], thing[t])]
        yield "untouched", untouched, "the object moves and the actor does not touch it"
        floating = [t for t, mask in enumerate(actor) if mask.any() and not _at_border(mask)]
        yield "floating", floating, "the actor does not reach the border of the picture"


def _broken(masks: BoolArray) -> list[int]:
    return [index for index, mask in enumerate(masks) if pieces(mask) > 1]


def _at_border(mask: BoolArray) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _ranges(frames: Sequence[int]) -> str:
    """Frames as text: 3, 5 to 8."""
    runs = [[t for _, t in run] for _, run in groupby(enumerate(frames), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
