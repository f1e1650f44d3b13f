"""An execution at the frames of the film that was executed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.execution.contact import Contact
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
_CALM = 0.85
"""Share of the joints' largest speed that they are told to have: where they lag behind they catch up faster."""
_FEWEST = 2
"""Frames for coming, and for leaving, at least."""
_THERE = 0.005
"""So near to where it takes hold, in metres, the tool has arrived."""
_MOMENTS = 40
"""Of an execution among which those of frames are sought."""
_STOPPED = 0.002
"""With so little of its way left, in metres, it has left."""


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
    times slower, and slower still where a joint would be faster than allowed). The arm comes and leaves by ways and at
    a pace of its own: each frame before contact and after release is given the moment at which the arm looks most like
    in the film, or, without a film, that of a reach of minimum jerk (Flash & Hogan 1985). The frame of contact is when
    the gripper has closed.

    Where the plan leaves the arm too few frames to come or to leave, what is handled gets by with fewer: without them
    no action would lead to the object, or let it go. To come it gets a third of the film, if need be, to leave two
    frames.

    Args:
        trial: at its start.
        plan: for its scene, of T frames.
        fps: frame rate of the plan.
        film: that the frames are to agree with.
        limits: to hold it to; None: the usual ones.
    """
    limits = limits or Limits()
    trial.arm.fastest = _CALM * limits.speed
    outcome = trial.run(plan, fps=fps)
    recording, count = trial.recording, len(plan.tool)
    if plan.contact is None:
        steps, violations = np.zeros(count, dtype=np.int64), [Violation("no-plan", 0.0, 0.0)]
    else:
        steps = _steps(trial, recording, plan.contact, count, film, limits.speed * SLOWER / fps)
        ranges, holds = joint_ranges(trial.model), plan.kind == "grasp"
        violations = limits.check(recording, recording.state[steps], fps, ranges, holds)
    states = recording.state[steps].astype(np.float32)
    actions = recording.command[np.append(steps[1:], steps[-1])].astype(np.float32)
    return Demonstration(states, actions, steps, recording, outcome, violations)


def _steps(
    trial: Trial, recording: Recording, contact: Contact, count: int, film: Film | None, farthest: float
) -> NDArray[np.int64]:
    """The entry at each frame; see :func:`demonstrate`. `farthest`: that a joint may go between two frames."""
    touch, release = contact.touch, contact.release
    if not contact.held:
        came = recording.state[recording.phase == Phase.COME, :-1]
        needed = int(np.ceil(np.abs(np.diff(came, axis=0)).sum(axis=0).max() / farthest))
        touch = max(touch, min(needed + 1, count // 3), _FEWEST)
    if not contact.kept:
        release = min(release, count - 1 - _FEWEST)
    release = max(release, touch + 1)
    steps = frame_steps(recording, touch, release, count)
    if film is not None:
        let_go = int(np.flatnonzero(recording.touching).max(initial=0)) + 1
        for span, end in ((slice(touch), steps[touch - 1]), (slice(release, count), let_go)):
            seen = film.trajectory.actor[span]
            steps[span] = _matched(trial, recording, steps[span], int(end), seen, film.renderer, farthest)
    return steps


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
    # The tool arrives a frame before contact, in which the jaws close.
    places = recording.tool[coming, :3, 3]
    arrived = int(np.argmax(np.linalg.norm(places - places[-1], axis=1) < _THERE))
    reach = np.array([min_jerk(k / max(touch - 1, 1)) for k in range(touch)])
    steps[:touch] = coming[np.searchsorted(travel[: arrived + 1], reach * travel[arrived])]
    steps[touch] = coming[-1]
    # Not by time: where the joints are not fast enough, the film waits.
    followed = recording.followed[handling] - recording.followed[coming[-1]]
    share = np.arange(1, release - touch + 1) / max(release - touch, 1)
    steps[touch + 1 : release + 1] = handling[np.searchsorted(followed, share * followed[-1] - 1e-6)]
    after = count - 1 - release
    if after:
        last = int(np.flatnonzero(travel[leaving] < travel[-1] - _STOPPED).max(initial=0))
        share = np.arange(1, after + 1) / after
        steps[release + 1 :] = leaving[np.round(share * last).astype(int)]
    return steps


def _matched(
    trial: Trial,
    recording: Recording,
    steps: NDArray[np.int64],
    end: int,
    seen: BoolArray,
    renderer: Renderer,
    farthest: float,
) -> NDArray[np.int64]:
    """Entries, among those from the first to the last of `steps`, of frames that show the arm as `seen`; the last of
    them not before `end`."""
    if len(steps) < 3 or steps[-1] - steps[0] < 2:
        return steps
    entries = np.arange(steps[0], steps[-1] + 1)
    moments = entries[np.linspace(0, len(entries) - 1, min(_MOMENTS, len(entries))).round().astype(int)]
    masks = trial.arm_masks(recording.qpos[moments], renderer)
    usual = np.searchsorted(moments, steps) / (len(moments) - 1)
    least = min(int(np.searchsorted(moments, end)), len(moments) - 1)
    return moments[match(masks, seen, recording.state[moments, :-1], farthest, usual, least)]


def arm_overlap(trial: Trial, demonstration: Demonstration, film: Film) -> float:
    """How well the arm's silhouettes agree with the film's: mean IoU in [0, 1] over the frames that show an arm in
    either; 0 where none does."""
    masks = trial.arm_masks(demonstration.recording.qpos[demonstration.steps], film.renderer)
    seen = film.trajectory.actor
    either = (masks | seen).sum(axis=(1, 2))
    shown = either > 0
    return float(((masks & seen).sum(axis=(1, 2))[shown] / either[shown]).mean()) if shown.any() else 0.0


def pictures(trial: Trial, demonstration: Demonstration, renderer: Renderer) -> UInt8Array:
    """The execution at the film's frames, from the scene's camera: uint8 [T, H, W, 3].

    Args:
        trial: that was demonstrated in.
        demonstration: of it.
        renderer: of the configuration's size.
    """
    return trial.pictures(demonstration.recording.qpos[demonstration.steps], renderer)
