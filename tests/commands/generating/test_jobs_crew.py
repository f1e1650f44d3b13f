"""generate --jobs by several workers: the same results, whoever dies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.scaling.chores import DeadlyCrew

from mask2iv.cli import main
from mask2iv.generation.jobs.run import Workers
from mask2iv.scaling.choice import crew_of
from mask2iv.scaling.interfaces import Crew

BOTH: dict[str, Any] = {"image": "image.png", "object_mask": "object.png", "prompt": "a hand pushing a box"}
JOBS = [
    {**BOTH, "id": "a"},
    {**BOTH, "id": "b", "seed": 1},
    {**BOTH, "id": "absent", "image": "absent.png"},
    {**BOTH, "id": "vanishing", "object_mask": "dot.png"},
    {**BOTH, "id": "c", "seed": 2},
]


@pytest.fixture(autouse=True)
def jobs_file(desk: Path) -> None:
    """The jobs in the folder of pictures."""
    (desk / "scenes" / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in JOBS))


@pytest.fixture(scope="module", params=["processes", "ray"])
def where(request: pytest.FixtureRequest) -> list[str]:
    """Flags of a crew of two."""
    if request.param == "processes":
        return ["--workers", "2"]
    request.getfixturevalue("local_ray")
    return ["--workers", "1", "--ray", "local"]  # and one in its place: each imports for seconds


def run(out: str, *flags: str) -> int:
    common = ["--model", "model", "--threads", "1", "--steps", "1", "--device", "cpu", "--out", out]
    return main(["generate", "--jobs", "scenes/jobs.jsonl", *common, *flags])


def results(out: str) -> dict[str, bytes]:
    files = [path for path in Path(out).rglob("*") if path.is_file() and "manifest" not in path.name]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def deaths_at(job: str, deaths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers die before a batch with this job."""
    folder = Path.cwd()

    def deadly_crew(workers: int, ray: str | None, gpus: float) -> Crew:
        return DeadlyCrew(crew_of(workers, ray, gpus), folder, f"Job(id={job!r}", deaths)

    monkeypatch.setattr(Workers, "crew", lambda self: deadly_crew(self.number, self.ray, self.gpus))


def test_a_crew_makes_the_same_results_and_says_the_same(
    where: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("alone") == 3
    said = [capsys.readouterr()]
    deaths_at("b", 1, monkeypatch)
    assert run("crew", *where) == 3
    said.append(capsys.readouterr())
    assert Path("deaths.txt").read_text() == "+"
    assert results("crew") == results("alone")
    # Ray tells of deaths in lines of its own.
    last = said[1].out.splitlines()[-1]
    assert last == said[0].out.strip().replace("alone: ", "crew: ") == "crew: 3 done, 2 failed; see failures.json"
    lines = [[line for line in one.err.splitlines() if line.startswith("mask2iv:")] for one in said]
    assert lines[0] == lines[1]
    for name in ("a", "b", "c"):
        mine, theirs = (json.loads(Path(out, name, "manifest.json").read_text()) for out in ("alone", "crew"))
        assert (mine["settings"], mine["inputs"]) == (theirs["settings"], theirs["inputs"])
    mine, theirs = (json.loads(Path(out, "jobs-manifest.json").read_text()) for out in ("alone", "crew"))
    assert (mine["settings"], mine["counts"]) == (theirs["settings"], theirs["counts"])
    # Nothing is left: the crew is not even begun.
    assert run("crew", *where) == 3
    assert capsys.readouterr().out.endswith("crew: 3 skipped, 2 failed; see failures.json\n")


@pytest.mark.slow
def test_a_deadly_job_takes_no_other_of_its_batch_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deaths_at("b", 6, monkeypatch)
    assert run("out", "--workers", "2", "--batch-size", "5") == 3
    said = capsys.readouterr()
    assert said.out == "out: 2 done, 3 failed; see failures.json\n"
    assert "mask2iv: b (line 2): its worker died" in said.err
    assert sorted(path.parent.name for path in Path("out").glob("*/manifest.json")) == ["a", "c"]
    # Whatever killed it is gone.
    assert run("out", "--workers", "2") == 3
    assert capsys.readouterr().out == "out: 1 done, 2 skipped, 2 failed; see failures.json\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--workers", "-1"), "--workers: must be 0 (one per core) or more, found -1"),
        (("--gpus-per-worker", "1"), "--gpus-per-worker: is for Ray actors; give --ray"),
        (("--gpus-per-worker", "-1", "--ray", "local"), "--gpus-per-worker: must be 0 or more, found -1"),
        (("--ray", "local", "--device", "cuda"), "--gpus-per-worker: actors on a GPU need a share of one"),
    ],
)
def test_unusable_flags(flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("out", *flags) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_workers_are_for_many_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    scene = ["--image", "scenes/image.png", "--object-mask", "scenes/object.png", "--prompt", "x"]
    assert main(["generate", *scene, "--out", "out", "--workers", "2"]) == 2
    assert "--workers: is for many scenes; give --jobs" in capsys.readouterr().err
