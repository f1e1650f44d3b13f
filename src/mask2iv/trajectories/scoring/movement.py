"""What the object does in a trajectory: where it ends, whether it is touched while it moves, which way it goes.

Distances are shares of the image diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import centroid, centroids

MOVING_SHARE = 0.01
"""An object moves in a frame when its centroid is farther than this from its place in the previous frame."""
TOUCH_KERNEL = 7
"""Side of the dilation of the contact map, in pixels (paper, section 3.4)."""
WAY_SHARE = 0.02
"""Shortest displacement that counts as a movement in a direction."""
ELONGATED = 2.0
"""Smallest ratio of its principal axes at which an object's rotation shows in its mask."""
LEAST_TURN = 0.2
"""Smallest rotation that counts, in radians."""


def final_distance(trajectory: Trajectory, target: BoolArray, start: BoolArray) -> tuple[float, bool]:
    """How far from the target the object ends, and whether it has vanished by then.

    If the last frame lacks the object, the last place where it was seen counts; if it was never seen, the start.

    Args:
        trajectory: T frames.
        target: bool [H, W], where the object should end; not empty.
        start: bool [H, W], the object in the image; not empty.

    Returns:
        Distance between the centroids as a share of the diagonal, and whether the last frame lacks the object.

    Raises:
        InputError: an empty target or start.
    """
    goal, origin = centroid(target), centroid(start)
    if goal is None or origin is None:
        raise InputError("target" if goal is None else "start", "the mask is empty")
    found = centroids(trajectory, Label.OBJECT)
    seen = found[~np.isnan(found[:, 0])]
    last = seen[-1] if len(seen) else origin
    distance = math.dist(last, goal) / _diagonal(trajectory.size)
    return distance, bool(np.isnan(found[-1, 0]))


def moving_and_touching(trajectory: Trajectory) -> tuple[int, int]:
    """In how many frames the object moves, and in how many of those it touches an actor.

    A frame counts as moving when the object is seen in it and in the previous one, more than :data:`MOVING_SHARE` of
    the diagonal apart; as touching when the contact map of :data:`TOUCH_KERNEL` pixels is not empty.
    """
    steps = np.linalg.norm(np.diff(centroids(trajectory, Label.OBJECT), axis=0), axis=1)
    moving = steps > MOVING_SHARE * _diagonal(trajectory.size)  # false where a centroid is NaN
    contact = [touch(actor, thing) for actor, thing in zip(trajectory.actor[1:], trajectory.object[1:], strict=True)]
    return int(moving.sum()), int((moving & contact).sum())


def path_changes(trajectory: Trajectory, order: int) -> NDArray[np.float64]:
    """Lengths of the differences of an order of the object's centroid from frame to frame, as shares of the diagonal.

    Args:
        trajectory: T frames.
        order: 1 for steps, 2 for how they change.

    Returns:
        float64 [N], N at most T - order: without those that a frame without the object is part of.
    """
    changes = np.linalg.norm(np.diff(centroids(trajectory, Label.OBJECT), n=order, axis=0), axis=1)
    found: NDArray[np.float64] = changes[~np.isnan(changes)] / _diagonal(trajectory.size)
    return found


def touch(one: BoolArray, other: BoolArray) -> bool:
    """Whether the contact map of two masks bool [H, W] (:mod:`mask2iv.trajectories.morphology`) is not empty."""
    grown = cv2.dilate(one.astype(np.uint8), np.ones((TOUCH_KERNEL, TOUCH_KERNEL), dtype=np.uint8))
    return bool((grown.astype(np.bool_) & other).any())


def _diagonal(size: tuple[int, int]) -> float:
    return math.hypot(*size)


_OF_DIRECTION = {
    "left": "left",
    "right": "right",
    "forward": "up",
    "backward": "down",
    "clockwise": "clockwise",
    "counterclockwise": "counterclockwise",
}
_OF_VERB = {"picking up": "up", "putting down": "down"}
_OPENS = {"drawer": "down", "laptop": "up", "lidded box": "up"}
_OPPOSITE = {"up": "down", "down": "up"}
CHANCE = {"left": 0.25, "right": 0.25, "up": 0.25, "down": 0.25, "clockwise": 0.5, "counterclockwise": 0.5}
"""How often an object that moves one of four ways, or turns one of two, at random is right. One at rest never is."""


@dataclass(frozen=True)
class Way:
    """How the object moves in the picture according to the caption.

    Attributes:
        group: it is reported under: "left", "right", "forward", "backward", or the verb.
        movement: a key of :data:`CHANCE`.
    """

    group: str
    movement: str


def way_of(verb: str, object_name: str, direction: str, start: BoolArray) -> Way | None:
    """The movement that an action describes, or None where masks do not show it.

    Away from the camera ("forward") is up in the picture. Masks show the rotation of objects that are elongated in the
    first frame (:data:`ELONGATED`), and the opening and closing of known objects only.

    Args:
        verb, object_name: as in captions: "pushing", "drawer".
        direction: "left", "right", "forward", "backward", "clockwise", "counterclockwise", or another text for none.
        start: the object in the first frame, bool [H, W].
    """
    if direction in ("clockwise", "counterclockwise"):
        axes = _principal_axis(start)
        return Way(verb, direction) if axes is not None and axes[1] >= ELONGATED else None
    if direction in _OF_DIRECTION:
        return Way(direction, _OF_DIRECTION[direction])
    if verb in _OF_VERB:
        return Way(verb, _OF_VERB[verb])
    if verb in ("opening", "closing") and object_name in _OPENS:
        opens = _OPENS[object_name]
        return Way(verb, opens if verb == "opening" else _OPPOSITE[opens])
    return None


def way_said(prompt: str, start: BoolArray) -> Way | None:
    """The movement that a prompt in the captions' words describes, as :func:`way_of`; None where it says none."""
    words = prompt.lower().strip(" .!").split()
    text = " ".join(words)
    direction = words[-1] if words and words[-1] in _OF_DIRECTION else ""
    if direction in ("left", "right") and words[-3:-1] != ["to", "the"]:
        direction = ""
    verb = next((verb for verb in (*_OF_VERB, "opening", "closing") if f" {verb} " in text), "")
    name = next((name for name in _OPENS if text.endswith(f" {name}")), "")
    return way_of(verb, name, direction, start)


def goes(trajectory: Trajectory, movement: str) -> bool:
    """Whether the object makes a movement, from the first to the last frame that shows it.

    Left, right, up, down: its centroid goes that way by :data:`WAY_SHARE` of the diagonal or more, and less far along
    the other axis. Clockwise, counterclockwise: the principal axis of its mask, tracked from frame to frame, turns by
    :data:`LEAST_TURN` or more.

    Args:
        trajectory: T frames.
        movement: a key of :data:`CHANCE`.
    """
    if movement in ("clockwise", "counterclockwise"):
        turn = _turn(trajectory)
        return (turn if movement == "counterclockwise" else -turn) >= LEAST_TURN
    found = centroids(trajectory, Label.OBJECT)
    seen = found[~np.isnan(found[:, 0])]
    if len(seen) < 2:
        return False
    down, right = (seen[-1] - seen[0]) / _diagonal(trajectory.size)
    along, across = (right, down) if movement in ("left", "right") else (down, right)
    forth = along if movement in ("right", "down") else -along
    return bool(forth >= WAY_SHARE and forth > abs(across))


def _principal_axis(mask: BoolArray) -> tuple[float, float] | None:
    """Angle of a mask's longer axis, counterclockwise from the right in [-pi/2, pi/2], and the ratio of both axes.

    None for masks of fewer than three pixels.
    """
    y, x = np.nonzero(mask)
    if len(y) < 3:
        return None
    spread, axes = np.linalg.eigh(np.cov(np.stack([x, -y])))
    angle = math.atan2(axes[1, 1], axes[0, 1])
    ratio = math.sqrt(max(spread[1], 0.0) / spread[0]) if spread[0] > 0 else math.inf
    return (angle + math.pi / 2) % math.pi - math.pi / 2, ratio


def _turn(trajectory: Trajectory) -> float:
    """How far the object's longer axis turns over all frames, in radians, counterclockwise."""
    found = [_principal_axis(mask) for mask in trajectory.object]
    angles = np.array([axes[0] for axes in found if axes is not None])
    # An axis has no direction: of two readings half a turn apart, take the nearer.
    return float(((np.diff(angles) + math.pi / 2) % math.pi - math.pi / 2).sum())
