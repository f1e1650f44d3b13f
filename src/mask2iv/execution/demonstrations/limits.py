"""What an arm may not do while it demonstrates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mask2iv.execution.physics.recording import Phase, Recording
from mask2iv.execution.physics.stage import ARM_JOINTS
from mask2iv.execution.physics.trial import CONTROL, SLOWER
from mask2iv.sim.world.geometry import Array

REASONS = {
    "no-plan": "there is no plan of its trajectory, or nothing moves in it",
    "unreachable": "a tool pose is out of the arm's reach",
    "joint-range": "a joint is at the end of its range or beyond",
    "joint-speed": "a joint is faster than allowed while it executes",
    "frame-speed": "a joint goes further between two frames than it may in their time, which is twice the film's",
    "overload": "an actuator is at the limit of its force for too long",
    "collision": "the arm presses against the table or clutter",
    "lost": "the object slips out of the gripper that should hold it",
    "unsuccessful": "the action is not done, or not the scene's (only where successes alone are asked for)",
}
"""Name -> why an execution is no demonstration."""


class Violation(NamedTuple):
    """A limit that was passed: its name in :data:`REASONS`, what was found, and what is allowed."""

    reason: str
    found: float
    allowed: float

    def __str__(self) -> str:
        numbers = f" ({self.found:g}, allowed {self.allowed:g})" if self.allowed else ""
        return f"{self.reason}: {REASONS[self.reason]}{numbers}"


@dataclass(frozen=True)
class Limits:
    """What is allowed.

    Attributes:
        missed: distance of a tool pose that was asked for from the nearest that the joints take, metres.
        margin: how near a joint may come to the end of its range, rad.
        speed: of joints, rad/s; that of the WidowX arms' servos.
        overload: for how long an actuator may be at the limit of its force, s.
        blow: force between the arm and what is fixed, N.
        lost: for how long the gripper may be without the object while it should hold it, s.
    """

    missed: float = 0.02
    margin: float = 0.01
    speed: float = 3.14
    overload: float = 0.2
    blow: float = 30.0
    lost: float = 0.2

    def check(self, recording: Recording, states: Array, fps: float, ranges: Array, holds: bool) -> list[Violation]:
        """All limits that an execution passes.

        Args:
            recording: of it.
            states: [T, 7], at the frames of the film.
            fps: the film's rate.
            ranges: [6, 2], of the joints.
            holds: whether the gripper is to hold the object while it is handled.
        """
        joints = recording.state[:, :-1]
        room = float(np.minimum(joints - ranges[:, 0], ranges[:, 1] - joints).min())
        speed = float((np.abs(np.diff(states[:, :-1], axis=0)) * fps / SLOWER).max())
        free = (recording.phase == Phase.HANDLE) & ~recording.touching & holds
        found = {
            "unreachable": (float(recording.missed.max()), self.missed),
            "joint-range": (-room, -self.margin),
            "joint-speed": (float(recording.speed.max()), self.speed),
            "frame-speed": (speed, self.speed),
            "overload": (max(_longest(recording.load[:, k] > 0.98) for k in range(len(ARM_JOINTS))), self.overload),
            "collision": (float(recording.blow.max()), self.blow),
            "lost": (_longest(free), self.lost),
        }
        return [Violation(name, round(value, 4), limit) for name, (value, limit) in found.items() if value > limit]


def joint_ranges(model: Any) -> Array:
    """Of the arm's joints in a scene, [6, 2], radians."""
    return np.array([model.joint(name).range for name in ARM_JOINTS])


def _longest(flags: NDArray[np.bool_]) -> float:
    """Seconds of the longest run of entries that hold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return CONTROL * float((edges[1::2] - edges[::2]).max(initial=0))
