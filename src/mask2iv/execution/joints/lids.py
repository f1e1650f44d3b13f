"""Lids that swing on a hinge: the motion from masks, and the path of a finger that opens or closes them.

In an opening clip the lid is the top of what the first frame shows, and each edge of it may be the hinge; in a closing
one it is what stands above the front of the object. Of the hinges, the one whose swung lid overlays the last mask best
is taken, and then one angle per frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Trajectory
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.contact import Contact
from mask2iv.execution.joints.outlines import drawn, overlap, seen_and_hidden
from mask2iv.execution.lifting import surface
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.plan import MotionPlan
from mask2iv.execution.poses import straight_down, turn_about

_CELL = 0.004
_LID = 0.016
"""Thickness of what counts as the top, metres."""
_FULL = 2.2
"""Largest angle of a lid, radians."""
_FINGER = (0.011, 0.006)
"""Half the thickness of the closed jaws, and how far they reach beyond the tool's origin, metres."""
_UNDER = (0.015, 0.02)
"""How far onward, and how far below its edge, an upright lid is pushed, metres."""
_GAP, _PRESS = 0.03, 0.006
"""Where the finger starts before the lid, and how much farther than the touch it presses, metres."""


@dataclass(frozen=True, eq=False)
class Hinge:
    """A lid in the first frame; it swings by a positive angle about the axis.

    Attributes:
        origin, axis: a point of the axis, and its direction, [3].
        edge: [3], middle of the edge that is opposite to it.
        lid: float64 [N, 3], points that cover it.
    """

    origin: Array
    axis: Array
    edge: Array
    lid: Array

    def transform(self, angle: float) -> Array:
        """The lid's motion [4, 4] by an angle in radians."""
        return turn_about(self.origin, self.axis, angle)


def plan_swing(trajectory: Trajectory, camera: PinholeCamera, depth: Array, opening: bool) -> MotionPlan | None:
    """The plan of a lid that is opened, or closed; None where no lid is seen to move.

    Args:
        trajectory: T frames, true or predicted.
        camera: of the same size.
        depth: float64 [H, W], of the first frame.
        opening: whether it is opened.

    Raises:
        InputError: see :func:`mask2iv.execution.lifting.surface`.
    """
    masks, hidden = seen_and_hidden(trajectory)
    mask = masks[0]
    points = surface(camera, mask, depth)
    hinges, rest = (_closed_hinges(points), points[:0]) if opening else _open_hinges(points, camera)
    # What a closed lid lies on has its outline, but for the lid's thickness.
    still = mask if opening else drawn(camera, rest, mask.shape) & mask
    best, angle, score = None, 0.0, overlap(still | mask, masks[-1], hidden[-1])
    for hinge in hinges:
        for tried in np.linspace(0.3, _FULL, 15):
            value = overlap(still | _lid(camera, hinge, tried, mask.shape), masks[-1], hidden[-1])
            if value > score + 0.01:
                best, angle, score = hinge, float(tried), value
    if best is None:
        return None
    angles, overlaps = [0.0], [1.0]
    for k in range(1, len(masks)):
        tried = np.clip(angles[-1] + np.arange(-2, 9) * 0.06, 0, _FULL)
        shown = [overlap(still | _lid(camera, best, a, mask.shape), masks[k], hidden[k]) for a in tried]
        angles.append(float(tried[int(np.argmax(np.array(shown) - 0.02 * np.abs(tried - angles[-1])))]))
        overlaps.append(max(shown))
    angles[-1] = max(angles[-1], angle) if abs(angles[-1] - angle) < 0.4 else angle
    found = np.maximum.accumulate(np.array(angles))
    transforms = np.stack([best.transform(a) for a in found])
    motion = ObjectMotion(best.lid, transforms, np.array(overlaps), np.ones(len(found)), "swing")
    moving = np.flatnonzero(found > 0.05)
    if not len(moving):
        return None
    touch = max(int(moving[0]) - 1, 0)
    release = int(np.argmax(found > found[-1] - 0.03))
    contact = Contact(touch, max(release, touch + 1), False, False, best.edge, 1.0)
    return _finger(motion, contact, best, found, opening)


def _closed_hinges(points: Array) -> list[Hinge]:
    """The four edges of a level top."""
    level = float(np.quantile(points[:, 2], 0.97))
    top = points[:, 2] > level - _LID
    (x, y), (a, b), turn = cv2.minAreaRect((points[top, :2] * 1000).astype(np.float32))
    along = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn)), 0])
    across = np.array([-along[1], along[0], 0])
    middle = np.array([x / 1000, y / 1000, level - 0.004])
    hinges = []
    for way, half, side, width in ((along, a / 2000, across, b / 2000), (across, b / 2000, along, a / 2000)):
        for sign in (-1.0, 1.0):
            origin, edge = middle + sign * way * half, middle - sign * way * half
            # The edge opposite to the hinge goes up.
            axis = np.cross(edge - origin, [0, 0, 1.0])
            hinges.append(Hinge(origin, axis / np.linalg.norm(axis), edge, _grid(origin, edge, side * width)))
    return hinges


def _open_hinges(points: Array, camera: PinholeCamera) -> tuple[list[Hinge], Array]:
    """The hinge below what stands above the front of the object, and the points that do not."""
    away = camera.pose[:3, 2] * [1, 1, 0]
    far = points @ away
    front = far < np.quantile(far, 0.4)
    level = float(np.quantile(points[front, 2], 0.95))
    up = points[:, 2] > level + 0.01
    lid, base = points[up], points[~up]
    if len(lid) < 20 or len(base) < 8:
        return [], points
    spread = np.linalg.svd(lid[:, :2] - lid[:, :2].mean(axis=0), full_matrices=False)[2]
    side = np.array([*spread[0], 0])
    low = lid[lid[:, 2] < np.quantile(lid[:, 2], 0.25)]
    origin = np.array([*low[:, :2].mean(axis=0), level])
    origin += side * float((lid.mean(axis=0) - origin) @ side)
    high = lid[lid[:, 2] > np.quantile(lid[:, 2], 0.9)].mean(axis=0)
    edge = origin + (high - origin) - side * float((high - origin) @ side)
    reach = float(np.quantile((lid - origin) @ (edge - origin) / np.linalg.norm(edge - origin), 0.99))
    edge = origin + (edge - origin) / np.linalg.norm(edge - origin) * reach
    half = float(np.ptp(np.quantile((lid - origin) @ side, [0.01, 0.99]))) / 2
    inwards = (base.mean(axis=0) - origin) * [1, 1, 0]
    axis = side if np.cross(side, edge - origin) @ inwards > 0 else -side
    return [Hinge(origin, axis, edge, _grid(origin, edge, side * half))], base


def _grid(origin: Array, edge: Array, half: Array) -> Array:
    """Points that cover the rectangle between a hinge and the edge opposite, [N, 3]."""
    length, width = float(np.linalg.norm(edge - origin)), 2 * float(np.linalg.norm(half))
    u = np.linspace(0, 1, max(round(length / _CELL), 2))
    v = np.linspace(-1, 1, max(round(width / _CELL), 2))
    return (origin + u[:, None, None] * (edge - origin) + v[None, :, None] * half).reshape(-1, 3)


def _lid(camera: PinholeCamera, hinge: Hinge, angle: float, size: tuple[int, ...]) -> BoolArray:
    moved = hinge.transform(angle)
    return drawn(camera, hinge.lid @ moved[:3, :3].T + moved[:3, 3], size)


def _finger(motion: ObjectMotion, contact: Contact, hinge: Hinge, angles: Array, opening: bool) -> MotionPlan:
    """Closed jaws, straight down, that press on the free edge towards the hinge, or on the lid's back."""
    if opening:
        # Pressed against its edge, a lid is dragged up by friction; it need not stand out from what is below it.
        advance = (hinge.origin - hinge.edge) * [1, 1, 0]
        meets = hinge.edge + np.array([0, 0, _FINGER[1] - 0.002])
    else:
        swing = np.cross(hinge.axis, hinge.edge - hinge.origin)
        advance = swing * [1, 1, 0]
        meets = hinge.origin + 0.85 * (hinge.edge - hinge.origin)
    advance = advance / max(float(np.linalg.norm(advance)), 1e-6)
    start = meets - advance * _FINGER[0]
    side = np.cross([0, 0, 1.0], advance)
    tool = np.eye(4)
    # Jaws across the way: their flat side meets the lid.
    tool[:3, :3] = straight_down(side)
    path = np.repeat(tool[None], len(angles), axis=0)
    frames = np.clip(np.arange(len(angles)), contact.touch, contact.release)
    pressed = start + advance * _PRESS
    for k, angle in enumerate(angles[frames]):
        moved = hinge.transform(float(angle))
        path[k, :3, 3] = moved[:3, :3] @ pressed + moved[:3, 3]
        if opening:
            # The steeper the lid, the more it can be pushed from below its edge.
            path[k, :3, 3] += np.sin(min(float(angle), np.pi / 2)) * (advance * _UNDER[0] - np.array([0, 0, _UNDER[1]]))
    approach = tool.copy()
    approach[:3, 3] = start - advance * _GAP
    sure = motion.confidence
    return MotionPlan("swing", motion, contact, path, np.zeros(len(angles)), 0.0, approach, sure, advance)
