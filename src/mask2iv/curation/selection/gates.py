"""Which clips have masks good enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, UInt8Array, is_actor
from mask2iv.errors import InputError


@dataclass(frozen=True)
class Gates:
    """Limits that a clip's masks keep. Shares and areas are 0 to 1, areas as shares of the frame.

    Attributes:
        smallest: area of the object, median over the frames that show it, at least this.
        largest: area of the object in any frame, at most this.
        jump: from one frame to the next the object's area changes at most by this factor, where neither frame is empty
            and the actor does not touch it; a track that jumps has slipped to something else.
        touched_jump: the same factor while the actor touches it, as a hand hides much of an object.
        empty: share of frames without the object, at most this.
        lost: the object may be gone from the last frames of at most this share: gone to the end, it was lost and not
            hidden.
        whole: an actor of more than this area in any frame is a mask of the room.
        actor: whether an actor must be seen at all.
        actor_area: the actor, where it must be seen, has at least this area in some frame.
        first: whether the first frame must show the object, which generation starts from.

    Raises:
        InputError: a limit out of its range.
    """

    smallest: float = 0.001
    largest: float = 0.4
    jump: float = 2.5
    touched_jump: float = 6.0
    empty: float = 0.25
    lost: float = 0.15
    whole: float = 0.75
    actor: bool = True
    actor_area: float = 0.003
    first: bool = True

    def __post_init__(self) -> None:
        for name in ("smallest", "largest", "empty", "lost", "whole", "actor_area"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(name, f"must be a share from 0 to 1, found {getattr(self, name)}")
        for name in ("jump", "touched_jump"):
            if not getattr(self, name) >= 1:
                raise InputError(name, f"must be a factor from 1 on, found {getattr(self, name)}")


def check_gates(labels: UInt8Array, gates: Gates | None = None) -> list[str]:
    """What is wrong with a clip's masks.

    Args:
        labels: uint8 [T, H, W] with values of :class:`~mask2iv.contract.Label`.
        gates: the limits; None: the default ones.

    Returns:
        Short reasons that can be counted, in a fixed order: "no object", "object missing in the first frame", "object
        too small", "object too large", "object area jumps", "object missing in too many frames", "object lost", "whole
        image actor", "no actor", "actor too small". Empty if the clip is good.
    """
    gates = gates or Gates()
    object_, actor = labels == Label.OBJECT, is_actor(labels)
    areas, of_actor = (np.asarray(masks.mean(axis=(1, 2)), dtype=np.float64) for masks in (object_, actor))
    seen = areas > 0
    if not seen.any():
        return ["no object", *_of_actor(of_actor, gates)]
    reasons = {
        "object missing in the first frame": gates.first and not seen[0],
        "object too small": np.median(areas[seen]) < gates.smallest,
        "object too large": areas.max() > gates.largest,
        "object area jumps": _jumps(object_, actor, gates),
        "object missing in too many frames": 1 - seen.mean() > gates.empty,
        "object lost": np.argmax(seen[::-1]) > gates.lost * len(labels),
    }
    return [*(reason for reason, holds in reasons.items() if holds), *_of_actor(of_actor, gates)]


def _of_actor(areas: NDArray[np.float64], gates: Gates) -> list[str]:
    if areas.max() > gates.whole:
        return ["whole image actor"]
    if not gates.actor:
        return []
    if not areas.any():
        return ["no actor"]
    return ["actor too small"] if areas.max() < gates.actor_area else []


def _jumps(object_: BoolArray, actor: BoolArray, gates: Gates) -> bool:
    """Whether the object's area changes by more than the allowed factor between two frames that show it."""
    for k in range(1, len(object_)):
        before, after = (int(np.count_nonzero(mask)) for mask in (object_[k - 1], object_[k]))
        if not before or not after:
            continue
        touched = _touch(object_[k - 1], actor[k - 1]) or _touch(object_[k], actor[k])
        if max(before, after) > (gates.touched_jump if touched else gates.jump) * min(before, after):
            return True
    return False


def _touch(mask: BoolArray, other: BoolArray) -> bool:
    """Whether two masks are neighbours: a pixel of one beside one of the other."""
    return bool(
        (mask[1:] & other[:-1]).any()
        or (mask[:-1] & other[1:]).any()
        or (mask[:, 1:] & other[:, :-1]).any()
        or (mask[:, :-1] & other[:, 1:]).any()
    )
