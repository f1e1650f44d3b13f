"""The arm's joints for tool poses (inverse kinematics by mink), and their control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.execution.physics.stage import ARM_JOINTS, JAWS, TIMESTEP, DynamicBuilder
from mask2iv.extras import require
from mask2iv.sim.choreography.actors import Robot
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.compiled import CompiledScene
from mask2iv.sim.world.geometry import Array

mujoco = require_mujoco()
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
"""A tool pose times this is the same with the jaws exchanged."""
_HOME = np.array([0.0, -1.2, 1.6, 0.0, 1.0, 0.0])


class Arm:
    """Drives a stage's arm.

    Args:
        stage: with the arm of :meth:`~mask2iv.execution.physics.stage.DynamicBuilder.add_arm`.
        robot: that arm.

    Raises:
        InputError: mink is not installed.
    """

    def __init__(self, stage: CompiledScene, robot: Robot) -> None:
        self.model, self.data = stage.model, stage.data
        self._mink: Any = require("mink", "execution")
        # Kinematics are solved on the arm alone: smaller, and nothing else is free to move.
        alone = DynamicBuilder()
        alone.add_arm(robot)
        self._configuration = self._mink.Configuration(alone.spec.compile())
        self._task = self._mink.FrameTask("tool", "site", position_cost=1.0, orientation_cost=0.15, lm_damping=1e-4)
        self._limits = [self._mink.ConfigurationLimit(self._configuration.model)]
        self._joints = np.array([int(self.model.joint(name).qposadr[0]) for name in ARM_JOINTS])
        self._jaws = np.array([int(self.model.joint(name).qposadr[0]) for name in JAWS])
        self._drives = np.array([int(self.model.actuator(name).id) for name in ARM_JOINTS])
        self._jaw_drives = np.array([int(self.model.actuator(name).id) for name in JAWS])
        self._speeds = np.array([int(self.model.joint(name).dofadr[0]) for name in ARM_JOINTS])
        self._strength = self.model.actuator_forcerange[self._drives, 1]
        self.gap = self.missed = 0.0
        """Distance of the tool pose that was asked for from the one that the joints can take, metres: now, largest."""
        self.fastest = np.inf
        """What a joint is told to do at most, rad/s: where it would have to be faster, a motion takes longer."""
        self.followed = 0
        """How many poses were gone for."""

    @property
    def tool(self) -> Array:
        """The tool's pose, [4, 4]."""
        site = self.data.site("tool")
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = site.xmat.reshape(3, 3), site.xpos
        return pose

    @property
    def state(self) -> Array:
        """What is measured, [7]: the joints in radians, and the distance between the jaws in metres."""
        return np.append(self.data.qpos[self._joints], self.opening)

    @property
    def command(self) -> Array:
        """What the actuators are told, [7], as `state`; an opening below 0 closes with force."""
        return np.append(self.data.ctrl[self._drives], self.data.ctrl[self._jaw_drives].sum())

    @property
    def velocity(self) -> Array:
        """Of the joints, [6], rad/s."""
        velocity: Array = self.data.qvel[self._speeds]
        return velocity

    @property
    def load(self) -> Array:
        """Force of the joints' actuators as a share of their limit, [6], in [0, 1]."""
        load: Array = np.abs(self.data.actuator_force[self._drives]) / self._strength
        return load

    @property
    def opening(self) -> float:
        """Distance between the jaws, metres."""
        return float(self.data.qpos[self._jaws].sum())

    def start(self, tool: Array, opening: float, towards: Array) -> None:
        """Put the arm at a tool pose without dynamics; `towards` [3] is the point to which the turret first looks."""
        joints = self._seed(towards, tool)
        self.data.qpos[self._joints] = joints
        self.data.qpos[self._jaws] = opening / 2
        self.data.qvel[:] = 0
        self.data.ctrl[self._drives] = joints
        self.data.ctrl[self._jaw_drives] = opening / 2
        mujoco.mj_forward(self.model, self.data)

    def _seed(self, towards: Array, tool: Array) -> Array:
        base = self.model.body("turret").pos
        best, least = _HOME, np.inf
        for turn in (tool, tool @ HALF_TURN):
            for roll, bend in ((0.0, 1.0), (np.pi, -1.0)):
                joints = _HOME.copy()
                joints[0] = np.arctan2(*(towards - base)[[1, 0]])
                joints[3], joints[4] = roll, bend
                found, error = self.solve(turn, joints, 80)
                error += 0.01 * float(np.abs(found[[3, 5]]).sum())
                if error < least:
                    best, least = found, error
        return best

    def solve(self, tool: Array, joints: Array, rounds: int = 12) -> tuple[Array, float]:
        """Joints for a tool pose, from a first guess; also its error (metres + 0.05 radians)."""
        self._configuration.update(np.concatenate([joints, np.zeros(len(JAWS))]))
        self._task.set_target(self._mink.SE3.from_matrix(tool))
        error = np.inf
        for _ in range(rounds):
            gap = self._task.compute_error(self._configuration)
            error = float(np.linalg.norm(gap[:3]) + 0.05 * np.linalg.norm(gap[3:]))
            if np.linalg.norm(gap[:3]) < 2e-4 and np.linalg.norm(gap[3:]) < 2e-3:
                break
            velocity = self._mink.solve_ik(
                self._configuration,
                [self._task],
                0.5,
                "daqp",
                damping=1e-5,
                limits=self._limits,
            )
            step = np.clip(velocity * 0.5, -0.4, 0.4)
            self._configuration.integrate_inplace(step, 1.0)
        return self._configuration.q[: len(ARM_JOINTS)].copy(), error

    def follow(
        self, poses: NDArray[np.float64], openings: Array, seconds: float, each: Callable[[], None] | None = None
    ) -> None:
        """Move through tool poses [N, 4, 4] at an even pace, the first of which is one step ahead.

        Args:
            poses, openings: the tool's poses, and distances between the jaws [N].
            seconds: for the whole, if the joints are fast enough.
            each: called after every step of the physics.
        """
        joints = self.data.ctrl[self._drives].copy()
        opening = float(self.data.ctrl[self._jaw_drives].sum())
        steps = max(round(seconds / TIMESTEP / len(poses)), 1)
        for pose, wanted in zip(poses, openings, strict=True):
            found, _ = self.solve(pose, joints)
            self.gap = self._gap(pose)
            self.missed = max(self.missed, self.gap)
            self.followed += 1
            count = max(steps, int(np.ceil(np.abs(found - joints).max() / self.fastest / TIMESTEP)))
            for k in range(1, count + 1):
                share = k / count
                self.data.ctrl[self._drives] = joints + (found - joints) * share
                self.data.ctrl[self._jaw_drives] = (opening + (wanted - opening) * share) / 2
                mujoco.mj_step(self.model, self.data)
                if each is not None:
                    each()
            joints, opening = found, float(wanted)

    def act(self, action: Array, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Move the commands evenly to an action [7], see `command`, within a time."""
        start, steps = self.command, max(round(seconds / TIMESTEP), 1)
        for k in range(1, steps + 1):
            now = start + (action - start) * k / steps
            self.data.ctrl[self._drives], self.data.ctrl[self._jaw_drives] = now[:-1], now[-1] / len(JAWS)
            mujoco.mj_step(self.model, self.data)
            if each is not None:
                each()

    def _gap(self, pose: Array) -> float:
        return float(np.linalg.norm(self._configuration.data.site("tool").xpos - pose[:3, 3]))

    def nearer_half_turn(self, tool: Array) -> Array:
        """The tool pose, or the same with the jaws exchanged: whichever the wrist turns less for."""
        joints = self.data.ctrl[self._drives]
        turns = []
        for pose in (tool, tool @ HALF_TURN):
            found, error = self.solve(pose, joints, 60)
            turns.append(float(np.abs(found - joints)[[0, 3, 4, 5]].sum()) + 50 * error)
        return tool if turns[0] <= turns[1] else tool @ HALF_TURN
