"""Animation frame by frame (approach, contact, handling, release) and checks that it is plausible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mask2iv.contract import BoolArray
from mask2iv.sim.choreography.actors import Hand
from mask2iv.sim.choreography.grasp import DEEPEST, Grasp, Implausible, Scene
from mask2iv.sim.choreography.tasks import Task
from mask2iv.sim.world.geometry import UP, Array, Pose, blend, min_jerk, rotation, unit, vec

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Frame:
    """The state of one frame: tool pose and closure of the actor, base pose and joint value of the target."""

    tool: Pose
    closure: Array
    base: Pose
    joint: float

    def towards(self, other: Frame, s: float) -> Frame:
        """The state interpolated to another frame, at s in [0, 1]."""
        tool, base = blend(self.tool, other.tool, s), blend(self.base, other.base, s)
        joint = self.joint + (other.joint - self.joint) * s
        return Frame(tool, self.closure + (other.closure - self.closure) * s, base, joint)

    def show(self, scene: Scene) -> None:
        """Pose everything for this frame."""
        scene.set_target(self.base, self.joint)
        scene.set_tool(self.tool, self.closure)


def draw_timing(task: Task, count: int, rng: Rng) -> tuple[int, int]:
    """First and last frame of handling, among `count`."""
    touch = 0 if task.held else round((count - 1) * rng.uniform(0.26, 0.33))
    leave = count - 1
    if task.release:
        leave -= max(2, round((count - 1) * 0.2))
    return touch, leave


def animate(scene: Scene, grasp: Grasp, timing: tuple[int, int], count: int, rng: Rng) -> list[Frame]:
    """All frames of a task; `timing` from :func:`draw_timing`, shared by two hands.

    Raises:
        Unreachable: the arm is too short somewhere.
    """
    touch, leave = timing
    handled = [_handle(scene, grasp, (k - touch) / (leave - touch)) for k in range(touch, leave + 1)]
    start = _start(scene, handled[0].tool, rng)
    frames = []
    for k in range(touch):
        s = min_jerk((k + 0.35) / (touch + 0.35)) if k else 0.0
        tool = blend(start, handled[0].tool, s, handled[0].tool.p + grasp.back)
        shut = min_jerk((k - touch + 2) / 2)
        closure = grasp.opened + (grasp.closed - grasp.opened) * shut
        frames.append(Frame(tool, closure, handled[0].base, handled[0].joint))
    frames += handled
    last = handled[-1]
    away = _retreat(scene, grasp, last)
    for k in range(leave + 1, count):
        s = (k - leave) / (count - 1 - leave)
        opened = grasp.closed + (grasp.opened - grasp.closed) * min_jerk(2 * s)
        tool = last.tool.shifted(away * min_jerk(max(s - 0.25, 0.0)))
        frames.append(Frame(tool, opened, last.base, last.joint))
    return frames


def _handle(scene: Scene, grasp: Grasp, s: float) -> Frame:
    """The frame at progress s of handling."""
    task = scene.task
    rest_base, rest_joint = task.path(1.0 if task.held else 0.0)
    base, joint = task.path(s)
    before, now = scene.part_pose(rest_base, rest_joint), scene.part_pose(base, joint)
    if task.mode != "pivot":
        return Frame(now @ before.inverse() @ grasp.tool, grasp.closed, base, joint)
    # The fingertip follows its point on the lid while the hand keeps its orientation.
    assert task.joint is not None
    handle = task.joint.handle
    tool = Pose(now.at(handle) + grasp.tool.p - before.at(handle), grasp.tool.r)
    scene.set_target(base, joint)
    return Frame(scene.nudge(tool, grasp.closed, scene.mover), grasp.closed, base, joint)


def _start(scene: Scene, first: Pose, rng: Rng) -> Pose:
    """The tool pose in frame 0, inside or outside the picture."""
    actor = scene.actor
    turn = rotation(unit(rng.normal(size=3)), rng.uniform(0.0, 0.35))
    inside = rng.random() < 0.42
    if isinstance(actor, Hand):
        toward = unit(actor.elbow - first.p)
        way = toward * (rng.uniform(0.1, 0.2) if inside else 0.62) + UP * rng.uniform(0.02, 0.08)
        return Pose(first.p + way, turn @ first.r)
    home = actor.base + UP * 0.25 - first.p  # type: ignore[attr-defined]
    share = rng.uniform(0.15, 0.35) if inside else rng.uniform(0.62, 0.72)
    return Pose(first.p + home * share + UP * rng.uniform(0.03, 0.1), turn @ first.r)


def _retreat(scene: Scene, grasp: Grasp, last: Frame) -> Array:
    """Offset of the tool after release."""
    task = scene.task
    if task.mode == "push":
        return -unit(task.push) * 0.08 + UP * 0.03
    if task.mode == "pivot":
        return UP * 0.06 + unit(grasp.back) * 0.06 * vec(1, 1, 0)
    return unit(grasp.back) * 0.09 + UP * 0.02


def check(scene: Scene, frames: list[Frame]) -> BoolArray:
    """Contact per frame, bool [T].

    Raises:
        Implausible: the object moves without contact, or shapes penetrate each other.
        Unreachable: the arm is too short somewhere.
    """
    stage = scene.stage
    fixed = stage.ids("clutter", "receptacle")
    contact = np.zeros(len(frames), dtype=np.bool_)
    for k, frame in enumerate(frames):
        frame.show(scene)
        contact[k] = scene.touches()
        depth, _ = stage.distance(scene.touching, scene.target, 0.0)
        if depth < DEEPEST:
            raise Implausible("actor inside object")
        if stage.distance(scene.whole, scene.table, 0.0)[0] < DEEPEST:
            raise Implausible("actor inside table")
        if stage.distance(scene.whole, fixed, 0.0)[0] < -0.006:
            raise Implausible("collision")
        if stage.distance(scene.target, stage.ids("clutter"), 0.0)[0] < -0.004:
            raise Implausible("collision")
    for k in range(1, len(frames)):
        a, b = (
            scene.part_pose(frames[k - 1].base, frames[k - 1].joint),
            scene.part_pose(frames[k].base, frames[k].joint),
        )
        still = np.allclose(a.p, b.p, atol=1e-5) and np.allclose(a.r, b.r, atol=1e-4)
        if not still and not (contact[k] and contact[k - 1]):
            raise Implausible("moves untouched")
    return contact


def check_apart(scenes: list[Scene], played: list[list[Frame]]) -> None:
    """Check that two hands do not penetrate each other.

    Raises:
        Implausible: they do.
    """
    if len(scenes) < 2:
        return
    for states in zip(*played, strict=True):
        for scene, state in zip(scenes, states, strict=True):
            state.show(scene)
        if scenes[0].stage.distance(scenes[0].whole, scenes[1].whole, 0.0)[0] < -0.004:
            raise Implausible("hands collide")
