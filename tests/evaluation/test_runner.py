"""The command end to end, on the tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import Label, Trajectory
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.evaluation.report import markdown
from mask2iv.evaluation.runner import EvaluationConfig, evaluate
from mask2iv.stages.pipeline import Mask2IVPipeline

SOURCES = {"model": "tiny", "model_sha256": "0" * 64, "data": "clips", "data_index_sha256": "1" * 64}


@pytest.fixture(scope="module")
def told_clips(tiny_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny clips, with the direction of their captions noted as simulated clips note it."""
    clips = ClipSet(tiny_clips)
    folder = tmp_path_factory.mktemp("told") / "clips"
    with ClipSetWriter(folder, clips.size, clips.num_frames, clips.fps, {}) as writer:
        for clip in clips:
            writer.add(replace(clip, metadata={"direction": clip.caption.split()[-1]}))
    return folder


@pytest.fixture(scope="module")
def results(told_clips: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluation") / "results"
    assert main(["evaluate", *_flags(told_clips, tiny_model, out)]) == 0
    return out


def _flags(clips: Path, model: Path, out: Path, *more: str) -> list[str]:
    flags = ["--data", str(clips), "--model", str(model), "--out", str(out), "--limit", "3", "--steps", "1"]
    return [*flags, "--threads", "1", "--device", "cpu", *more]


def test_metrics_state_figures_and_protocol(results: Path) -> None:
    found = json.loads((results / "metrics.json").read_text())
    protocol = found["protocol"]
    assert (protocol["clips"], protocol["num_inference_steps"], protocol["seed"]) == (3, 1, 0)
    assert len(protocol["model_sha256"]) == len(protocol["data_index_sha256"]) == 64
    assert found["trajectory"]["true trajectories"]["final_distance_mean"]["value"] == 0
    assert found["trajectory"]["object slides, no actor"]["actor_miou"]["value"] == 0
    for name in ("position", "position and text", "text"):
        assert 0 <= found["trajectory"][name]["object_miou"]["value"] <= 1
    assert found["way"]["all four directions"]["right"]["true trajectories"] == {
        "value": 1.0,
        "low": 1.0,
        "high": 1.0,
        "clips": 3,
    }
    assert found["way"]["left"]["right"]["object stays, no actor"]["value"] == 0
    psnr = {name: found["video"][name]["psnr"]["value"] for name in ("model", "still", "gain")}
    assert psnr["gain"] == pytest.approx(psnr["model"] - psnr["still"])
    assert psnr["still"] > found["video"]["still"]["psnr_changed"]["value"]


def test_every_clip_has_a_line_and_a_filmstrip(results: Path) -> None:
    rows = [json.loads(line) for line in (results / "per_clip.jsonl").read_text().splitlines()]
    assert [row["clip_id"] for row in rows] == ["clip-0", "clip-1", "clip-2"]
    assert rows[1]["way"]["group"] == "right"
    assert sorted(path.name for path in (results / "filmstrips").iterdir()) == [f"clip-{i}.png" for i in range(3)]


def test_the_table_can_be_pasted(results: Path) -> None:
    text = markdown(json.loads((results / "metrics.json").read_text()))
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| true trajectories | 0.0 (0.0 to 0.0) |" in text
    assert "| left | 2 | " in text


def test_an_interrupted_evaluation_goes_on_to_the_same_figures(
    results: Path, told_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    out.mkdir()
    (out / "protocol.json").write_bytes((results / "protocol.json").read_bytes())
    first = (results / "per_clip.jsonl").read_text().splitlines()[0]
    (out / "per_clip.jsonl").write_text(first + "\n")
    assert main(["evaluate", *_flags(told_clips, tiny_model, out)]) == 0
    assert (out / "per_clip.jsonl").read_text().splitlines()[0] == first
    assert not (out / "filmstrips" / "clip-0.png").exists()
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (results, out))
    for key in ("protocol", "trajectory", "way", "video"):
        assert one[key] == other[key]


def test_another_protocol_needs_another_folder(
    results: Path, told_clips: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (results / "metrics.json").read_bytes()
    assert main(["evaluate", *_flags(told_clips, tiny_model, results, "--seed", "1")]) == 2
    assert "differs in seed" in capsys.readouterr().err
    assert (results / "metrics.json").read_bytes() == before


def test_a_filled_folder_is_left_alone(
    told_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["evaluate", *_flags(told_clips, tiny_model, tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_one_stage_alone_and_no_clip_with_a_way(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    clips = ClipSet(tiny_clips)[:1]
    video = evaluate(pipeline, clips, EvaluationConfig("video", 1, filmstrips=0), tmp_path / "video", SOURCES)
    assert set(video) == {"protocol", "seconds", "video"}
    assert not (tmp_path / "video" / "filmstrips").exists()
    both = evaluate(pipeline, clips, EvaluationConfig("trajectory", 1), tmp_path / "trajectory", SOURCES)
    assert set(both) == {"protocol", "seconds", "trajectory", "way"}
    assert both["way"] == {}
    assert "caption says" not in markdown(both)


def test_a_missing_stage_is_named_before_writing(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    pipeline.video_stage = None
    with pytest.raises(InputError, match="no video stage"):
        evaluate(pipeline, ClipSet(tiny_clips), EvaluationConfig(), tmp_path / "out", SOURCES)
    assert not (tmp_path / "out").exists()


def test_clips_are_brought_to_the_models_size_and_must_show_the_object(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    clip = ClipSet(tiny_clips)[0]
    video, labels = (np.repeat(np.repeat(a, 2, axis=1), 2, axis=2) for a in (clip.video, clip.trajectory.labels))
    larger = replace(clip, video=video, trajectory=Trajectory(labels, 8.0))
    result = evaluate(pipeline, [larger], EvaluationConfig("video", 1), tmp_path / "larger", SOURCES)
    assert result["video"]["model"]["psnr"]["clips"] == 1
    gone = labels.copy()
    gone[-1][gone[-1] == Label.OBJECT] = 0
    lost = replace(larger, trajectory=Trajectory(gone, 8.0))
    with pytest.raises(InputError, match="clip clip-0: its object is not visible in the last frame"):
        evaluate(pipeline, [lost], EvaluationConfig(steps=1), tmp_path / "lost", SOURCES)


@pytest.mark.parametrize("flag", ["--limit", "--steps"])
def test_numbers_below_one_are_refused(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "out"), flag, "0"]
    assert main(flags) == 2
    assert f"{flag} must be at least 1" in capsys.readouterr().err
