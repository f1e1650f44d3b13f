"""Clips made by several workers: the same ones, in order, whoever dies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.scaling.chores import DeadlyCrew

from mask2iv.cli import main
from mask2iv.commands.datasets import simulate
from mask2iv.contract import UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.scaling.choice import crew_of
from mask2iv.scaling.interfaces import Crew
from mask2iv.sim import SimConfig, simulate_clips

CLIPS = 5
CONFIG = SimConfig(height=32, width=64)
FLAGS = ["simulate", "--clips", str(CLIPS), "--size", "32x64", "--seed", "3"]


def make(out: Path, *flags: str) -> int:
    return main([*FLAGS, *flags, "--out", str(out)])


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes."""
    out = tmp_path_factory.mktemp("sets") / "whole"
    assert make(out, "--workers", "1") == 0
    return contents(out)


@pytest.fixture(scope="module", params=["processes", "ray"])
def where(request: pytest.FixtureRequest) -> list[str]:
    """Flags of a crew of two."""
    if request.param == "processes":
        return ["--workers", "2"]
    request.getfixturevalue("local_ray")
    return ["--workers", "2", "--ray", "local"]


def pixels(crew: Crew | None) -> list[UInt8Array]:
    return [clip.video for clip, _ in simulate_clips(CONFIG, 3, range(1, 4), crew)]


def deaths_at(folder: Path, index: int, deaths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command's workers die at a clip."""

    def deadly_crew(workers: int, ray: str | None) -> Crew:
        return DeadlyCrew(crew_of(workers, ray), folder, f"({index}, None)", deaths)

    monkeypatch.setattr(simulate, "crew_of", deadly_crew)


def test_a_crew_makes_the_same_set_though_a_worker_dies(
    where: list[str], whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths_at(tmp_path, 2, 1, monkeypatch)
    assert make(tmp_path / "set", *where) == 0
    assert (tmp_path / "deaths.txt").read_text() == "+"
    assert contents(tmp_path / "set") == whole


@pytest.mark.parametrize("ray", [None, pytest.param("local", marks=pytest.mark.slow)])
def test_a_crew_renders_the_same_pixels(ray: str | None, request: pytest.FixtureRequest) -> None:
    if ray is not None:
        request.getfixturevalue("local_ray")
    crew = crew_of(2, ray)
    for mine, theirs in zip(pixels(None), pixels(crew), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_clip_whose_workers_all_die_is_named_and_the_others_are_kept(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deaths_at(tmp_path, 2, 3, monkeypatch)
    out = tmp_path / "set"
    assert make(out, "--workers", "2") == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mask2iv")]
    assert "clip 2: its worker died" in said
    assert "the same command goes on" in said
    # Whatever killed them is gone now.
    assert make(out, "--workers", "2") == 0
    assert contents(out) == whole
    assert len(ClipSet(out)) == CLIPS


def test_a_clip_that_cannot_be_made_is_named() -> None:
    # Draw 0 of this clip is not plausible (test_simulate.py).
    config = SimConfig(height=64, width=96, actor="robot", verbs=("closing",), objects=("safe",))
    with pytest.raises(InputError, match=r"clip 2: draw: draw 0 of seed 4, index 2 is not plausible"):
        list(simulate_clips(config, 4, range(2, 3), crew_of(1, None), [0, 0, 0]))


def test_no_clips_need_no_workers() -> None:
    assert list(simulate_clips(CONFIG, 3, (), crew_of(2, None))) == []
