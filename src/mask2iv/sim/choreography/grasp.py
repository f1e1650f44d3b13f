"""Grasp planning: the direction of approach, the pose at first contact, and the closure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mask2iv.sim.choreography.actors import Actor, Hand, Robot
from mask2iv.sim.choreography.tasks import Task
from mask2iv.sim.world.compiled import CompiledScene, GeomIds
from mask2iv.sim.world.geometry import UP, Array, Pose, frame, unit, vec, yaw

Rng = np.random.Generator
CONTACT_DISTANCE = 0.008
"""Actor and object are in contact when their shapes are closer than this, metres."""
DEEPEST = -0.012
"""Deepest plausible penetration of actor and object or table, metres."""
_CLEARANCE = 0.001


class Implausible(Exception):
    """A draw is rejected; the message is the reason, by which rejections are counted."""


@dataclass(frozen=True, eq=False)
class Grasp:
    """A tool pose at first contact and how it is reached.

    Attributes:
        tool: tool pose at first contact, world.
        opened, closed: closure before first contact, and from then on.
        back: offset from `tool` to the control point of the approach, world metres.
    """

    tool: Pose
    opened: Array
    closed: Array
    back: Array


class Scene:
    """One actor, its target and the stage, with the numbers of their moving parts; two hands have one scene each.

    Args:
        group: name of the actor's parts on the stage, without their number.
    """

    def __init__(
        self,
        stage: CompiledScene,
        actor: Actor,
        task: Task,
        actor_parts: list[int],
        target_parts: list[int],
        group: str = "actor",
    ) -> None:
        self.stage, self.actor, self.task, self.group = stage, actor, task, group
        self._actor_parts, self._target_parts = actor_parts, target_parts
        self.touching: GeomIds = stage.ids(*(f"{group}{i}" for i in actor.touching))
        self.fingers = [stage.ids(*(f"{group}{i}" for i in finger)) for finger in actor.fingers]
        self.whole = stage.ids(*(f"{group}{i}" for i in range(len(actor.parts))))
        self.target = stage.ids("base", "mover")
        self.mover = stage.ids("mover")
        self.table = stage.ids("table")

    def set_target(self, base: Pose, joint: float) -> None:
        """Pose the target by its base and joint value; positions are updated by :meth:`set_tool`."""
        self.stage.place(self._target_parts[0], base)
        if self.task.target.joint is not None:
            self.stage.place(self._target_parts[1], base @ self.task.target.joint.pose(joint))

    def set_tool(self, tool: Pose, closure: Array) -> None:
        """Pose the actor, with closures [fingers], and update all positions.

        Raises:
            Unreachable: the arm is too short.
        """
        for part, pose in zip(self._actor_parts, self.actor.poses(tool, closure), strict=True):
            self.stage.place(part, pose)
        self.stage.update()

    def part_pose(self, base: Pose, joint: float) -> Pose:
        """Pose of the handled part: the moving part of a jointed object, unless it is handled as a whole."""
        moved = self.task.joint
        return base if moved is None else base @ moved.pose(joint)

    def advance(self, tool: Pose, closure: Array, direction: Array, reach: float) -> Pose:
        """Move the tool along a unit vector [3] until it touches target or table, at most `reach` metres."""
        obstacles = np.concatenate([self.target, self.table])
        gone = 0.0
        for _ in range(40):
            self.set_tool(tool.shifted(direction * gone), closure)
            gap, _ = self.stage.distance(self.touching, obstacles, 0.1)
            # A step no longer than the gap cannot penetrate anything.
            if gap < 2 * _CLEARANCE or gone >= reach:
                break
            gone = min(gone + max(gap - _CLEARANCE, 0.001), reach)
        return tool.shifted(direction * gone)

    def close(self, tool: Pose, closure: Array) -> Array:
        """Close every finger until it touches the target or the table; returns the closures [fingers]."""
        closure = closure.copy()
        speed = 0.2 if self.actor.name == "hand" else 1.0
        obstacles = np.concatenate([self.target, self.table])
        way = np.sign(self.actor.closed - closure)
        for i, finger in enumerate(self.fingers):
            for _ in range(25):
                self.set_tool(tool, closure)
                gap, _ = self.stage.distance(finger, obstacles, 0.1)
                left = abs(self.actor.closed[i] - closure[i])
                if gap < _CLEARANCE or left < 1e-4:
                    break
                closure[i] += way[i] * min(left, float(np.clip(gap / speed, 0.0015 / speed, 0.25)))
        return closure

    def nudge(self, tool: Pose, closure: Array, against: GeomIds) -> Pose:
        """Shift the tool, with closures [fingers], by the smallest distance that makes it just touch."""
        for _ in range(4):
            self.set_tool(tool, closure)
            gap, segment = self.stage.distance(self.touching, against, 0.12)
            if abs(gap - _CLEARANCE) < 0.001 or gap >= 0.12:
                break
            toward = unit(segment[1] - segment[0]) * np.sign(gap if gap != 0 else 1)
            tool = tool.shifted(toward * (gap - _CLEARANCE))
        return tool

    def touches(self) -> bool:
        """Whether actor and target are in contact, as they are posed now."""
        gap, _ = self.stage.distance(self.touching, self.target, CONTACT_DISTANCE)
        return gap < CONTACT_DISTANCE


def plan_grasp(scene: Scene, rng: Rng) -> Grasp:
    """Solve for the first contact of a task, with the target resting on the table.

    Raises:
        Implausible: the tool does not reach the object, or only through the table.
        Unreachable: the arm is too short.
    """
    task = scene.task
    base, joint = task.path(1.0 if task.held else 0.0)
    scene.set_target(base, joint)
    part = scene.part_pose(base, joint)
    if task.mode == "pivot":
        grasp = _pivot(scene, rng, part, base)
    elif task.mode == "push":
        grasp = _push(scene, rng, part)
    else:
        grasp = _hold(scene, rng, part)
    scene.set_tool(grasp.tool, grasp.closed)
    if not scene.touches():
        raise Implausible("no contact")
    # Every frame of the motion is checked too, but here it is cheaper.
    if scene.stage.distance(scene.whole, scene.table, 0.0)[0] < DEEPEST:
        raise Implausible("actor inside table")
    return grasp


def _hold(scene: Scene, rng: Rng, part: Pose) -> Grasp:
    task, actor = scene.task, scene.actor
    grip = task.grip
    assert grip is not None
    point = part.at(grip.point)
    axis = None if grip.axis is None else part.r @ grip.axis
    if isinstance(actor, Hand):
        if grip.style == "palm":
            assert axis is not None
            tool, direction, back = _palm_hold(actor, task, rng, point, -axis)
        else:
            tool, direction, back = _hand_hold(actor, task, rng, point, grip.half_width)
        opened, reach = actor.opened.copy(), 0.08
    else:
        assert isinstance(actor, Robot)
        tool, direction, back = _robot_hold(actor, task, rng, point, axis)
        opened = np.array([min(grip.half_width + rng.uniform(0.01, 0.016), 0.055)])
        reach = 0.09
    tool = scene.advance(tool, opened, direction, reach)
    return Grasp(tool, opened, scene.close(tool, opened), back)


def _hand_hold(hand: Hand, task: Task, rng: Rng, point: Array, half: float) -> tuple[Pose, Array, Array]:
    """(tool pose before the final approach, its direction, offset of the approach's control point)."""
    assert task.grip is not None
    across = 1.0 if hand.side == "right" else -1.0
    if task.grip.style == "side":
        palm = yaw(across * np.pi / 2) @ task.heading
        tilt = rng.uniform(0.05, 0.3)
        fingers = task.heading * np.cos(tilt) - UP * np.sin(tilt)
        r = frame(fingers, -palm)
        point = point * vec(1, 1, 0) + UP * max(float(point[2]), 0.058)
        origin = point - r @ (vec(0.036, 0, -(half + 0.02)) * vec(hand.scale, 1, 1))
        return Pose(origin - palm * 0.05, r), palm, -palm * 0.05 - task.heading * 0.08
    tilt = rng.uniform(0.9, 1.15)
    fingers = task.heading * np.cos(tilt) - UP * np.sin(tilt)
    r = frame(fingers, task.heading * np.sin(tilt) + UP * np.cos(tilt))
    origin = point - r @ (vec(0.1, 0.004 * across, -0.052) * hand.scale)
    return Pose(origin + UP * 0.07, r), -UP, UP * 0.08


def _palm_hold(hand: Hand, task: Task, rng: Rng, point: Array, palm: Array) -> tuple[Pose, Array, Array]:
    """As :func:`_hand_hold`, for an upright hand whose palm faces along `palm`, fingers away from the elbow."""
    along = unit(task.heading - palm * float(task.heading @ palm))
    tilt = rng.uniform(0.1, 0.35)
    r = frame(along * np.cos(tilt) - UP * np.sin(tilt), -palm)
    point = point * vec(1, 1, 0) + UP * max(float(point[2]), 0.06)
    origin = point - r @ (vec(0.05, 0, -0.02) * hand.scale)
    return Pose(origin - palm * 0.06, r), palm, -palm * 0.07 - along * 0.04


def _robot_hold(robot: Robot, task: Task, rng: Rng, point: Array, axis: Array | None) -> tuple[Pose, Array, Array]:
    assert task.grip is not None
    level = unit((point - robot.base) * vec(1, 1, 0))
    if axis is not None:
        across = np.cross(UP, axis)
        level = across * (1.0 if across @ level > 0 else -1.0)
    drop = rng.uniform(0.35, 0.8) if task.grip.style == "side" else rng.uniform(1.25, np.pi / 2)
    approach = level * np.cos(drop) - UP * np.sin(drop)
    jaws = np.cross(UP, level) if axis is None else axis
    r = frame(jaws, approach)
    return Pose(point - approach * 0.09, r), approach, -approach * 0.1


def _push(scene: Scene, rng: Rng, part: Pose) -> Grasp:
    task, actor, d = scene.task, scene.actor, scene.task.push
    model = task.target
    middle = part.p if task.joint is None else part.at(task.joint.handle)
    extent = model.radius if task.joint is None else 0.0
    if task.grip is not None and task.grip.style == "palm":
        # One of two hands; each pushes its own half.
        middle = part.at(task.grip.point * vec(0.72, 0, 0))
    if isinstance(actor, Robot):
        drop = rng.uniform(1.2, np.pi / 2)
        level = unit((middle - actor.base) * vec(1, 1, 0))
        approach = level * np.cos(drop) - UP * np.sin(drop)
        jaws = d if rng.random() < 0.5 else np.cross(UP, d)
        closure = np.array([0.001])
        tip = middle * vec(1, 1, 0) + UP * min(0.035, max(0.012, model.height * 0.5))
        tool = Pose(tip - d * (extent + 0.07), frame(jaws, approach))
        return Grasp(scene.advance(tool, closure, d, extent + 0.1), closure, closure, UP * 0.09 - d * 0.03)
    assert isinstance(actor, Hand)
    closure = np.array([0.35, 0.16, 0.14, 0.15, 0.18])
    if abs(d @ task.heading) < 0.65:
        along = unit(task.heading - d * float(d @ task.heading))
        tilt = rng.uniform(0.1, 0.3)
        r = frame(along * np.cos(tilt) - UP * np.sin(tilt), -d)
        height = max(0.062, min(0.085, model.height * 0.5))
        origin = middle * vec(1, 1, 0) + UP * height - d * (extent + 0.09) - along * 0.045
    else:
        tilt = rng.uniform(0.35, 0.6)
        r = frame(d * np.cos(tilt) - UP * np.sin(tilt), d * np.sin(tilt) + UP * np.cos(tilt))
        height = min(0.07 if task.grip is not None else 0.05, max(0.016, model.height * 0.5))
        tip = middle * vec(1, 1, 0) + UP * height - d * (extent + 0.09)
        origin = tip - r @ (actor.tip + vec(0.02, 0, 0))
    tool = scene.advance(Pose(origin, r), closure, d, extent + 0.16)
    return Grasp(tool, closure, closure, -d * 0.07 + UP * 0.03)


def _pivot(scene: Scene, rng: Rng, part: Pose, base: Pose) -> Grasp:
    """A fingertip behind the edge of a closed lid or door, or in front of the edge of an open one."""
    task, actor, joint = scene.task, scene.actor, scene.task.joint
    assert joint is not None
    opening = task.verb == "opening"
    offset = joint.along * rng.uniform(-1.0, 1.0) + (joint.pull if opening else joint.press)
    point = part.at(joint.handle + offset)
    tip = actor.tip
    if isinstance(actor, Hand):
        h = task.heading
        tilt = rng.uniform(0.15, 0.35) if opening or joint.door else rng.uniform(0.3, 0.5)
        fingers = h * np.cos(tilt) - UP * np.sin(tilt)
        if joint.door:
            # Upright, with the palm towards the edge: it sweeps the door open to the left and shut to the right.
            palm = base.r[:, 0] * (-1.0 if opening else 1.0)
            r, closure = frame(unit(fingers - palm * float(fingers @ palm)), -palm), np.array([0.2, 0.3, 0.3, 0.3, 0.3])
            tip = vec(0.11, 0.0, -0.04) * actor.scale
        else:
            r = frame(fingers, h * np.sin(tilt) + UP * np.cos(tilt))
            closure = np.array([0.3, 0.15, 0.12, 0.14, 0.2]) if opening else np.array([0.2, 0.35, 0.33, 0.35, 0.4])
            tip = vec(0.128, 0, -0.05 if opening else -0.07) * actor.scale
    else:
        assert isinstance(actor, Robot)
        drop = rng.uniform(0.9, 1.3)
        level = unit((point - actor.base) * vec(1, 1, 0))
        r = frame(np.cross(UP, level), level * np.cos(drop) - UP * np.sin(drop))
        if joint.door:
            # From above, flat against the front: the wrist must clear the body.
            r = frame(base.r[:, 0], -UP)
        closure = np.array([0.001])
    tool = scene.nudge(Pose(point - r @ tip, r), closure, scene.mover)
    front = -base.r[:, 1]
    if joint.door:
        back = front * 0.05 + base.r[:, 0] * (0.08 if opening else -0.08)
    else:
        back = front * 0.07 + UP * 0.015 if opening else UP * 0.09
    return Grasp(tool, closure, closure, back)
