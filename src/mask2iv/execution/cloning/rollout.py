"""A policy at work: it looks, moves, and looks again, in a scene with dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mask2iv.execution.camera import Array
from mask2iv.execution.cloning.episodes import heading, tool_at, turn_of
from mask2iv.execution.cloning.learning import as_input
from mask2iv.execution.cloning.network import SCALE, Policy
from mask2iv.execution.cloning.views import TableView
from mask2iv.execution.grasps import Gripper
from mask2iv.execution.physics.arm import HALF_TURN
from mask2iv.execution.physics.trial import COMING, CONTROL, LEAVING, NEARING, OVER, ROOM, Outcome, Trial, between
from mask2iv.execution.plan import ABOVE, BEHIND
from mask2iv.sim.world.geometry import min_jerk
from mask2iv.sim.world.render import Renderer

_MOVING = 0.08
"""Speed of the tool with the object, m/s."""
_TURNING = 2.0
"""Speed of its turns, rad/s."""


@dataclass(frozen=True, eq=False)
class Said:
    """A policy's key poses in the world.

    Attributes:
        touch, end: float64 [4, 4], of the tool.
        opening: at `touch`, metres: the object's width where it is held.
        holds: whether the jaws close with force at `touch`.
    """

    touch: Array
    end: Array
    opening: float
    holds: bool

    @property
    def approach(self) -> Array:
        """From where to come to `touch`: from above, or from behind."""
        pose = self.touch.copy()
        pose[:3, 3] += [0, 0, ABOVE] if self.holds else -BEHIND * self.way
        return pose

    @property
    def way(self) -> Array:
        """The horizontal direction from `touch` to `end`, [3]."""
        way = (self.end[:3, 3] - self.touch[:3, 3]) * [1, 1, 0]
        unit: Array = way / max(float(np.linalg.norm(way)), 1e-6)
        return unit


def roll_out(policy: Policy, trial: Trial, view: TableView, renderer: Renderer, film: bool = False) -> Outcome:
    """Let a policy do a task.

    It looks before it comes to the object, before it meets it, before it moves it and half way. Between its poses the
    arm goes as it does in plans: from above, or from behind; where the policy says to hold, the jaws close with force
    and stay, elsewhere the arm leaves at the end.

    Args:
        policy: for the task.
        trial: a scene at its start.
        view: of its first picture.
        renderer: of the configuration's size.
        film: whether the outcome has a video.
    """
    return _Worker(policy, trial, view, renderer, film).work()


class _Worker:
    """Carries out what a policy says."""

    def __init__(self, policy: Policy, trial: Trial, view: TableView, renderer: Renderer, film: bool) -> None:
        self.policy, self.trial, self.view, self.renderer = policy, trial, view, renderer
        renderer.load(trial.model)
        trial.begin(renderer if film else None)
        self.pose, self.command = trial.arm.tool, trial.arm.command

    def work(self) -> Outcome:
        arm = self.trial.arm
        said = self.ask(taken=False)
        opened = min(said.opening + ROOM, Gripper.opening) if said.holds else said.opening
        # To the policy a half turn of the jaws is the same: the one that the wrist turns less for.
        approach = arm.nearer_half_turn(said.approach)
        above = approach.copy()
        above[2, 3] = max(approach[2, 3], self.pose[2, 3], OVER)
        self.go(above, opened, COMING)
        self.go(approach, opened, COMING)
        said = self.ask(taken=False)
        self.go(self.turned(said.touch), opened, NEARING)
        if said.holds:
            self.act(np.append(self.command[:-1], self.trial.grip(said.opening)), 0.5)
        opening = float(self.command[-1])
        end = self.ask(taken=True).end
        self.go(between(self.pose, self.turned(end), 0.5), opening, _MOVING)
        self.go(self.turned(self.ask(taken=True).end), opening, _MOVING)
        if said.holds:
            self.act(self.command, 0.8)
        else:
            self.leave(said.way, opening)
        return self.trial.outcome()

    def leave(self, way: Array, opening: float) -> None:
        # A round thing sticks between jaws that it has pressed apart.
        opening = min(opening + 0.02, Gripper.opening)
        self.act(np.append(self.command[:-1], opening), 0.3)
        back = self.pose.copy()
        back[:3, 3] -= 0.03 * way
        self.go(back, opening, LEAVING)
        up = back.copy()
        up[2, 3] += 0.06
        self.go(up, opening, LEAVING)
        self.act(self.command, 0.5)

    def ask(self, taken: bool) -> Said:
        """What the policy says to what the camera sees now."""
        arm, view = self.trial.arm, self.view
        tool = arm.tool
        place, double = (tool[:3, 3] - view.origin) / SCALE, 2 * turn_of(tool)
        now = [*place, np.cos(double), np.sin(double), arm.opening / SCALE, float(taken)]
        about = [*heading(self.trial.set_up.task.direction), view.height / SCALE]
        seen = torch.from_numpy(view(self.renderer.picture(self.trial.data))).permute(2, 0, 1)[None]
        with torch.inference_mode():
            inputs = as_input(seen, torch.from_numpy(view.mask)[None, None])
            said = self.policy(inputs, torch.tensor([[*now, *about]], dtype=torch.float32))[0].double().numpy()
        turns = np.arctan2(said[:, 4], said[:, 3]) / 2
        touch, end = (tool_at(row[:3] * SCALE + view.origin, turn) for row, turn in zip(said, turns, strict=True))
        return Said(touch, end, float(np.clip(said[0, 5] * SCALE, 0.0, Gripper.opening)), bool(said[0, 6] > 0))

    def turned(self, pose: Array) -> Array:
        """The pose or its half turn, whichever is nearer to where the tool was sent last."""
        return pose if pose[:3, 0] @ self.pose[:3, 0] >= 0 else pose @ HALF_TURN

    def go(self, pose: Array, opening: float, speed: float) -> None:
        """Straight to a pose, the jaws changing evenly."""
        begin, start = self.pose, float(self.command[-1])
        length = float(np.linalg.norm(pose[:3, 3] - begin[:3, 3]))
        cosine = (float(np.trace(pose[:3, :3].T @ begin[:3, :3])) - 1) / 2
        turn = float(np.arccos(np.clip(cosine, -1, 1)))
        count = max(round(max(length / speed, turn / _TURNING, 0.3) / CONTROL), 1)
        for k in range(1, count + 1):
            share = min_jerk(k / count)
            joints, _ = self.trial.arm.solve(between(begin, pose, share), self.command[:-1])
            self.act(np.append(joints, start + (opening - start) * share), CONTROL)
        self.pose = pose

    def act(self, action: Array, seconds: float) -> None:
        self.trial.act(action, seconds)
        self.command = action
