"""Doors and drawers in the front of a box: their motion from masks, and the path of a finger or a grasp.

The box is what is below the level top that the first frame shows, without the thin edge of a door that stands open. Its
front is the side that faces the camera most. A door hangs on the left or the right edge of the front and turns about
the vertical; a drawer slides out of it. Of these, the one that overlays the masks best is taken, one value per frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Trajectory
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.contact import Contact
from mask2iv.execution.grasps import Gripper
from mask2iv.execution.joints.lids import plan_swing
from mask2iv.execution.joints.outlines import drawn, overlap, seen_and_hidden
from mask2iv.execution.lifting import surface
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.plan import MotionPlan, plan_of_motion, scene_points
from mask2iv.execution.poses import straight_down, turn_about

_CELL = 0.005
"""Spacing of points, metres."""
_TOP, _THIN = 0.016, 0.024
"""How much below the highest points the top reaches, and what is narrower is no part of the box, metres."""
_TURNS, _SLIDES = (0.6, 2.0), (0.06, 0.16)
"""How far a door, radians, and a drawer, metres, may be open."""
_STEPS, _NOISE = 25, 0.1
"""Positions from closed to open, and the share of the whole way that does not count as moving."""
_BEHIND, _BESIDE = 0.03, 0.004
"""Where the finger that opens a door starts: behind its face, and beyond its free edge, metres."""
_GAP, _KNOB = 0.03, 0.055
"""Where the finger that closes a door starts before it, or before a drawer, whose handle stands out; metres."""
_THICK = 0.012
"""Of a door, which hangs at its back, metres."""
_CLEAR = 0.012
"""How far the palm stays above the box, metres."""
_PRESS, _FINGER = 0.006, 0.011
"""How much farther than the touch the finger presses, and half its thickness, metres."""
_PLANE, _LIP = 0.012, 0.03
"""What is as near to the front belongs to a closed door, which stands out less than this beyond the box, metres."""
_STANDS_OUT = 0.015
"""How far before a drawer's front its handle stands, metres."""


@dataclass(frozen=True, eq=False)
class _Box:
    """The box of a piece of furniture.

    Attributes:
        front: [3], middle of the front.
        out, side: [3], level unit vectors out of the front, and along it.
        half: half the front's width; deep: the box's depth; tall: its height, metres.
    """

    front: Array
    out: Array
    side: Array
    half: float
    deep: float
    tall: float

    def grid(self, into: float) -> Array:
        """Points of the box from the front to a depth of `into` (negative: before it), [N, 3]."""
        steps = np.linspace(0, 1, max(round(abs(into) / _CELL), 2))
        u = np.linspace(-1, 1, max(round(2 * self.half / _CELL), 2))
        v = np.linspace(-0.5, 0.5, max(round(self.tall / _CELL), 2))
        face = self.front + u[:, None, None] * self.half * self.side + v[None, :, None] * np.array([0, 0, self.tall])
        points: Array = (face[None] - steps[:, None, None, None] * into * self.out).reshape(-1, 3)
        return points


@dataclass(frozen=True, eq=False)
class Leaf:
    """What moves: a door or a drawer.

    Attributes:
        slides: whether it is a drawer.
        largest: range of the values at which it may be open, radians or metres.
        transform: its motion [4, 4] from closed to a value.
        points: its points [N, 3] at a value.
        hinge, edge: [3], middle of a door's hinge and of its free edge, closed; the front's middle for a drawer.
    """

    slides: bool
    largest: tuple[float, float]
    transform: Callable[[float], Array]
    points: Callable[[float], Array]
    hinge: Array
    edge: Array


def plan_joint(trajectory: Trajectory, camera: PinholeCamera, depth: Array, opening: bool) -> MotionPlan | None:
    """The plan of a moving part that is opened or closed: of a lid, a door or a drawer, whichever overlays the masks
    best; arguments and errors as of :func:`~mask2iv.execution.joints.lids.plan_swing`."""
    plans = [plan_swing(trajectory, camera, depth, opening), plan_door(trajectory, camera, depth, opening)]
    return max((plan for plan in plans if plan is not None), key=lambda plan: plan.motion.overlap.mean(), default=None)


def plan_door(trajectory: Trajectory, camera: PinholeCamera, depth: Array, opening: bool) -> MotionPlan | None:
    """The plan of a door or a drawer that is opened or closed; None where none is seen to move. Arguments and errors
    as of :func:`~mask2iv.execution.joints.lids.plan_swing`."""
    masks, hidden = seen_and_hidden(trajectory)
    points = surface(camera, masks[0], depth)
    box = _box(points, camera)
    if box is None:
        return None
    still = drawn(camera, box.grid(box.deep), masks[0].shape)
    best, values, score, shown = None, np.zeros(len(masks)), _mean(still, masks, hidden) + 0.01, np.zeros(len(masks))
    for leaf in _leaves(box, points):
        found, overlaps = _fit(leaf, still, camera, masks, hidden, opening)
        if overlaps.mean() > score:
            best, values, score, shown = leaf, found, float(overlaps.mean()), overlaps
    if best is None:
        return None
    scene = scene_points(trajectory, camera, depth)
    return _plan(best, box, points, values, shown, opening, camera, scene)


def _mean(still: BoolArray, masks: BoolArray, hidden: BoolArray) -> float:
    return float(np.mean([overlap(still, mask, hid) for mask, hid in zip(masks, hidden, strict=True)]))


def _box(points: Array, camera: PinholeCamera) -> _Box | None:
    """The box below the level top; None where there is no such top."""
    level = float(np.quantile(points[:, 2], 0.98))
    top = points[points[:, 2] > level - _TOP, :2]
    low = top.min(axis=0) - 2 * _THIN
    cells = np.floor((top - low) / _CELL).astype(int)
    plan = np.zeros(cells.max(axis=0) + 12, dtype=np.uint8)
    plan[cells[:, 0], cells[:, 1]] = 1
    # Gaps between the samples are closed, then what is thin is taken away.
    plan = cv2.morphologyEx(plan, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    wide = round(_THIN / _CELL)
    plan = cv2.morphologyEx(plan, cv2.MORPH_OPEN, np.ones((wide, wide), np.uint8))
    left = np.argwhere(plan)
    if len(left) < 30:
        return None
    (x, y), (a, b), turn = cv2.minAreaRect((left * 1000 * _CELL).astype(np.float32))
    middle = np.array([x / 1000 + low[0], y / 1000 + low[1], 0.0]) + _CELL / 2
    along = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn)), 0])
    across = np.array([-along[1], along[0], 0])
    view = (camera.position - middle) * [1, 1, 0]
    ways = [(along, across, a / 2000, b / 2000), (across, along, b / 2000, a / 2000)]
    sides = [(sign * out, side, deep, width) for out, side, deep, width in ways for sign in (1.0, -1.0)]
    out, side, deep, width = max(sides, key=lambda one: float(one[0] @ view))
    front = middle + out * deep
    front[2] = level / 2
    # Seen from the front, the side points to the right.
    side = np.cross([0.0, 0.0, 1.0], out)
    return _Box(front, out, side, width, 2 * deep, level)


def _leaves(box: _Box, points: Array) -> list[Leaf]:
    """A door on the right edge, one on the left edge, and a drawer."""
    local = points - box.front
    along = local[np.abs(local @ box.out) < _PLANE] @ box.side

    def door(sign: float) -> Leaf:
        # A closed door may stand out beyond the box at its free edge.
        free = max(float(np.quantile(-sign * along, 0.99)) if len(along) else 0.0, box.half)
        free = free if free < box.half + _LIP else box.half
        hinge = box.front + sign * box.half * box.side - _THICK * box.out
        edge = box.front - sign * free * box.side
        closed = box.grid(0.0)

        def transform(angle: float) -> Array:
            return turn_about(hinge, np.array([0, 0, sign]), angle)

        def moved(angle: float) -> Array:
            pose = transform(angle)
            points: Array = closed @ pose[:3, :3].T + pose[:3, 3]
            return points

        return Leaf(False, _TURNS, transform, moved, hinge, edge)

    def slide(way: float) -> Array:
        result = np.eye(4)
        result[:3, 3] = box.out * way
        return result

    drawer = Leaf(True, _SLIDES, slide, lambda way: box.grid(-way), box.front, box.front)
    return [door(1.0), door(-1.0), drawer]


def _fit(
    leaf: Leaf, still: BoolArray, camera: PinholeCamera, masks: BoolArray, hidden: BoolArray, opening: bool
) -> tuple[Array, Array]:
    """The value of each frame, rising or falling, and how well it overlays the mask."""
    tried = np.linspace(0, leaf.largest[1], _STEPS)
    pictures = [still | drawn(camera, leaf.points(float(value)), still.shape) for value in tried]
    table = np.array([[overlap(one, m, h) for one in pictures] for m, h in zip(masks, hidden, strict=True)])
    if not opening:
        table = table[::-1]
    # From closed to open, by dynamic programming: of all rising sequences the one with the largest sum.
    table = table + 1e-4 * np.linspace(1, 0, _STEPS)
    best, came = table[0].copy(), []
    for row in table[1:]:
        came.append(np.maximum.accumulate(np.where(best == np.maximum.accumulate(best), np.arange(_STEPS), 0)))
        best = np.maximum.accumulate(best) + row
    places = [int(np.argmax(best))]
    for back in reversed(came):
        places.append(int(back[places[-1]]))
    order = np.array(places[::-1])
    values, shown = tried[order], table[np.arange(len(order)), order]
    return (values, shown) if opening else (values[::-1], shown[::-1])


def _plan(
    leaf: Leaf,
    box: _Box,
    points: Array,
    values: Array,
    shown: Array,
    opening: bool,
    camera: PinholeCamera,
    scene: Array,
) -> MotionPlan | None:
    """What a gripper does about a leaf whose values, one per frame, are known."""
    scope = float(np.ptp(values))
    if max(values) < leaf.largest[0] or not scope:
        return None
    # What moves less than that before it is handled is noise.
    values = np.where(np.abs(values - values[0]) < _NOISE * scope, values[0], values)
    touch = max(int(np.flatnonzero(values != values[0])[0]) - 1, 0)
    release = max(int(np.argmax(np.abs(values - values[0]) > 0.95 * scope)), touch + 1)
    first = np.linalg.inv(leaf.transform(float(values[0])))
    transforms = np.stack([leaf.transform(float(value)) @ first for value in values])
    motion = ObjectMotion(points, transforms, shown, np.ones(len(values)), "slide" if leaf.slides else "swing")
    contact = Contact(touch, release, False, False, leaf.edge, 1.0)
    if not opening:
        return _before(motion, contact, leaf, box, float(values[0]))
    return _handle(motion, contact, box, camera, scene) if leaf.slides else _behind(motion, contact, leaf, box)


def _handle(
    motion: ObjectMotion, contact: Contact, box: _Box, camera: PinholeCamera, scene: Array
) -> MotionPlan | None:
    """A grasp of what stands out of a drawer's front; None where nothing does."""
    out = (motion.points - box.front) @ box.out
    handle = motion.points[out > _STANDS_OUT]
    if len(handle) < 12:
        return None
    around = np.concatenate([scene, motion.points[out <= _STANDS_OUT]])
    held = replace(contact, point=handle.mean(axis=0))
    return plan_of_motion(replace(motion, points=handle), held, camera, around, "opening")


def _behind(motion: ObjectMotion, contact: Contact, leaf: Leaf, box: _Box) -> MotionPlan:
    """Closed jaws, straight down, behind the free edge of a door: they pull it open."""
    beyond = box.side * np.sign((leaf.edge - leaf.hinge) @ box.side)
    tool = _down(beyond, leaf.edge + beyond * _BESIDE - box.out * _BEHIND, box)
    return _swing(motion, contact, tool, tool.copy(), np.zeros(3))


def _before(motion: ObjectMotion, contact: Contact, leaf: Leaf, box: _Box, value: float) -> MotionPlan:
    """Closed jaws, straight down, before an open door's outer side, or a drawer's front: they push it to."""
    opened = leaf.transform(value)
    spot = leaf.hinge + 0.85 * (leaf.edge - leaf.hinge)
    meets = opened[:3, :3] @ spot + opened[:3, 3]
    advance = -opened[:3, :3] @ box.out
    tool = _down(np.cross([0.0, 0.0, 1.0], advance), meets - advance * (_FINGER - _PRESS), box)
    approach = tool.copy()
    approach[:3, 3] -= advance * (_PRESS + (_KNOB if leaf.slides else _GAP))
    return _swing(motion, contact, tool, approach, advance)


def _down(across: Array, place: Array, box: _Box) -> Array:
    """A tool that looks straight down, with its jaws across a level direction and its palm above the box."""
    tool = np.eye(4)
    tool[:3, 3] = place
    tool[2, 3] = max(place[2], box.tall - Gripper.length + _CLEAR)
    tool[:3, :3] = straight_down(across)
    return tool


def _swing(motion: ObjectMotion, contact: Contact, tool: Array, approach: Array, advance: Array) -> MotionPlan:
    frames = np.clip(np.arange(len(motion.transforms)), contact.touch, contact.release)
    path = motion.transforms[frames] @ tool
    return MotionPlan("swing", motion, contact, path, np.zeros(len(path)), 0.0, approach, motion.confidence, advance)
