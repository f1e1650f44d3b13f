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
from mask2iv.evaluation.runs.compare import compare, read_run, table
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
    found = compare([read_run(path) for path in runs])
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
    text = table(compare([read_run(path) for path in runs], ["psnr", "ssim"]))
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
    found = compare([read_run(tmp_path / name) for name in ("near", "still")], references=True)
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
        read_run(tmp_path)
    with pytest.raises(InputError, match="different names"):
        compare([read_run(runs[0]), read_run(runs[0])])
    with pytest.raises(InputError, match="'lpips' is not measured"):
        compare([read_run(runs[0])], ["lpips"])
