"""Tables of several runs, with paired differences; runs that cannot be compared are refused."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import Trajectory
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.metrics import Figure
from mask2iv.evaluation.per_clip.catalogue import MEASURES
from mask2iv.evaluation.runs.compare import _is_clear, compare, read_evaluation, table
from mask2iv.media.videos import write_video


@pytest.fixture(scope="module")
def runs(tiny_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two foreign systems: one blurs the true videos a little, the other repeats the first frame."""
    root = tmp_path_factory.mktemp("compare")
    for name in ("near", "still_100%"):
        for clip in ClipSet(tiny_clips):
            video = clip.video if name == "near" else np.repeat(clip.video[:1], 4, axis=0)
            write_video(root / "videos" / name / f"{clip.clip_id}.mp4", video, 8.0, crf=20, pixel_format="yuv444p")
        flags = ["--predictions", str(root / "videos" / name), "--data", str(tiny_clips), "--out", str(root / name)]
        assert main(["evaluate", *flags, "--metrics", "psnr,ssim,interaction", "--device", "cpu"]) == 0
    return [root / "near", root / "still_100%"]


def test_figures_and_paired_differences(runs: list[Path]) -> None:
    found = compare([read_evaluation(path) for path in runs])
    near, still = found.figures["near"]["psnr"], found.figures["still_100%"]["psnr"]
    difference = found.differences["still_100%"]["psnr"]
    assert near.value is not None
    assert still.value is not None
    assert difference.value == pytest.approx(still.value - near.value)
    assert difference.high is not None
    assert difference.high < 0, "every clip is worse"
    assert found.clips == difference.clips == 6
    metrics = json.loads((runs[0] / "metrics.json").read_text())
    assert metrics["predictions"]["model"]["psnr"]["value"] == near.value


def test_markdown_marks_the_best_and_what_is_clear(runs: list[Path]) -> None:
    text = table(compare([read_evaluation(path) for path in runs], ["psnr", "ssim"]))
    first, second, difference = (line for line in text.splitlines() if line.startswith(("| near", "| still")))
    assert first.count("**") == 4
    assert "**" not in second
    assert difference.count("**") == 4
    assert "PSNR (dB) ↑" in text


def test_the_command_writes_latex_and_csv(runs: list[Path], tmp_path: Path) -> None:
    paths = [str(path) for path in runs]
    assert main(["compare", *paths, "--format", "latex", "--references", "--out", str(tmp_path / "table.tex")]) == 0
    text = (tmp_path / "table.tex").read_text()
    assert r"still\_100\%" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert "first frame repeated" in text
    assert main(["compare", *paths, "--format", "csv", "--out", str(tmp_path / "table.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert {row["kind"] for row in rows} == {"figure", "difference"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows if row["value"])


def test_distances_between_sets_are_compared_and_an_interrupted_run_keeps_its_features(
    tiny_clips: Path, tmp_path: Path
) -> None:
    clips = ClipSet(tiny_clips)
    with ClipSetWriter(tmp_path / "long", clips.size, 8, clips.fps, clips.info["provenance"]) as writer:
        for clip in clips:
            slow = Trajectory(np.repeat(clip.trajectory.labels, 2, axis=0), clips.fps)
            writer.add(replace(clip, video=np.repeat(clip.video, 2, axis=0), trajectory=slow, contact=None))
    flags = ["--data", str(tmp_path / "long"), "--metrics", "psnr,fvd-sim", "--device", "cpu"]
    for name in ("near", "still"):
        for clip in ClipSet(tmp_path / "long"):
            video = clip.video if name == "near" else np.repeat(clip.video[:1], 8, axis=0)
            write_video(tmp_path / "videos" / name / f"{clip.clip_id}.mp4", video, 8.0, crf=20, pixel_format="yuv444p")
        theirs = ["--predictions", str(tmp_path / "videos" / name), "--out", str(tmp_path / name)]
        assert main(["evaluate", *flags, *theirs]) == 0
    found = compare([read_evaluation(tmp_path / name) for name in ("near", "still")], references=True)
    near, still = (found.figures[name]["fvd-sim"].value for name in ("near", "still"))
    assert near is not None
    assert still is not None
    assert near < still == pytest.approx(found.figures["first frame repeated"]["fvd-sim"].value, rel=0.2)
    assert found.differences["still"]["fvd-sim"].value == pytest.approx(still - near)
    # As if it had been stopped after four clips.
    before = json.loads((tmp_path / "near" / "metrics.json").read_text())["distribution"]
    journal = tmp_path / "near" / "per_clip.jsonl"
    journal.write_text("".join(line + "\n" for line in journal.read_text().splitlines()[:4]))
    (tmp_path / "near" / "metrics.json").unlink()
    theirs = ["--predictions", str(tmp_path / "videos" / "near"), "--out", str(tmp_path / "near")]
    assert main(["evaluate", *flags, *theirs]) == 0
    assert json.loads((tmp_path / "near" / "metrics.json").read_text())["distribution"] == before


def test_another_protocol_is_refused_by_name(
    runs: list[Path], tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = runs[0].parent / "videos" / "near"
    flags = ["--predictions", str(videos), "--data", str(tiny_clips), "--out", str(tmp_path / "few"), "--limit", "4"]
    assert main(["evaluate", *flags, "--metrics", "psnr", "--device", "cpu"]) == 0
    both = [str(runs[0]), str(tmp_path / "few")]
    assert main(["compare", *both]) == 2
    assert "near and few differ in clip_ids_sha256" in capsys.readouterr().err
    assert main(["compare", *both, "--allow-differences"]) == 0
    shown = capsys.readouterr().out
    assert "4 clips" in shown
    assert main(["compare", *both, "--allow-differences", "--format", "csv"]) == 0
    assert "not under one protocol: near and few differ in clip_ids" in capsys.readouterr().out
    assert "Not under one protocol: near and few differ in clip" in shown


def test_runs_must_be_finished_and_named_apart(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished evaluation"):
        read_evaluation(tmp_path)
    with pytest.raises(InputError, match="different names"):
        compare([read_evaluation(runs[0]), read_evaluation(runs[0])])
    with pytest.raises(InputError, match="'lpips' is not measured"):
        compare([read_evaluation(runs[0])], ["lpips"])


@pytest.fixture(scope="module")
def models(tiny_clips: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two default evaluations: stage 1 under each condition, and stage 2."""
    root = tmp_path_factory.mktemp("models")
    flags = ["--data", str(tiny_clips), "--model", str(tiny_model), "--metrics", "psnr,ssim", "--device", "cpu"]
    for name, steps in (("one", "1"), ("two", "2")):
        assert main(["evaluate", *flags, "--steps", steps, "--limit", "2", "--out", str(root / name)]) == 0
    return [root / "one", root / "two"]


def test_like_is_compared_with_like(models: list[Path]) -> None:
    found = compare([read_evaluation(path) for path in models])
    assert found.bases == {f"two: {system}": f"one: {system}" for system in (
        "stage 1 from position", "stage 1 from position and text", "stage 1 from text", "stage 2, true trajectories"
    )}  # fmt: skip
    names = list(found.entries)
    assert names[0::2] == [name.replace("two", "one") for name in names[1::2]], "one system's lines stand together"
    own, base = (found.figures[f"{run}: stage 2, true trajectories"]["psnr"].value for run in ("two", "one"))
    assert own is not None
    assert base is not None
    assert found.differences["two: stage 2, true trajectories"]["psnr"].value == pytest.approx(own - base)


def test_stages_have_tables_of_their_own(models: list[Path]) -> None:
    text = table(compare([read_evaluation(path) for path in models]))
    heads = [line for line in text.splitlines() if line.startswith(("| system", "| difference"))]
    assert len(heads) == 4
    for head in heads:
        titles = head.strip("| ").split(" | ")
        assert len(set(titles)) == len(titles) > 1
    chosen = table(compare([read_evaluation(path) for path in models], ["psnr", "ssim"]))
    heads = [line for line in chosen.splitlines() if line.startswith(("| system", "| difference"))]
    assert [head.count("PSNR") for head in heads] == [1, 1], "stage 1 has neither measure"


def test_what_is_written_as_zero_is_not_bold(models: list[Path]) -> None:
    text = table(compare([replace(read_evaluation(models[0]), name=name) for name in ("a", "b")]))
    assert "0.00 (0.00 to 0.00)" in text
    assert "**0.00** (0.00 to 0.00)" not in text
    tiny, measure = Figure(1e-5, 1e-6, 1e-4, 2), MEASURES["psnr"]
    assert not _is_clear(tiny, measure)
    assert _is_clear(Figure(0.5, 0.1, 0.9, 2), measure)


def test_an_evaluation_ends_with_its_main_figures(
    models: list[Path], tiny_clips: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(tiny_clips), "--model", str(tiny_model), "--metrics", "psnr,ssim", "--device", "cpu"]
    assert main(["evaluate", *flags, "--steps", "1", "--limit", "2", "--out", str(models[0])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("stage 1 from position: final distance, mean (%) ")
    assert lines[4].startswith("stage 2, true trajectories: PSNR (dB) ")
    assert str(models[0] / "report.html") in lines[-1]
    assert "### Stage 1" in (models[0] / "report.md").read_text()
