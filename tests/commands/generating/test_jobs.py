"""generate --jobs: one folder per job, resumed, in batches, and no job takes another down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.generation.jobs.file import read_jobs
from mask2iv.generation.options import Fitting
from mask2iv.media.images import write_png
from mask2iv.media.videos import read_video
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.storage import load_trajectory

PROMPT = "a hand pushing a box to the right"
BOTH: dict[str, Any] = {"image": "image.png", "object_mask": "object.png", "prompt": PROMPT}
TARGET: dict[str, Any] = {"image": "image.png", "object_mask": "object.png", "target_mask": "target.png"}


def write(*jobs: dict[str, Any] | str) -> None:
    lines = [job if isinstance(job, str) else json.dumps(job) for job in jobs]
    Path("scenes/jobs.jsonl").write_text("\n".join(lines) + "\n")


def run(*flags: str, out: str = "out") -> int:
    steps = [] if "--steps" in flags else ["--steps", "1"]
    common = ["--model", "model", "--threads", "1", "--out", out, *steps]
    return main(["generate", "--jobs", "scenes/jobs.jsonl", *common, *flags])


def summary(out: str = "out") -> dict[str, int]:
    counts: dict[str, int] = json.loads(Path(out, "jobs-manifest.json").read_text())["counts"]
    return counts


def times(out: str = "out") -> dict[str, int]:
    """When each job's manifest was written, in nanoseconds."""
    return {path.parent.name: path.stat().st_mtime_ns for path in Path(out).glob("*/manifest.json")}


def test_each_job_is_what_generate_makes_of_it_alone(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxed = {"image": "image.png", "object_box": [44, 20, 34, 32], "prompt": "pushing a box", "actor": "hand"}
    write({**BOTH, "id": "both", "seed": 5}, "", {**TARGET, "prompt": None}, {**boxed, "id": "box.1"})
    assert run("--seed", "2") == 0
    said = capsys.readouterr()
    assert said.out == "out: 3 done\n"
    assert "jobs:" in said.err
    assert sorted(path.name for path in Path("out").iterdir()) == ["both", "box.1", "job-00001", "jobs-manifest.json"]
    scene = ["--image", "scenes/image.png", "--object-mask", "scenes/object.png", "--prompt", PROMPT, "--seed", "5"]
    assert main(["generate", *scene, "--model", "model", "--threads", "1", "--steps", "1", "--out", "alone"]) == 0
    names = {path.relative_to("alone") for path in Path("alone").rglob("*")}
    assert names == {path.relative_to("out/both") for path in Path("out/both").rglob("*")}
    for name in ("video.mp4", "trajectory.mp4", "filmstrip.png", "trajectory/0002.png"):
        assert Path("out/both", name).read_bytes() == Path("alone", name).read_bytes(), name
    mine, alone = (json.loads(Path(folder, "manifest.json").read_text()) for folder in ("out/both", "alone"))
    assert (mine["settings"], mine["inputs"]) == (alone["settings"], alone["inputs"])
    found = json.loads(Path("out/box.1/manifest.json").read_text())
    assert found["settings"]["prompt"] == "a hand pushing a box"
    assert found["settings"]["seed"] == 2
    assert found["settings"]["sampler"] == "ddim"
    assert Path("out/box.1/object_mask.png").is_file()
    assert summary() == {"jobs": 3, "done": 3, "skipped": 0, "failed": 0, "left": 0}


def test_jobs_write_animated_pictures_too(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({**BOTH, "id": "a"})
    assert run("--webp") == 0
    assert Path("out/a/video.webp").is_file()
    assert run("--webp") == 0
    assert summary()["skipped"] == 1
    # What lacks one is no result of this call.
    assert run("--webp", "--gif") == 3
    assert "ask to overwrite" in capsys.readouterr().err
    assert run("--webp", "--gif", "--overwrite") == 0
    assert Path("out/a/video.gif").is_file()


def test_everyday_prompts_are_read_in_the_models_words(
    desk: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model").unlink()
    shutil.copytree(tiny_model, "model")
    shutil.copy(Path(str(resources.files("mask2iv"))) / "weights" / "embedded" / "wording.json", "model")
    everyday = {**BOTH, "prompt": "shove the package rightwards", "actor": "hand"}
    write({**BOTH, "id": "caption"}, {**everyday, "id": "a"}, {**everyday, "id": "b", "seed": 1})
    assert run() == 0
    line = f'mask2iv: prompt: "a hand shove the package rightwards" read as "{PROMPT}"'
    assert [said for said in capsys.readouterr().err.splitlines() if "prompt" in said] == [line]
    settings = json.loads(Path("out/a/manifest.json").read_text())["settings"]
    assert settings["prompt"] == "a hand shove the package rightwards"
    assert settings["prompt_read_as"] == PROMPT
    assert (read_video("out/a/video.mp4").frames == read_video("out/caption/video.mp4").frames).all()
    assert run() == 0
    assert summary() == {"jobs": 3, "done": 0, "skipped": 3, "failed": 0, "left": 0}
    # A table that reads them otherwise asks for something else.
    Path("model/wording.json").unlink()
    assert run() == 3
    assert summary()["skipped"] == 1


def test_batches_give_the_same_up_to_rounding(desk: Path) -> None:
    kinds = {"p": BOTH, "t": TARGET}
    write(*({**scene, "id": f"{name}{seed}", "seed": seed} for seed in (1, 2) for name, scene in kinds.items()))
    assert run("--steps", "2", out="alone") == 0
    assert run("--steps", "2", "--batch-size", "2", out="together") == 0
    for name in ("p1", "p2", "t1", "t2"):
        alone, together = Path("alone", name), Path("together", name)
        same = load_trajectory(alone / "trajectory").labels == load_trajectory(together / "trajectory").labels
        assert same.mean() > 0.999
        videos = [read_video(folder / "video.mp4")[0].astype(int) for folder in (alone, together)]
        assert np.abs(videos[0] - videos[1]).mean() < 1
        assert json.loads((together / "manifest.json").read_text())["settings"]["batch_size"] == 2
    firsts = [read_video(Path("alone", name, "video.mp4")).frames.tobytes() for name in ("p1", "p2", "t1", "t2")]
    assert len(set(firsts)) == 4


def test_what_is_there_is_skipped_and_what_is_missing_is_made(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({**BOTH, "id": "a"}, {**BOTH, "id": "b", "seed": 1})
    assert run() == 0
    before = times()
    Path("out/b/video.mp4").rename("elsewhere.mp4")
    for path in sorted(Path("out/b").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    # Another batch size and another place ask for the same results.
    Path("scenes").rename("moved")
    Path("moved/jobs.jsonl").rename("moved/again.jsonl")
    jobs = ["--jobs", "moved/again.jsonl", "--model", "model", "--threads", "1", "--steps", "1", "--out", "out"]
    assert main(["generate", *jobs, "--batch-size", "2"]) == 0
    assert times()["a"] == before["a"]
    assert summary() == {"jobs": 2, "done": 1, "skipped": 1, "failed": 0, "left": 0}
    assert (read_video("out/b/video.mp4").frames == read_video("elsewhere.mp4").frames).all()
    assert "out: 1 done, 1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    ["seed", "prompt", "mask", "--steps", "--sampler", "--guidance-scale"],
)
def test_other_settings_are_an_error_of_that_job_unless_overwritten(desk: Path, change: str) -> None:
    write({**BOTH, "id": "a"}, {**TARGET, "id": "b", "seed": 3})
    assert run() == 0
    before, flags = times(), []
    if change == "mask":
        write_png("scenes/object.png", np.roll(np.pad(np.ones((20, 20), dtype=np.bool_), ((20, 24), (50, 58))), 1))
    elif change.startswith("--"):
        flags = [change, {"--steps": "2", "--sampler": "unipc", "--guidance-scale": "4"}[change]]
    else:
        other = {"seed": 1, "prompt": "a hand pulling a box"}[change]
        write({**BOTH, "id": "a", change: other}, {**TARGET, "id": "b", "seed": 3})
    changed = ["a"] if change in ("seed", "prompt") else ["a", "b"]
    assert run(*flags) == 3
    assert times() == before
    failures = json.loads(Path("out/failures.json").read_text())
    assert [failure["id"] for failure in failures] == changed
    assert "holds a result of other inputs or settings" in failures[0]["error"]
    assert "or ask to overwrite" in failures[0]["error"]
    assert run(*flags, "--overwrite") == 0
    assert sorted(name for name, time in times().items() if time != before[name]) == changed
    assert not Path("out/failures.json").exists()


def test_a_bad_job_does_not_stop_the_others(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {
        "absent": ({"image": "absent.png"}, "image: scenes/absent.png does not exist"),
        "empty": ({"object_mask": "empty.png"}, "object_mask: the mask is empty"),
        "nothing": ({"prompt": None}, "prompt: nothing says what shall happen"),
        "twice": ({"object_point": "60,36"}, "found object_mask and object_point"),
        # Found by the pipeline only, with its neighbours in the same batch.
        "vanishing": ({"object_mask": "dot.png"}, "object_mask: it covers 1 pixels and vanishes"),
    }
    spoiled = [{**BOTH, **change, "id": name} for name, (change, _) in bad.items()]
    write({**BOTH, "id": "first"}, *spoiled, {**BOTH, "id": "last"})
    assert run("--batch-size", "7") == 3
    assert sorted(times()) == ["first", "last"]
    failures = json.loads(Path("out/failures.json").read_text())
    assert [(failure["id"], failure["line"]) for failure in failures] == list(zip(bad, range(2, 7), strict=True))
    said = capsys.readouterr()
    for failure, (_, message) in zip(failures, bad.values(), strict=True):
        assert message in failure["error"]
        assert f"mask2iv: {failure['id']} (line {failure['line']}): {failure['error']}" in said.err
    assert said.out == "out: 2 done, 5 failed; see failures.json\n"
    write({**BOTH, "id": "first"}, {**BOTH, "id": "last"})
    assert run() == 0
    assert not Path("out/failures.json").exists()
    assert summary() == {"jobs": 2, "done": 0, "skipped": 2, "failed": 0, "left": 0}


def test_a_foreign_folder_is_never_replaced(desk: Path) -> None:
    write({**BOTH, "id": "a"}, {**BOTH, "id": "b"})
    Path("out/a").mkdir(parents=True)
    Path("out/a/diary.txt").write_text("precious")
    assert run("--overwrite") == 3
    assert Path("out/a/diary.txt").read_text() == "precious"
    assert sorted(times()) == ["b"]


def test_a_defect_of_the_program_is_not_swallowed(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is no InputError ends the run with its traceback; the summary says what is left."""
    write({**BOTH, "id": "a"}, {**BOTH, "id": "b"})

    def broken(self: Mask2IVPipeline, *_: Any, **__: Any) -> None:
        raise RuntimeError("shapes disagree")

    monkeypatch.setattr(Mask2IVPipeline, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes disagree"):
        run()
    assert times() == {}
    assert summary() == {"jobs": 2, "done": 0, "skipped": 0, "failed": 0, "left": 2}


MALFORMED: list[tuple[str, Sequence[dict[str, Any] | str], str]] = [
    ("empty", ["", "  "], "holds no jobs"),
    ("text", [BOTH, "image: a.png"], "line 2: not JSON"),
    ("list", ["[]"], "line 1: expected a JSON object, found list"),
    ("key", ["", {**BOTH, "promt": "x"}], "line 2: promt: unknown key; known keys: id, seed"),
    ("type", [{**BOTH, "prompt": 3}], "prompt: expected a valid string, found 3"),
    ("seed", [{**BOTH, "seed": True}], "seed: expected a valid integer, found True"),
    ("range", [{**BOTH, "seed": -1}], "seed: must be between 0 and"),
    ("actor", [{**BOTH, "actor": "dog"}], "actor: expected 'hand' or 'robot', found 'dog'"),
    ("image", [{"object_mask": "object.png", "prompt": PROMPT}], "image: it is missing"),
    ("twice", [{**BOTH, "id": "a"}, {**BOTH, "id": "A"}], "lines 1 and 2 of scenes/jobs.jsonl both have the id 'A'"),
    ("default", [{**BOTH, "id": "job-00001"}, BOTH], "lines 1 and 2 of scenes/jobs.jsonl both have the id 'job-00001'"),
    ("path", [{**BOTH, "id": "../a"}], "id: '../a' cannot be a folder name here"),
    ("hidden", [{**BOTH, "id": ".a"}], "id: '.a' cannot be a folder name here"),
    ("report", [{**BOTH, "id": "Failures.json"}], "id: 'Failures.json' cannot be a folder name here"),
]  # fmt: skip


@pytest.mark.parametrize(("jobs", "message"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_a_malformed_file_is_refused_as_a_whole(
    desk: Path, capsys: pytest.CaptureFixture[str], jobs: Sequence[dict[str, Any] | str], message: str
) -> None:
    write(*jobs)
    refused(capsys, [], f"--jobs: scenes/jobs.jsonl: {message}" if message.startswith("line ") else message)


def refused(capsys: pytest.CaptureFixture[str], flags: Sequence[str], message: str) -> None:
    """One line, exit status 2, nothing written."""
    before = sorted(Path().rglob("*"))
    assert run(*flags) == 2
    assert sorted(Path().rglob("*")) == before
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert message in said.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--image", "a.png", "--prompt", "x"), "--jobs: the file says what each job is; leave out --image, --prompt"),
        (("--samples", "2"), "leave out --samples"),
        (("--batch-size", "0"), "--batch-size: must be at least 1, found 0"),
        (("--steps", "5000"), "--steps: must be between 1 and 1000, found 5000"),
        (("--size", "33x64"), "--size 33x64: height and width must be multiples of"),
        (("--model", "scenes"), "--model: scenes is not a model folder"),
        (("--out", "scenes/image.png"), "--out: cannot write the folder scenes/image.png: File exists"),
        (("--jobs", "absent.jsonl"), "--jobs: absent.jsonl does not exist"),
        (("--jobs", "scenes/image.png"), "--jobs: scenes/image.png: is not UTF-8 text"),
    ],
)  # fmt: skip
def test_unusable_flags(desk: Path, capsys: pytest.CaptureFixture[str], flags: Sequence[str], message: str) -> None:
    write(BOTH)
    refused(capsys, flags, message)


def test_neither_a_picture_nor_jobs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--prompt", "x", "--object-point", "1,1", "--out", "out"]) == 2
    assert "--image: no picture is given; name one, or a shipped sample" in capsys.readouterr().err


def test_jobs_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    prompt = "a hand\u2028picking up a can"
    lines = [{"image": "a.png", "prompt": prompt}, {"image": "/b.png", "object_point": [1, 2], "seed": 9}]
    path.write_text("\ufeff" + "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    first, second = read_jobs(path, 4, Fitting())
    assert (first.id, first.line, first.seed, first.scene.prompt) == ("job-00000", 1, 4, prompt)
    assert first.scene.image == tmp_path / "a.png"
    assert (second.id, second.line, second.seed) == ("job-00001", 2, 9)
    assert second.scene.image == Path("/b.png")
    assert second.scene.object_point == "1,2"
    assert first.fitting == second.fitting == Fitting()
    fits = [{}, {"fit": "pad"}, {"fit_scale": 2}]
    path.write_text("\n".join(json.dumps({"image": "a.png", **fit}) for fit in fits))
    found = [job.fitting for job in read_jobs(path, 4, Fitting("centre", 1.2))]
    assert found == [Fitting("centre", 1.2), Fitting("pad"), Fitting("centre", 2)]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="save it as UTF-8 text"):
        read_jobs(path, 4, Fitting())


def test_samples_may_be_computed_in_batches(desk: Path) -> None:
    scene = ["--image", "scenes/image.png", "--object-mask", "scenes/object.png", "--prompt", PROMPT]
    common = ["--model", "model", "--threads", "1", "--steps", "2", "--samples", "3", "--out"]
    assert main(["generate", *scene, *common, "alone"]) == 0
    assert main(["generate", *scene, *common, "together", "--batch-size", "2"]) == 0
    for name in ("sample-000", "sample-001", "sample-002"):
        labels = [load_trajectory(Path(out, name, "trajectory")).labels for out in ("alone", "together")]
        assert (labels[0] == labels[1]).mean() > 0.999


def test_the_solver_is_recorded(desk: Path) -> None:
    scene = ["--image", "scenes/image.png", "--object-mask", "scenes/object.png", "--prompt", PROMPT]
    common = ["--model", "model", "--threads", "1", "--steps", "3", "--out"]
    results = {}
    for name in ("ddim", "dpmsolver++"):
        assert main(["trajectory", *scene, *common, name, "--sampler", name]) == 0
        assert json.loads(Path(name, "manifest.json").read_text())["settings"]["sampler"] == name
        results[name] = load_trajectory(Path(name, "trajectory")).labels
    assert not np.array_equal(results["ddim"], results["dpmsolver++"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_jobs_on_a_gpu(desk: Path) -> None:
    write({**BOTH, "id": "a"}, {**BOTH, "id": "b"}, {**TARGET, "id": "c"})
    assert run("--device", "cuda", "--batch-size", "2") == 0
    assert sorted(times()) == ["a", "b", "c"]
