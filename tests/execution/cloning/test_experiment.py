"""A demonstration, a policy at work in its scene, and what is kept of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mask2iv.errors import InputError
from mask2iv.execution.cloning.collecting import SERIES, collect, scenes
from mask2iv.execution.cloning.episodes import Episode
from mask2iv.execution.cloning.experiment import Arm, arms, evaluate, gather, gathered, trained
from mask2iv.execution.cloning.learning import Recipe
from mask2iv.execution.cloning.network import SCALE, Policy
from mask2iv.execution.cloning.report import report
from mask2iv.execution.cloning.rollout import roll_out
from mask2iv.execution.cloning.views import PIXELS, TableView
from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.execution.measuring.journal import Journal
from mask2iv.execution.physics.success import judge
from mask2iv.sim.world.render import Renderer

TASK = "picking up"


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer(160, 256)
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an experiment with one true demonstration."""
    out = tmp_path_factory.mktemp("policy")
    gather(out, TASK, "true", 1, None, lambda row: None)
    return out


@pytest.fixture(scope="module")
def index(folder: Path) -> int:
    """Of the demonstration's scene."""
    return int(Journal(folder / "demonstrations" / "picking-up-true.jsonl").rows()[-1]["index"])


@pytest.fixture(scope="module")
def episode(folder: Path) -> Episode:
    return gathered(folder, TASK, "true", 1)[0]


def test_a_demonstration_takes_the_object_and_lifts_it(index: int, episode: Episode, renderer: Renderer) -> None:
    touch, end = episode.keys
    assert episode.views.shape == (16, PIXELS, PIXELS, 3)
    assert 0 < touch < end
    assert np.linalg.norm(episode.places[touch, :2]) < 0.05
    assert episode.places[end, 2] - episode.places[touch, 2] > 0.08
    assert episode.shut[[0, touch, end]].tolist() == [0, 1, 1]
    row, again = collect(TASK, "true", index, renderer)
    assert again is not None
    assert (row.problem, row.done) == ("", True)
    assert (again.views == episode.views).all()
    assert (again.places == episode.places).all()


def test_what_is_gathered_is_kept(folder: Path, tmp_path: Path) -> None:
    def told(row: object) -> None:
        raise AssertionError

    gather(folder, TASK, "true", 1, None, told)
    with pytest.raises(InputError, match="has 1 true demonstrations of picking up, and 2 are needed"):
        gathered(folder, TASK, "true", 2)
    torn = tmp_path / "torn.npz"
    torn.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="is not one"):
        Episode.load(torn)


class _Knows(Policy):
    """Says the key poses of a demonstration, whatever it sees."""

    def __init__(self, episode: Episode, aside: float = 0.0) -> None:
        super().__init__()
        double = 2 * episode.turns
        places = episode.places + np.array([aside, 0, 0], dtype=np.float32)
        columns = [places / SCALE, np.cos(double)[:, None], np.sin(double)[:, None]]
        rows = np.concatenate([*columns, episode.openings[:, None] / SCALE, 10 * episode.shut[:, None] - 5], axis=1)
        self.said = torch.from_numpy(rows[episode.keys].astype(np.float32))

    def forward(self, view: Tensor, state: Tensor) -> Tensor:
        assert view.shape == (1, 4, PIXELS, PIXELS)
        assert float(view.min()) >= -1
        assert float(view.max()) <= 1
        return self.said[None]


def test_the_demonstrations_key_poses_do_the_task(index: int, episode: Episode, renderer: Renderer) -> None:
    scene = SceneOfClip(scenes(TASK, "train"), SERIES["true"], index, None, renderer, pictures=False)
    view = TableView(scene.camera, scene.clip.object_mask, scene.depth)
    outcome = roll_out(_Knows(episode), scene.trial(), view, renderer, film=True)
    assert outcome.video is not None
    assert judge(scene.task, outcome).done
    again = roll_out(_Knows(episode), scene.trial(), view, renderer)
    assert np.array_equal(outcome.poses, again.poses)
    beside = roll_out(_Knows(episode, aside=0.12), scene.trial(), view, renderer)
    assert not judge(scene.task, beside).done


def test_an_experiment_goes_on_and_is_reported(folder: Path, renderer: Renderer) -> None:
    assert [arm.name for arm in arms(3)] == ["true-3", "true-3+generated-30", "generated-30", "true-30"]
    arm, short = Arm(1), Recipe(steps=2)
    policy, kept = (trained(folder, TASK, arm, 0, 1, short) for _ in range(2))
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in policy.state_dict().items())
    policies = {(arm.name, 0): policy}
    [row] = evaluate(folder, TASK, 0, policies, None, renderer)
    assert (row["task"], row["arm"], row["draw"], row["index"]) == (TASK, "true-1", 0, 0)
    assert evaluate(folder, TASK, 0, policies, None, renderer) == []
    assert "| true-1 | 1 |" in report(folder)


def test_shares_are_of_the_scenes_that_all_have(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "trials.jsonl")
    about = {"task": "pushing", "at_target": False}
    for draw in (0, 1):
        for index in range(3):
            journal.add({**about, "arm": "true-2", "draw": draw, "index": index, "done": index == 0})
            if (draw, index) != (1, 2):
                journal.add({**about, "arm": "true-20", "draw": draw, "index": index, "done": True})
    for index in range(2):
        journal.add({**about, "arm": "rest", "draw": 0, "index": index, "done": False})
    lines = report(tmp_path).splitlines()
    assert "| pushing: 2 scenes | trials | done | at target | done, by draw |" in lines
    assert any(line.startswith("| true-2 | 4 | 50 %") and line.endswith("| 1, 1 |") for line in lines)
    assert any(line.startswith("| true-20 | 4 | 100 %") for line in lines)
    assert any(line.startswith("| rest | 2 | 0 %") for line in lines)
    assert "| true-2 | true-20 | 0 | 2 |" in lines
