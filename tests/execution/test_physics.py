"""Plans carried out in scenes with dynamics, and the criteria by which attempts are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.execution.joints.lids import plan_swing
from mask2iv.execution.measuring.benchmark import Attempt, SceneOfClip, attempt, execute, markdown, summary, trivial
from mask2iv.execution.measuring.shares import wilson
from mask2iv.execution.physics.success import judge
from mask2iv.execution.physics.trial import Outcome, Trial, matrix
from mask2iv.sim.benchmark import BENCHMARKS, read_record
from mask2iv.sim.world.render import Renderer

ROBOT = BENCHMARKS["sim-robot"]
CONFIG, RECORD = ROBOT.config("validation"), read_record(ROBOT, "validation")
STAPLER, LAPTOP, DRAWER, SAFE = 5, 17, 24, 28
"""Clips of validation: a stapler is picked up, a laptop opened, a drawer closed, a safe opened."""


def test_a_true_trajectory_picks_the_object_up(stapler: SceneOfClip) -> None:
    row, film = attempt(stapler, "oracle", stapler.clip.trajectory, film=True)
    assert (row.kind, row.done, row.at_target, row.problem) == ("grasp", True, True, "")
    assert row.distance < 0.05
    assert film is not None
    assert film.shape[1:] == (160, 256, 3)


def test_doing_nothing_does_not(stapler: SceneOfClip) -> None:
    row, _ = attempt(stapler, "rest", trivial("rest", stapler.clip))
    assert (row.kind, row.done) == ("rest", False)


def test_a_trajectory_without_the_object_has_no_plan(stapler: SceneOfClip) -> None:
    empty = Trajectory(np.zeros_like(stapler.clip.trajectory.labels))
    row, _ = attempt(stapler, "text", empty)
    assert "only 0 pixels of the object have a depth" in row.problem
    assert not row.done


def test_a_laptop_is_opened_about_the_hinge_that_its_masks_show(renderer: Renderer) -> None:
    scene = SceneOfClip(CONFIG, ROBOT.series("validation"), LAPTOP, RECORD[LAPTOP].draw, renderer)
    true = scene.clip.metadata["object_joint"]
    plan = plan_swing(scene.clip.trajectory, scene.camera, scene.depth, opening=True)
    assert plan is not None
    turn = plan.motion.transforms[-1, :3, :3]
    assert np.arccos((np.trace(turn) - 1) / 2) == pytest.approx(true[-1] - true[0], abs=0.15)
    row, _ = attempt(scene, "oracle", scene.clip.trajectory)
    assert (row.kind, row.done) == ("swing", True)


@pytest.mark.parametrize("clip", [DRAWER, SAFE])
def test_drawers_and_doors_move_as_their_masks_show(renderer: Renderer, clip: int) -> None:
    scene = SceneOfClip(CONFIG, ROBOT.series("validation"), clip, RECORD[clip].draw, renderer)
    row, _ = attempt(scene, "oracle", scene.clip.trajectory)
    assert (row.kind, row.done, row.at_target) == ("swing", True, True)


def test_the_arm_takes_the_poses_of_the_animated_one() -> None:
    trial = Trial(CONFIG, ROBOT.series("validation"), STAPLER, RECORD[STAPLER].draw)
    for frame in trial.frames[:: len(trial.frames) - 1]:
        tool = matrix(frame.tool)
        trial.arm.start(tool, 0.05, tool[:3, 3])
        assert np.linalg.norm(trial.arm.tool[:3, 3] - tool[:3, 3]) < 0.001
        # The jaws may be exchanged.
        assert np.abs(trial.arm.tool[:3, :3] @ [0, 0, 1] - tool[:3, 2]).max() < 0.01


def _outcome(scene: SceneOfClip, shift: tuple[float, float, float], touching: bool) -> Outcome:
    poses = np.repeat(matrix(scene.task.path(0.0)[0])[None], 12, axis=0)
    poses[1:, :3, 3] += shift
    return Outcome(poses, np.zeros(12), np.full(12, touching), 0.0)


def test_criteria_of_picking_up_and_of_ways(stapler: SceneOfClip) -> None:
    assert judge(stapler.task, _outcome(stapler, (0, 0, 0.07), True)).done
    assert not judge(stapler.task, _outcome(stapler, (0, 0, 0.07), False)).done
    assert not judge(stapler.task, _outcome(stapler, (0, 0, 0.03), True)).done
    pushed = replace(stapler.task, verb="pushing", direction="left")
    assert judge(pushed, _outcome(stapler, (-0.12, 0, 0), False)).done
    assert not judge(pushed, _outcome(stapler, (0.12, 0, 0), False)).done
    assert not judge(pushed, _outcome(stapler, (-0.12, 0, 0), True)).done
    assert not judge(pushed, _outcome(stapler, (-0.12, 0.2, 0), False)).done


def test_what_is_put_down_is_not_dropped(stapler: SceneOfClip) -> None:
    task = replace(stapler.task, verb="putting down")
    start = matrix(task.path(1.0)[0])
    for seconds, done in ((0.8, True), (0.16, False)):
        # It comes down by 10 cm.
        height = np.clip(1 - np.arange(60) * 0.04 / seconds, 0, 1) * 0.1
        poses = np.repeat(start[None], 60, axis=0)
        poses[:, 2, 3] += height
        verdict = judge(task, Outcome(poses, np.zeros(60), np.zeros(60, dtype=bool), 0.0))
        assert verdict.done == done


def test_attempts_are_made_once(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        execute(tmp_path, "validation", [STAPLER], ["rest"], None, 0, 0, lambda name, row: told.append(row.clip_id))
    assert told == ["sim-robot-validation-000005"]
    result = summary(tmp_path, ["rest", "oracle"])
    assert result["rest"]["all"]["done"]["share"] == 0
    assert "oracle" not in result


class _Truth:
    """A model that predicts what happens."""

    def __call__(self, name: str, clip: Clip, seed: int) -> Trajectory:
        return clip.trajectory

    def video(self, trajectory: Trajectory, clip: Clip, seed: int) -> UInt8Array:
        return clip.video


def test_a_generated_video_is_aligned_as_the_true_one_is(tmp_path: Path) -> None:
    rows: list[Attempt] = []
    plans = ["oracle-video", "text-video"]
    execute(tmp_path, "validation", [STAPLER], plans, _Truth(), 0, 0, lambda name, row: rows.append(row))
    assert rows[0].done
    assert replace(rows[0], seconds=[]) == replace(rows[1], seconds=[])


def test_wilson_intervals_and_tables() -> None:
    assert wilson(0, 20) == {"share": 0.0, "low": 0.0, "high": 0.1611, "clips": 20}
    half = wilson(10, 20)
    assert (half["low"], half["high"]) == (0.2993, 0.7007)
    groups = {"done": half, "at_target": wilson(5, 20)}
    table = markdown({"oracle": {"all": groups, "pushing": groups}})
    assert "| oracle (true masks) | 20 | 50 % (30 to 70) | 25 % (11 to 47) |" in table
    assert "| pushing | 50 % (20) |" in table
