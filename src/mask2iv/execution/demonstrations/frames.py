"""An execution at the frames of the film that was executed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.execution.demonstrations.limits import Limits, Violation, joint_ranges
from mask2iv.execution.demonstrations.matching import match
from mask2iv.execution.physics.recording import Phase, Recording
from mask2iv.execution.physics.stage import ARM_JOINTS
from mask2iv.execution.physics.trial import SLOWER, Outcome, Trial
from mask2iv.execution.plan import MotionPlan
from mask2iv.sim.world.geometry import min_jerk
from mask2iv.sim.world.render import Renderer

NAMES = (*ARM_JOINTS, "gripper")
"""Of the entries of states and actions."""
_FEWEST = 2
"""Frames for coming, and for leaving, at least."""
_MOMENTS = 40
"""Of an execution among which those of frames are sought."""
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


@dataclass(frozen=True, eq=False)
class Film:
    """What an execution is laid over.

    Attributes:
        trajectory: the film's masks.
        renderer: of its size.
    """

    trajectory: Trajectory
    renderer: Renderer


def demonstrate(
    trial: Trial, plan: MotionPlan, fps: float = 8.0, film: Film | None = None, limits: Limits | None = None
) -> Demonstration:
    """Carry out a plan, and see it as a demonstration at the film's frames.

    From contact to release the execution runs at the film's even pace (:data:`~mask2iv.execution.physics.trial.SLOWER`
    times slower). The arm comes and leaves by ways and at a pace of its own: each frame before contact and after
    release is given the moment at which the arm looks most like in the film, or, without a film, that of a reach of
    minimum jerk (Flash & Hogan 1985). The frame of contact is when the gripper has closed.

    Where the plan leaves the arm less than two frames to come or to leave, although it must, what is handled gets by
    with fewer frames: without them no action would lead to the object, or let it go.

    Args:
        trial: at its start.
        plan: for its scene, of T frames.
        fps: frame rate of the plan.
        film: that the frames are to agree with.
        limits: to hold it to; None: the usual ones.
    """
    outcome = trial.run(plan, fps=fps)
    recording, count, limits = trial.recording, len(plan.tool), limits or Limits()
    contact = plan.contact
    if contact is None:
        steps, violations = np.zeros(count, dtype=np.int64), [Violation("no-plan", 0.0, 0.0)]
    else:
        touch = contact.touch if contact.held else max(contact.touch, _FEWEST)
        release = max(contact.release if contact.kept else min(contact.release, count - 1 - _FEWEST), touch + 1)
        steps = frame_steps(recording, touch, release, count)
        if film is not None:
            farthest = limits.speed * SLOWER / fps
            for first, last in ((0, touch), (release, count - 1)):
                steps[first : last + 1] = _matched(trial, recording, steps, (first, last), film, farthest)
        violations = limits.check(
            recording, recording.state[steps], fps, joint_ranges(trial.model), holds=plan.kind == "grasp"
        )
    states = recording.state[steps].astype(np.float32)
    actions = recording.command[np.append(steps[1:], steps[-1])].astype(np.float32)
    return Demonstration(states, actions, steps, recording, outcome, violations)


def frame_steps(recording: Recording, touch: int, release: int, count: int) -> NDArray[np.int64]:
    """The entry of a recording at each frame of a film whose arm comes and leaves at the usual pace, int64 [count].

    Args:
        recording: of a plan.
        touch, release: frames of contact and release.
        count: frames of the film.
    """
    coming, leaving = (np.flatnonzero(recording.phase == phase) for phase in (Phase.COME, Phase.LEAVE))
    handling = np.flatnonzero(recording.phase == Phase.HANDLE)
    travel = recording.travel
    steps = np.empty(count, dtype=np.int64)
    reach = np.array([min_jerk(k / max(touch, 1)) for k in range(touch)])
    done = travel[coming] / max(float(travel[coming[-1]]), 1e-9)
    steps[:touch] = coming[np.minimum(np.searchsorted(done, reach - 1e-6), len(coming) - 1)]
    steps[touch] = coming[-1]
    share = np.arange(1, release - touch + 1) / max(release - touch, 1)
    steps[touch + 1 : release + 1] = handling[np.round(share * (len(handling) - 1)).astype(int)]
    after = count - 1 - release
    if after:
        last = int(np.flatnonzero(travel[leaving] < travel[-1] - _STOPPED)[-1])
        share = np.arange(1, after + 1) / after
        steps[release + 1 :] = leaving[np.round(share * last).astype(int)]
    return steps


def _matched(
    trial: Trial, recording: Recording, steps: NDArray[np.int64], span: tuple[int, int], film: Film, farthest: float
) -> NDArray[np.int64]:
    """Entries of the frames of a span, first and last included, between those that its ends have."""
    first, last = span
    entries = np.arange(steps[first], steps[last] + 1)
    if last - first < 2 or len(entries) < 3:
        return steps[first : last + 1]
    moments = entries[np.linspace(0, len(entries) - 1, min(_MOMENTS, len(entries))).round().astype(int)]
    masks = trial.arm_masks(recording.qpos[moments], film.renderer)
    usual = np.searchsorted(moments, steps[first : last + 1]) / (len(moments) - 1)
    seen = film.trajectory.actor[first : last + 1]
    return moments[match(masks, seen, recording.state[moments, :-1], farthest, usual)]


def pictures(trial: Trial, demonstration: Demonstration, renderer: Renderer) -> UInt8Array:
    """The execution at the film's frames, from the scene's camera: uint8 [T, H, W, 3].

    Args:
        trial: that was demonstrated in.
        demonstration: of it.
        renderer: of the configuration's size.
    """
    return trial.pictures(demonstration.recording.qpos[demonstration.steps], renderer)
