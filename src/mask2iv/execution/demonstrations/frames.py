"""An execution at the frames of the film that was executed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.execution.demonstrations.limits import Limits, Violation, joint_ranges
from mask2iv.execution.physics.recording import Phase, Recording
from mask2iv.execution.physics.stage import ARM_JOINTS
from mask2iv.execution.physics.trial import Outcome, Trial
from mask2iv.execution.plan import MotionPlan
from mask2iv.sim.world.geometry import Array, min_jerk
from mask2iv.sim.world.render import Renderer

NAMES = (*ARM_JOINTS, "gripper")
"""Of the entries of states and actions."""
_LEAVES = 2
"""Frames for letting go and leaving, at least: without them no action would open the jaws."""
_STOPPED = 0.002


@dataclass(frozen=True, eq=False)
class Demonstration:
    """What an arm did, at the T frames of a film.

    Attributes:
        states: float32 [T, 7], measured: six joints in radians, and the distance between the jaws in metres, see
            :data:`NAMES`.
        actions: float32 [T, 7], the command that leads from each frame to the next: joints in radians, and a distance
            between the jaws in metres, below 0 to close with force. That of the last frame holds what is reached.
        steps: int64 [T], the recording's entry at each frame.
        recording: of all control steps.
        outcome: what became of the object.
        violations: limits that were passed; none: a demonstration for a policy.
    """

    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    steps: NDArray[np.int64]
    recording: Recording
    outcome: Outcome
    violations: list[Violation]


def demonstrate(
    trial: Trial, plan: MotionPlan, fps: float = 8.0, pace: Array | None = None, limits: Limits | None = None
) -> Demonstration:
    """Carry out a plan, and see it as a demonstration at the film's frames.

    From contact to release the execution runs at the film's even pace (:data:`~mask2iv.execution.physics.trial.SLOWER`
    times slower). The arm comes and leaves by ways and at a pace of its own; they are laid over the frames before
    contact and after release. The frame of contact is when the gripper has closed. Where an object is let go in the
    film's last two frames or not at all, what is handled gets by with fewer frames, for the last two to show how the
    arm leaves.

    Args:
        trial: at its start.
        plan: for its scene, of T frames.
        fps: frame rate of the plan.
        pace: [contact frame + 1], rising from 0 to 1: how much of its way the arm has come by in each frame until
            contact. None: a movement of minimum jerk (Flash & Hogan 1985).
        limits: to hold it to; None: the usual ones.
    """
    outcome = trial.run(plan, fps=fps)
    recording, count = trial.recording, len(plan.tool)
    if plan.contact is None:
        steps = np.zeros(count, dtype=np.int64)
        violations = [Violation("no-plan", 0.0, 0.0)]
    else:
        touch, release = plan.contact.touch, plan.contact.release
        if not plan.contact.kept:
            release = max(min(release, count - 1 - _LEAVES), touch + 1)
        steps = frame_steps(recording, touch, release, count, pace)
        holds = plan.kind == "grasp"
        ranges = joint_ranges(trial.model)
        violations = (limits or Limits()).check(recording, recording.state[steps], fps, ranges, holds)
    states = recording.state[steps].astype(np.float32)
    actions = recording.command[np.append(steps[1:], steps[-1])].astype(np.float32)
    return Demonstration(states, actions, steps, recording, outcome, violations)


def frame_steps(
    recording: Recording, touch: int, release: int, count: int, pace: Array | None = None
) -> NDArray[np.int64]:
    """The entry of a recording at each frame of the film, int64 [count].

    Args:
        recording: of a plan.
        touch, release: the plan's frames of contact and release.
        count: frames of the film.
        pace: see :func:`demonstrate`.
    """
    coming, leaving = (np.flatnonzero(recording.phase == phase) for phase in (Phase.COME, Phase.LEAVE))
    handling = np.flatnonzero(recording.phase == Phase.HANDLE)
    travel = recording.travel
    steps = np.empty(count, dtype=np.int64)
    if pace is None:
        pace = np.array([min_jerk(k / max(touch, 1)) for k in range(touch + 1)])
    done = travel[coming] / max(float(travel[coming[-1]]), 1e-9)
    steps[:touch] = coming[np.minimum(np.searchsorted(done, pace[:touch] - 1e-6), len(coming) - 1)]
    steps[touch] = coming[-1]
    share = np.arange(1, release - touch + 1) / max(release - touch, 1)
    steps[touch + 1 : release + 1] = handling[np.round(share * (len(handling) - 1)).astype(int)]
    after = count - 1 - release
    if after:
        last = int(np.flatnonzero(travel[leaving] < travel[-1] - _STOPPED)[-1])
        share = np.arange(1, after + 1) / after
        steps[release + 1 :] = leaving[np.round(share * last).astype(int)]
    return steps


def pictures(trial: Trial, demonstration: Demonstration, renderer: Renderer) -> UInt8Array:
    """The execution at the film's frames, from the scene's camera: uint8 [T, H, W, 3].

    Args:
        trial: that was demonstrated in.
        demonstration: of it.
        renderer: of the configuration's size.
    """
    return trial.pictures(demonstration.recording.qpos[demonstration.steps], renderer)
