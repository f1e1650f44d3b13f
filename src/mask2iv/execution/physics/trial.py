"""One attempt: a plan is carried out in a scene with dynamics, and what becomes of the object is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.grasps import Gripper
from mask2iv.execution.physics.arm import HALF_TURN, Arm
from mask2iv.execution.physics.recording import Phase, Recorder, Recording
from mask2iv.execution.physics.stage import TIMESTEP, DynamicBuilder
from mask2iv.execution.plan import MotionPlan
from mask2iv.sim.choreography.actors import Robot
from mask2iv.sim.choreography.motion import Frame
from mask2iv.sim.config import SimConfig
from mask2iv.sim.generate import replay
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.geometry import Array, Pose, slerp
from mask2iv.sim.world.render import Renderer

mujoco = require_mujoco()
SLOWER = 2.0
"""A second of the trajectory takes this many in physics: the simulated motions are faster than an arm's."""
CONTROL = 0.04
"""Seconds between two tool poses."""
COMING, NEARING, LEAVING = 0.25, 0.12, 0.15
"""Speeds of the tool: on its way to the object, where it is about to meet it, and away from it; m/s."""
OVER = 0.12
"""Height at which the tool crosses the table, metres."""
ROOM = 0.024
"""By how much the jaws are wider than what they are about to take, metres."""
SQUEEZE = 0.05
"""How far the jaws are told to close beyond the object, metres: by the actuators' stiffness, the force of the grip."""


_FEEL, _FEEL_STEP, _PRESSED = 0.06, 0.002, 0.006
"""How far the tool feels for an object, in which steps, and how much farther than the touch it presses, metres."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of the target.

    Attributes:
        poses: float64 [N, 4, 4], of the target's base, every `CONTROL` seconds.
        joints: float64 [N], of its moving part; 0 without one.
        touching: bool [N], whether the gripper touches it.
        missed: largest distance of a tool pose that was asked for from the one that the arm can take, metres.
        video: uint8 [K, H, W, 3] where pictures were asked for.
    """

    poses: Array
    joints: Array
    touching: NDArray[np.bool_]
    missed: float
    video: UInt8Array | None = None


class Trial:
    """A scene of the simulator with dynamics, at its start.

    Args:
        config, seed, index, draw: of the clip, see its metadata.

    Raises:
        InputError: the draw is not plausible here, a hand acts in it, or mink is not installed.
    """

    def __init__(self, config: SimConfig, seed: int, index: int, draw: int) -> None:
        builder = DynamicBuilder()
        self.performance, self.set_up = replay(config, seed, index, draw, builder)
        self.frames: list[Frame] = self.performance.played[0]
        task = self.set_up.task
        actor = self.set_up.actors[0]
        if not isinstance(actor, Robot):
            raise InputError("actor", "a hand acts in this scene: only a robot's scenes can be executed")
        self.robot = actor
        if task.receptacle is not None:
            builder.add_static("receptacle", task.receptacle[0].base, task.receptacle[1])
        builder.add_target(task.target, self.frames[0].base, self.frames[0].joint)
        builder.add_arm(self.robot)
        self.stage = builder.compile()
        model, self.data = self.stage.model, self.stage.data
        self.model = model
        if task.target.joint is not None:
            self.data.qpos[int(model.joint("mover").qposadr[0])] = self.frames[0].joint
        self.arm = Arm(self.stage, self.robot)
        first = self.frames[0]
        self.arm.start(matrix(first.tool), 2 * float(first.closure[0]), self.frames[-1].base.p)
        self._target = model.body("target").id
        moved = [i for i in range(model.nbody) if model.body(i).name in ("target", "mover")]
        fingers = [i for i in range(model.nbody) if model.body(i).name in ("tool", "jaw-right", "jaw-left")]
        self._thing, self._fingers = set(moved), set(fingers)
        self._poses: list[Array] = []
        self._joints: list[float] = []
        self._touching: list[bool] = []
        self._pictures: list[UInt8Array] = []
        self._renderer: Renderer | None = None
        self._steps = 0
        self._recorder = Recorder(model, self.data, self.arm)

    def run(self, plan: MotionPlan, renderer: Renderer | None = None, fps: float = 8.0) -> Outcome:
        """Carry a plan out; with a renderer, film it.

        Args:
            plan: for this scene.
            renderer: of the configuration's size.
            fps: frame rate of the plan.
        """
        if plan.contact is None:
            return self.rest(renderer)
        self._begin(renderer)
        self._carry_out(plan, fps)
        return self.outcome()

    def rest(self, renderer: Renderer | None = None) -> Outcome:
        """Do nothing for a second, but hold what is held."""
        self.begin(renderer)
        self._wait(1.0)
        return self.outcome()

    def begin(self, renderer: Renderer | None = None) -> None:
        """Make ready for actions from outside, see :meth:`act`: hold what is held."""
        self._begin(renderer)
        if self.set_up.task.held:
            self._go([self.arm.tool], self.arm.opening - SQUEEZE, 0.4)

    def act(self, action: Array, seconds: float) -> None:
        """Carry out an action of a policy.

        Args:
            action: [7], joints in radians and the distance between the jaws in metres to go to, see
                :attr:`~mask2iv.execution.physics.recording.Recording.command`.
            seconds: for it; the commands move evenly.
        """
        self.arm.act(np.asarray(action, dtype=np.float64), seconds, self._each)

    def grip(self, width: float) -> float:
        """What the jaws are told, to hold what is `width` wide with force; metres."""
        return max(min(width, self.arm.opening) - SQUEEZE, -SQUEEZE)

    @property
    def recording(self) -> Recording:
        """What the arm did so far."""
        return self._recorder.recording()

    def pictures(self, qpos: Array, renderer: Renderer) -> UInt8Array:
        """The scene in recorded states, from its camera: uint8 [K, H, W, 3]. The scene is left as it is.

        Args:
            qpos: [K, Q], of a recording.
            renderer: of the configuration's size.
        """
        return self._shown(qpos, renderer, renderer.picture)

    def arm_masks(self, qpos: Array, renderer: Renderer) -> BoolArray:
        """Where the arm is seen in recorded states: bool [K, H, W]; arguments as of :meth:`pictures`."""
        arm = [i for part in range(len(self.robot.parts)) for i in self.stage.all_ids(f"actor{part}")]
        return np.isin(self._shown(qpos, renderer, renderer.ids), arm)

    def _shown(self, qpos: Array, renderer: Renderer, what: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        renderer.load(self.model)
        shown = mujoco.MjData(self.model)
        found = []
        for one in qpos:
            shown.qpos[:] = one
            mujoco.mj_forward(self.model, shown)
            found.append(what(shown))
        return np.stack(found)

    def replay(self, renderer: Renderer | None = None, fps: float = 8.0) -> Outcome:
        """Carry out the animation's own gripper poses: what control and contact alone lose."""
        self._begin(renderer)
        task, frames = self.set_up.task, self.frames
        tools = np.stack([matrix(frame.tool) for frame in frames])
        if not np.allclose(self.arm.tool[:3, :3], tools[0, :3, :3], atol=0.3):
            tools = tools @ HALF_TURN
        shut = min(float(frame.closure[0]) for frame in frames)
        touch = int(np.argmax(self.performance.touch[0]))
        parts = SLOWER / fps / CONTROL
        for k in range(1, len(frames)):
            path = _refined(tools[k - 1 : k + 1], parts)[1:]
            opening = 2 * float(frames[k].closure[0])
            # Shut, the animated jaws only touch.
            if task.mode == "hold" and opening < 2 * shut + 0.002:
                opening -= SQUEEZE
            self._go(path, opening, SLOWER / fps)
            if k == touch:
                self._go([tools[k]], opening, 0.4)
        self._wait(0.5)
        return self.outcome()

    def _begin(self, renderer: Renderer | None) -> None:
        self._renderer = renderer
        if renderer is not None:
            renderer.load(self.model)
        self._record()

    def outcome(self) -> Outcome:
        """What has become of the target so far."""
        video = np.stack(self._pictures) if self._pictures else None
        return Outcome(np.stack(self._poses), np.array(self._joints), np.array(self._touching), self.arm.missed, video)

    def _carry_out(self, plan: MotionPlan, fps: float) -> None:
        contact = plan.contact
        assert contact is not None
        touch, release = contact.touch, contact.release
        tool, approach = plan.tool, plan.approach
        if contact.held:
            self._go([self.arm.tool], self.grip(plan.width), 0.4)
        elif plan.kind == "swing":
            tool = self._feel(plan)
        else:
            flip = self.arm.nearer_half_turn(tool[touch])
            if not np.allclose(flip, tool[touch]):
                tool, approach = tool @ HALF_TURN, approach @ HALF_TURN
            opened = float(plan.opening[touch]) if plan.kind == "push" else min(plan.width + ROOM, Gripper.opening)
            self._come(approach, opened)
            self._straight(tool[touch], opened, NEARING)
            if plan.kind == "grasp":
                self._go([tool[touch]], self.grip(plan.width), 0.5)
        grip = self.grip(plan.width) if plan.kind == "grasp" else float(plan.opening[touch])
        path = _refined(tool[touch : release + 1], SLOWER / fps / CONTROL)
        self._recorder.phase = Phase.HANDLE
        self._go(path, grip, SLOWER * (release - touch) / fps)
        self._recorder.phase = Phase.LEAVE
        if contact.kept:
            self._wait(0.8)
            return
        self._wait(0.25)
        self._leave(plan, tool[release])
        self._wait(0.5)

    def _feel(self, plan: MotionPlan) -> Array:
        """Advance until the tool touches the object; returns the plan's path, shifted by what was found."""
        assert plan.contact is not None
        path, approach = plan.tool, plan.approach
        flip = self.arm.nearer_half_turn(approach)
        if not np.allclose(flip, approach):
            path, approach = path @ HALF_TURN, approach @ HALF_TURN
        self._come(approach, 0.0)
        for k in range(1, round(_FEEL / _FEEL_STEP) + 1):
            pose = approach.copy()
            pose[:3, 3] += plan.advance * k * _FEEL_STEP
            self._go([pose], 0.0, 0.04)
            if self._touches():
                break
        planned = path[plan.contact.touch, :3, 3]
        # Only along the way: what lies across it was not felt.
        late = float((self.arm.tool[:3, 3] - planned) @ plan.advance) + _PRESSED
        shifted = path.copy()
        shifted[:, :3, 3] += plan.advance * late
        return shifted

    def _come(self, approach: Array, opening: float) -> None:
        """To the approach pose, from above."""
        here = self.arm.tool
        above = approach.copy()
        above[2, 3] = max(approach[2, 3], here[2, 3], OVER)
        for goal in (above, approach):
            self._straight(goal, opening, COMING)

    def _straight(self, goal: Array, opening: float, speed: float) -> None:
        here = self.arm.tool
        length = float(np.linalg.norm(goal[:3, 3] - here[:3, 3]))
        seconds = max(length / speed, 0.3)
        count = max(round(seconds / CONTROL), 2)
        self._go([between(here, goal, s) for s in _eased(count)], opening, seconds)

    def _leave(self, plan: MotionPlan, last: Array) -> None:
        if plan.kind != "grasp":
            away = last.copy()
            way = plan.tool[-1, :3, 3] - plan.tool[0, :3, 3]
            away[:3, 3] -= 0.03 * way / max(float(np.linalg.norm(way)), 1e-6)
        else:
            self._go([last], min(self.arm.opening + 0.03, Gripper.opening), 0.4)
            away = last.copy()
            away[:3, 3] -= last[:3, 2] * 0.08
        opening = min(self.arm.opening + 0.005, Gripper.opening) if plan.kind == "grasp" else float(plan.opening[0])
        self._straight(away, opening, LEAVING)
        up = away.copy()
        up[2, 3] += 0.06
        self._straight(up, opening, 0.2)

    def _go(self, poses: list[Array], opening: float, seconds: float) -> None:
        self.arm.follow(np.stack(poses), np.full(len(poses), opening), max(seconds, TIMESTEP), self._each)

    def _wait(self, seconds: float) -> None:
        for _ in range(round(seconds / TIMESTEP)):
            mujoco.mj_step(self.model, self.data)
            self._each()

    def _each(self) -> None:
        self._steps += 1
        self._recorder.tick()
        if self._steps % round(CONTROL / TIMESTEP) == 0:
            self._record()

    def _record(self) -> None:
        pose = np.eye(4)
        pose[:3, :3] = self.data.xmat[self._target].reshape(3, 3)
        pose[:3, 3] = self.data.xpos[self._target]
        self._poses.append(pose)
        moved = self.set_up.task.target.joint
        self._joints.append(0.0 if moved is None else float(self.data.joint("mover").qpos[0]))
        self._touching.append(self._touches())
        self._recorder.note(self._touching[-1])
        if self._renderer is not None and len(self._poses) % 5 == 1:
            self._pictures.append(self._renderer.picture(self.data))

    def _touches(self) -> bool:
        body = self.model.geom_bodyid
        for pair in self.data.contact.geom:
            a, b = int(body[pair[0]]), int(body[pair[1]])
            if (a in self._thing and b in self._fingers) or (b in self._thing and a in self._fingers):
                return True
        return False


def matrix(pose: Pose) -> Array:
    """A pose as float64 [4, 4]."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = pose.r, pose.p
    return result


def between(a: Array, b: Array, s: float) -> Array:
    """The pose [4, 4] at a share `s` in [0, 1] of the way from one to another."""
    result = np.eye(4)
    result[:3, :3] = slerp(a[:3, :3], b[:3, :3], s)
    result[:3, 3] = a[:3, 3] + (b[:3, 3] - a[:3, 3]) * s
    return result


def _eased(count: int) -> Array:
    s = np.arange(1, count + 1) / count
    eased: Array = s**2 * (3 - 2 * s)
    return eased


def _refined(poses: Array, parts: float) -> list[Array]:
    """Poses with about `parts` steps from each to the next."""
    count = max(round(parts), 1)
    result = [poses[0]]
    for a, b in pairwise(poses):
        result += [between(a, b, k / count) for k in range(1, count + 1)]
    return result
