"""The whole way: the environment is made, an expert is filmed in it, and the film's masks are carried out."""

import subprocess
from pathlib import Path

import pytest

from mask2iv.contract import Label
from mask2iv.data.store import ClipSet
from mask2iv.execution.metaworld.benchmark import execute, read_journal
from mask2iv.execution.metaworld.bridge import VARIABLE
from mask2iv.execution.metaworld.films import make_films

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_an_expert_is_filmed_and_its_masks_are_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = tmp_path / "venv"
    subprocess.run(["make", "metaworld", f"METAWORLD={environment}"], cwd=ROOT, check=True)
    monkeypatch.setenv(VARIABLE, str(environment / "bin" / "python"))

    counts = make_films(tmp_path / "clips", tmp_path / "work", [1000], ["button-press"], ["corner"])
    assert counts == {"episodes": 1, "successes": 1, "films": 1, "clips": 3, "hidden": 0}
    clips = ClipSet(tmp_path / "clips")
    assert {row["caption"] for row in clips.rows} == {"a robot arm pressing a button"}
    labels = clips[0].trajectory.labels
    assert all({Label.ACTOR, Label.OBJECT} <= set(frame.ravel().tolist()) for frame in labels[:3])

    out = tmp_path / "success"
    execute(out, ["expert", "oracle", "rest"], [1000], None, tasks=["button-press"], cameras=["corner"])
    assert [[row["success"] for row in read_journal(out, name)] for name in ("expert", "oracle", "rest")] == [
        [True],
        [True],
        [False],
    ]

    told: list[str] = []
    execute(out, ["rest"], [1000, 1001], None, tasks=["button-press"], cameras=["corner"], told=told.append)
    assert [row["seed"] for row in read_journal(out, "rest")] == [1000, 1001]
    assert told == ["rest: 0 of 2 done in all"]
