"""Executions at the frames of their films, and the limits that they are held to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mask2iv.contract import BoolArray, Trajectory
from mask2iv.execution.demonstrations.clips import actions_succeed
from mask2iv.execution.demonstrations.frames import Demonstration, Film, arm_overlap, demonstrate, frame_steps, pictures
from mask2iv.execution.demonstrations.limits import REASONS, Limits
from mask2iv.execution.demonstrations.matching import match
from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.execution.physics.recording import Phase, Recording
from mask2iv.execution.physics.success import judge
from mask2iv.execution.physics.trial import Trial
from mask2iv.execution.plan import MotionPlan
from mask2iv.sim.world.render import Renderer


@pytest.fixture(scope="module")
def run(stapler: SceneOfClip, renderer: Renderer) -> tuple[Trial, MotionPlan, Demonstration]:
    trial = stapler.trial()
    plan = stapler.plan("oracle", stapler.clip.trajectory, trial)
    return trial, plan, demonstrate(trial, plan, stapler.clip.fps, Film(stapler.clip.trajectory, renderer))


def test_states_and_actions_of_a_film(stapler: SceneOfClip, run: tuple[Trial, MotionPlan, Demonstration]) -> None:
    trial, plan, shown = run
    assert plan.contact is not None
    touch, recording = plan.contact.touch, shown.recording
    assert shown.states.dtype == shown.actions.dtype == np.float32
    assert shown.states.shape == shown.actions.shape == (16, 7)
    assert shown.violations == []
    assert judge(stapler.task, shown.outcome).done
    # The arm starts where the film shows it, and has taken the object at the frame of contact.
    assert np.linalg.norm(recording.tool[0, :3, 3] - trial.frames[0].tool.p) < 0.002
    assert recording.touching[shown.steps[touch]]
    assert not recording.touching[shown.steps[: touch - 1]].any()
    # The tool arrives a frame earlier, and in between the jaws close.
    before, taken = shown.steps[touch - 1 : touch + 1]
    assert np.linalg.norm(recording.tool[before, :3, 3] - recording.tool[taken, :3, 3]) < 0.006
    assert shown.states[touch - 1, 6] > shown.states[touch, 6] + 0.01
    # While the object is handled the tool is where the plan has it, within what the drives lag behind.
    handled = recording.tool[shown.steps[touch:], :3, 3] - plan.tool[touch:, :3, 3]
    assert np.linalg.norm(handled, axis=1).max() < 0.02
    # An action is where the next frame is, but for that lag and for the grip.
    lag = np.abs(shown.actions[:-1, :6] - shown.states[1:, :6])
    assert lag.max() < 0.1
    assert (shown.actions[touch:, 6] < shown.states[touch:, 6] - 0.02).all()


def test_actions_alone_do_the_task_again(stapler: SceneOfClip, run: tuple[Trial, MotionPlan, Demonstration]) -> None:
    shown = run[2]
    assert actions_succeed(stapler, shown, stapler.clip.fps)
    still = replace(shown, actions=np.repeat(shown.actions[:1], 16, axis=0))
    assert not actions_succeed(stapler, still, stapler.clip.fps)


def test_the_arm_is_where_the_film_shows_it(
    stapler: SceneOfClip, run: tuple[Trial, MotionPlan, Demonstration], renderer: Renderer
) -> None:
    trial, _, shown = run
    made = pictures(trial, shown, renderer)
    assert made.shape == stapler.clip.video.shape
    assert np.abs(made[0].astype(float) - stapler.clip.video[0]).mean() < 6
    assert arm_overlap(trial, shown, Film(stapler.clip.trajectory, renderer)) > 0.5
    late = Trajectory(np.repeat(stapler.clip.trajectory.labels[:1], 16, axis=0))
    assert arm_overlap(trial, shown, Film(late, renderer)) < 0.3


def _recording(phases: list[Phase]) -> Recording:
    count = len(phases)
    tool = np.repeat(np.eye(4)[None], count, axis=0)
    tool[:, 0, 3] = np.arange(count) * 0.01
    return Recording(
        phase=np.array(phases, dtype=np.uint8),
        followed=np.arange(count),
        state=np.zeros((count, 7)),
        command=np.zeros((count, 7)),
        tool=tool,
        missed=np.zeros(count),
        speed=np.zeros((count, 6)),
        load=np.zeros((count, 6)),
        blow=np.zeros(count),
        touching=np.ones(count, dtype=np.bool_),
        qpos=np.zeros((count, 8)),
    )


def test_phases_fill_the_frames_that_they_belong_to() -> None:
    made = _recording([Phase.COME] * 11 + [Phase.HANDLE] * 12 + [Phase.LEAVE] * 21)
    steps = frame_steps(made, touch=5, release=8, count=13)
    # A reach is slow, fast, slow; what is handled goes evenly.
    assert steps.tolist() == [0, 2, 5, 9, 10, 10, 14, 18, 22, 28, 33, 37, 42]
    # Held from the start, there is nothing to come for: the first frame is when the grip is tight.
    assert frame_steps(made, 0, 12, 13)[0] == 10


def _bars(places: list[int]) -> BoolArray:
    masks = np.zeros((len(places), 8, 40), dtype=np.bool_)
    for mask, place in zip(masks, places, strict=True):
        mask[:, place : place + 6] = True
    return masks


def test_frames_are_matched_by_the_arms_masks() -> None:
    arm, joints, even = _bars(list(range(31))), np.zeros((31, 1)), np.linspace(0, 1, 6)
    film = _bars([0, 20, 21, 22, 23, 30])
    assert match(arm, film, joints, 1.0, even, 30).tolist() == [0, 20, 21, 22, 23, 30]
    # It never goes back, and where the film does not show the arm it keeps the usual pace.
    back = match(arm, _bars([0, 20, 4, 22, 23, 30]), joints, 1.0, even, 30)
    assert (np.diff(back) >= 0).all()
    film[1:5] = False
    assert match(arm, film, joints, 1.0, even, 30).tolist() == [0, 6, 12, 18, 24, 30]
    # The last frame may show an earlier moment, from a first one on.
    assert match(arm, _bars([0, 5, 10, 15, 20, 20]), joints, 1.0, even, 18)[-1] == 20
    assert match(arm, _bars([0, 5, 10, 15, 20, 20]), joints, 1.0, even, 25)[-1] == 25
    # A film that is faster than the arm is followed as fast as the arm can.
    rushed = match(arm, _bars([0, 1, 2, 28, 29, 30]), np.arange(31.0)[:, None], 7.0, even, 30)
    assert np.diff(rushed).max() <= 7


@pytest.mark.parametrize(
    ("reason", "entry"),
    [
        ("unreachable", {"missed": 0.03}),
        ("joint-range", {"state": 3.0}),
        ("joint-speed", {"speed": 4.0}),
        ("overload", {"load": 1.0}),
        ("collision", {"blow": 60.0}),
        ("lost", {"touching": False}),
    ],
)
def test_each_limit_has_its_reason(reason: str, entry: dict[str, float]) -> None:
    made = _recording([Phase.COME] * 4 + [Phase.HANDLE] * 12)
    ranges = np.tile([-3.0, 3.0], (6, 1))
    states = np.zeros((16, 7))
    assert Limits().check(made, states, 8.0, ranges, holds=True) == []
    for name, value in entry.items():
        changed = getattr(made, name).copy()
        changed[6:13] = value
        made = replace(made, **{name: changed})
    found = Limits().check(made, states, 8.0, ranges, holds=True)
    assert [one.reason for one in found] == [reason]
    assert reason in REASONS
    if reason == "lost":
        assert Limits().check(made, states, 8.0, ranges, holds=False) == []


def test_a_frame_may_go_too_far() -> None:
    made = _recording([Phase.COME] * 4 + [Phase.HANDLE] * 12)
    states = np.zeros((16, 7))
    states[8:, 2] = 0.9
    [found] = Limits().check(made, states, 8.0, np.tile([-3.0, 3.0], (6, 1)), holds=True)
    assert (found.reason, found.found) == ("frame-speed", 3.6)
