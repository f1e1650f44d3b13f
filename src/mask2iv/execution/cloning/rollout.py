"""A policy at work: picture, poses, picture, in a scene with dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mask2iv.contract import UInt8Array
from mask2iv.execution.camera import Array
from mask2iv.execution.cloning.episodes import heading, tool_at, turn_of
from mask2iv.execution.cloning.learning import as_input
from mask2iv.execution.cloning.network import SCALE, Policy
from mask2iv.execution.cloning.views import TableView
from mask2iv.execution.physics.stage import TIMESTEP
from mask2iv.execution.physics.trial import CONTROL, SQUEEZE, Outcome, Trial
from mask2iv.sim.world.geometry import slerp
from mask2iv.sim.world.render import Renderer

LENGTH = 20
"""Film frames that a policy has; a demonstration has 16."""
LOOKS = 4
"""It looks again after so many."""
_FRAME, _SPEED, _TURN = 0.25, 0.25, 2.0
"""Least seconds of a frame, which are those of demonstrations; largest speeds of the tool, m/s and rad/s."""
_CLOSING, _SETTLING = 0.5, 0.8


@dataclass(frozen=True, eq=False)
class Told:
    """What a policy says, in the world: poses float64 [N, 4, 4], openings [N] in metres, shut [N]."""

    poses: Array
    openings: Array
    shut: np.ndarray[tuple[int], np.dtype[np.bool_]]


def ask(policy: Policy, view: TableView, picture: UInt8Array, trial: Trial, shut: bool, direction: str) -> Told:
    """The policy's next poses for what the camera sees."""
    tool = trial.arm.tool
    double = 2 * turn_of(tool)
    place = (tool[:3, 3] - view.origin) / SCALE
    now = [*place, np.cos(double), np.sin(double), trial.arm.opening / SCALE, float(shut)]
    state = torch.tensor([[*now, *heading(direction), view.height / SCALE]], dtype=torch.float32)
    seen = torch.from_numpy(view(picture)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        said = policy(as_input(seen, torch.from_numpy(view.mask)[None, None]), state)[0].double().numpy()
    turns = np.arctan2(said[:, 4], said[:, 3]) / 2
    poses = np.stack([tool_at(row[:3] * SCALE + view.origin, turn) for row, turn in zip(said, turns, strict=True)])
    return Told(poses, np.clip(said[:, 5] * SCALE, 0.0, 0.11), said[:, 6] > 0)


def roll_out(policy: Policy, trial: Trial, view: TableView, renderer: Renderer, film: bool = False) -> Outcome:
    """Let a policy do a task.

    It is asked every `LOOKS` frames and its poses are carried out one after the other, each as slowly as the speed limits ask for;
    where it says to shut the jaws they close with the force that plans close them with, and the arm waits for them.

    Args:
        policy: for the task.
        trial: a scene at its start.
        view: of its first picture.
        renderer: of the configuration's size.
        film: whether the outcome has a video.
    """
    renderer.load(trial.model)
    trial.begin(renderer if film else None)
    driver = _Driver(trial)
    for _ in range(LENGTH // LOOKS):
        direction = trial.set_up.task.direction
        told = ask(policy, view, renderer.picture(trial.data), trial, driver.shut, direction)
        for k in range(LOOKS):
            driver.step(told.poses[k], float(told.openings[k]), bool(told.shut[k]))
    driver.hold(_SETTLING)
    return trial.outcome()


class _Driver:
    """Carries out poses."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.shut = trial, False
        self._pose = trial.arm.tool
        self._command = trial.arm.command
        self._chosen = False

    def step(self, pose: Array, opening: float, shut: bool) -> None:
        arm = self.trial.arm
        if not self._chosen:
            pose, self._chosen = arm.nearer_half_turn(pose), True
        elif pose[:3, 0] @ self._pose[:3, 0] < 0:
            pose = pose @ np.diag([-1.0, -1.0, 1.0, 1.0])
        length = float(np.linalg.norm(pose[:3, 3] - self._pose[:3, 3]))
        cosine = (float(np.trace(pose[:3, :3].T @ self._pose[:3, :3])) - 1) / 2
        turn = float(np.arccos(np.clip(cosine, -1, 1)))
        seconds = max(_FRAME, length / _SPEED, turn / _TURN)
        closes = shut and not self.shut
        if shut:
            opening = float(self._command[-1])
        count = max(round(seconds / CONTROL), 1)
        begin, start = self._pose, float(self._command[-1])
        for k in range(1, count + 1):
            share = k / count
            between = np.eye(4)
            between[:3, :3] = slerp(begin[:3, :3], pose[:3, :3], share)
            between[:3, 3] = begin[:3, 3] + (pose[:3, 3] - begin[:3, 3]) * share
            joints, _ = arm.solve(between, self._command[:-1])
            self._act(np.append(joints, start + (opening - start) * share), seconds / count)
        self._pose = pose
        if closes:
            self._act(np.append(self._command[:-1], -SQUEEZE), _CLOSING)
        self.shut = shut

    def hold(self, seconds: float) -> None:
        self._act(self._command, seconds)

    def _act(self, action: Array, seconds: float) -> None:
        self.trial.act(action, max(seconds, TIMESTEP))
        self._command = action
