"""--candidates: several trajectories drawn, scored, the best rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import read_video
from mask2iv.trajectories.storage import load_trajectory


@pytest.fixture
def run(tmp_path: Path, planning_model: Path, pictures: dict[str, UInt8Array | BoolArray]) -> Any:
    """Runs a command on a picture of 64x128 pixels; returns its folder, or its exit status where that is not 0."""
    for name in ("image", "object"):
        write_png(tmp_path / f"{name}.png", pictures[name])
    scene = ["--image", f"{tmp_path}/image.png", "--object-mask", f"{tmp_path}/object.png"]
    how = ["--model", str(planning_model), "--steps", "1", "--threads", "1"]

    def call(command: str, out: str, *flags: str) -> Path | int:
        given = [] if "--jobs" in flags else [*scene, "--prompt", "a hand pushing a box to the right"]
        status = main([command, *given, *how, "--out", f"{tmp_path}/{out}", *flags])
        return tmp_path / out if status == 0 else status

    return call


def scores(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "scores.json").read_text())["candidates"]
    return found


def settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["settings"]
    return found


def test_the_best_candidate_is_what_its_seed_makes(run: Any, planning_model: Path) -> None:
    out = run("generate", "best", "--candidates", "3", "--seed", "4")
    names = "candidates candidates.png filmstrip.png manifest.json scores.json trajectory trajectory.mp4 video.mp4"
    assert sorted(path.name for path in out.iterdir()) == names.split()
    ranked = scores(out)
    assert sorted(one["seed"] for one in ranked) == [4, 5, 6]
    assert [one["total"] for one in ranked] == sorted((one["total"] for one in ranked), reverse=True)
    assert all(one["agreement"] is not None for one in ranked)
    best = ranked[0]["seed"]
    own = settings(out)
    assert (own["seed"], own["candidates"], own["first_seed"], own["score"]) == (best, 3, 4, ranked[0]["total"])
    alone = run("generate", "alone", "--seed", str(best))
    assert (read_video(out / "video.mp4").frames == read_video(alone / "video.mp4").frames).all()
    assert main(["replay", str(out), "--out", f"{out}-again", "--model", str(planning_model)]) == 0
    for one in ranked:
        stored = load_trajectory(out / "candidates" / f"seed-{one['seed']}.npz")
        if one["seed"] == best:
            assert (stored.labels == load_trajectory(alone / "trajectory").labels).all()
    assert read_image(out / "candidates.png").shape[0] > 3 * 32


def test_keep_renders_the_best_ones(run: Any) -> None:
    out = run("generate", "kept", "--candidates", "3", "--keep", "2")
    ranked = scores(out)
    for rank in range(2):
        assert settings(out / f"best-{rank:03d}")["seed"] == ranked[rank]["seed"]
        assert (out / f"best-{rank:03d}" / "video.mp4").is_file()
    assert settings(out)["seeds"] == {f"best-{rank:03d}": ranked[rank]["seed"] for rank in range(2)}
    assert not (out / "best-002").exists()
    again = run("generate", "kept", "--candidates", "2", "--overwrite")
    assert not (again / "best-000").exists()


def test_stage_1_alone_has_candidates_too(run: Any) -> None:
    out = run("trajectory", "plan", "--candidates", "2")
    assert not (out / "video.mp4").exists()
    chosen = load_trajectory(out / "candidates" / f"seed-{scores(out)[0]['seed']}.npz")
    assert np.array_equal(load_trajectory(out / "trajectory").labels, chosen.labels)


def test_jobs_choose_among_candidates_and_go_on(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = {"id": "box", "image": "image.png", "object_mask": "object.png", "prompt": "a hand pushing a box", "seed": 2}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job))
    flags = ("--jobs", f"{tmp_path}/jobs.jsonl", "--candidates", "2")
    out = run("generate", "jobs", *flags)
    assert sorted(one["seed"] for one in scores(out / "box")) == [2, 3]
    capsys.readouterr()
    run("generate", "jobs", *flags)
    assert "1 skipped" in capsys.readouterr().out
    run("generate", "jobs", *flags[:2], "--candidates", "3")
    assert "1 failed" in capsys.readouterr().out, "another number of candidates is another result"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--candidates", "0"), "--candidates: must be between 1 and 1000, found 0"),
        (("--candidates", "2", "--keep", "3"), "--keep: must be between 1 and the 2 candidates, found 3"),
        (("--keep", "2"), "--keep: must be between 1 and the 1 candidates, found 2"),
        (("--candidates", "2", "--samples", "2"), "--samples: --candidates draws several, too"),
    ],
)
def test_numbers_that_do_not_go_together(
    run: Any, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", "out", *flags) == 2
    assert said in capsys.readouterr().err
