"""The command end to end, on the tiny model."""

import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from mask2iv.cli import main
from mask2iv.contract import Label, Trajectory
from mask2iv.data.splits import open_split
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.fidelity import GRADIENTS
from mask2iv.evaluation.measures.metrics import psnr
from mask2iv.evaluation.networks.features import QUESTIONS
from mask2iv.evaluation.per_clip.measure import Measurer
from mask2iv.evaluation.per_clip.outputs import Outputs, clip_generator
from mask2iv.evaluation.per_clip.rows import Ranking, clip_row, ranking
from mask2iv.evaluation.reports.report import markdown
from mask2iv.evaluation.reports.summary import summarise
from mask2iv.evaluation.runs.journal import Journal
from mask2iv.evaluation.runs.runner import EvaluationConfig, evaluate
from mask2iv.pipelines.pipeline import Mask2IVPipeline

SOURCES = {"model": "tiny", "model_sha256": "0" * 64, "data": "clips", "data_index_sha256": "1" * 64}


@pytest.fixture(scope="module")
def told_clips(tiny_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny clips, with the direction of their captions noted as simulated clips note it."""
    clips = ClipSet(tiny_clips)
    folder = tmp_path_factory.mktemp("told") / "clips"
    with ClipSetWriter(folder, clips.size, clips.num_frames, clips.fps, clips.info["provenance"]) as writer:
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
    assert found["trajectory"]["true trajectories"]["object_miou"]["value"] == 1
    for name in ("position", "position and text", "text"):
        assert found["trajectory"][name]["object_miou"]["clips"] == 3
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
    pasted = found["video"]["pasted"]["psnr_object"]["value"]
    assert pasted > found["video"]["still"]["psnr_object"]["value"], "it is where the object is"
    gain = found["video"]["gain_over_pasted"]["psnr_object"]["value"]
    assert gain == pytest.approx(found["video"]["model"]["psnr_object"]["value"] - pasted)
    assert {name: set(figures) for name, figures in found["fidelity"].items()} == {
        "video": {*GRADIENTS, "actor_flicker"},
        "still": {*GRADIENTS, "actor_flicker"},
        "pasted": {*GRADIENTS, "actor_flicker"},
        "true": {"actor_flicker"},
    }
    assert found["fidelity"]["still"]["actor_flicker"]["value"] == 0
    assert found["trajectory"]["true trajectories"]["actor_components_ratio"]["value"] == 1
    assert found["trajectory"]["object stays, no actor"]["actor_components"]["value"] is None


def test_every_clip_has_a_line_and_a_filmstrip(results: Path) -> None:
    rows = [json.loads(line) for line in (results / "per_clip.jsonl").read_text().splitlines()]
    assert [row["clip_id"] for row in rows] == ["clip-0", "clip-1", "clip-2"]
    assert rows[1]["way"]["group"] == "right"
    assert sorted(path.name for path in (results / "filmstrips").iterdir()) == [f"clip-{i}.png" for i in range(3)]


def test_the_table_can_be_pasted(results: Path) -> None:
    text = markdown(json.loads((results / "metrics.json").read_text()))
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 6
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
    for key in ("protocol", "trajectory", "way", "video", "fidelity"):
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
    video = evaluate(pipeline, clips, EvaluationConfig("video", 1, filmstrips=0, keep=0), tmp_path / "video", SOURCES)
    assert set(video) == {"protocol", "seconds", "video", "fidelity", "breakdown", "best", "worst"}
    assert not (tmp_path / "video" / "filmstrips").exists()
    both = evaluate(pipeline, clips, EvaluationConfig("trajectory", 1), tmp_path / "trajectory", SOURCES)
    assert set(both) == {"protocol", "seconds", "trajectory", "way", "breakdown", "best", "worst"}
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


def test_end_to_end_renders_what_stage_1_predicts(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    clips, settings = ClipSet(tiny_clips).subset(0, 2), EvaluationConfig("end-to-end", 1, condition="position")
    measurer = Measurer.load(("psnr", "interaction"))
    found = evaluate(pipeline, clips, settings, tmp_path / "out", SOURCES, measurer)
    assert found["protocol"]["condition"] == "position"
    assert set(found["interaction"]) == {"end_to_end", "true", "still", "pasted"}
    assert found["interaction"]["true"]["vanished"]["value"] == 0
    assert set(found["trajectory"]) >= {"position", "true trajectories"}
    assert "text" not in found["trajectory"]
    # The same, by hand, of the same seeds.
    clip = clips[0]
    actor = clip.trajectory.actor[0]
    [trajectory] = pipeline.trajectory(
        clip.image, clip.object_mask, None, clip.target_mask, actor if actor.any() else None,
        num_inference_steps=1, generator=[clip_generator(0, "clip-0")], progress=False,
    )  # fmt: skip
    [video] = pipeline.render(
        clip.image, trajectory, num_inference_steps=1, generator=[clip_generator(0, "clip-0")], progress=False
    )
    rows = [json.loads(line) for line in (tmp_path / "out" / "per_clip.jsonl").read_text().splitlines()]
    assert rows[0]["end_to_end"]["psnr"] == psnr(video, clip.video)


def test_batches_agree_and_seeds_are_averaged(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    clips = ClipSet(tiny_clips)[:3]

    def run(name: str, **settings: int) -> dict[str, Any]:
        made = EvaluationConfig("both", 1, filmstrips=0, keep=1, **settings)
        return evaluate(pipeline, clips, made, tmp_path / name, SOURCES)

    alone, second, both = run("alone"), run("second", seed=1), run("both", seeds=2, batch_size=2)
    for key in ("psnr", "ssim"):
        means = [found["video"]["model"][key]["value"] for found in (alone, second, both)]
        assert means[2] == pytest.approx((means[0] + means[1]) / 2, abs=1e-3)
    assert both["trajectory"]["text"]["diversity"]["value"] > 0, "two seeds give two trajectories"
    assert "diversity" not in alone["trajectory"]["text"]
    assert len(list((tmp_path / "both" / "filmstrips").iterdir())) == 2, "the best and the worst"


def test_one_page_holds_everything(results: Path) -> None:
    page = (results / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert page.count("data:image/jpeg;base64,") == 6, "three best and three worst"
    fetched = re.findall(r"(?:src|href)=.(?!data:)", page)
    assert not fetched, "all is in the page"
    assert "its weights are not given" in page
    assert "it takes clips of 8 frames or more, and these have 4" in page


def test_the_table_has_a_column_per_measure(results: Path) -> None:
    table = pyarrow.parquet.read_table(results / "per_clip.parquet").to_pylist()
    rows = [json.loads(line) for line in (results / "per_clip.jsonl").read_text().splitlines()]
    assert [row["clip_id"] for row in table] == ["clip-0", "clip-1", "clip-2"]
    assert table[1]["video/psnr"] == rows[1]["video"]["psnr"]
    assert table[2]["stage 1 from text/object_iou"] == rows[2]["trajectory"]["text"]["object_iou"]


def test_a_split_is_a_folder_or_a_note_in_the_metadata(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = ClipSet(tiny_clips)
    for name in ("train", "test"):
        with ClipSetWriter(tmp_path / "root" / name, clips.size, clips.num_frames, clips.fps, {}) as writer:
            writer.add(clips[0] if name == "train" else clips[1])
    assert open_split(tmp_path / "root", "test").ids == ["clip-1"]
    with pytest.raises(InputError, match="has test, train"):
        open_split(tmp_path / "root", "validation")
    with ClipSetWriter(tmp_path / "noted", clips.size, clips.num_frames, clips.fps, {}) as writer:
        for index in range(4):
            writer.add(replace(clips[index], metadata={"split": "test" if index % 2 else "train"}))
    assert open_split(tmp_path / "noted", "test").ids == ["clip-1", "clip-3"]
    assert main(["evaluate", "--data", str(tiny_clips), "--split", "test", "--out", str(tmp_path / "o")]) == 2
    assert "has no splits" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--limit", "--steps"])
def test_numbers_below_one_are_refused(
    flag: str, tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["evaluate", "--data", str(tiny_clips), "--out", str(tmp_path / "out"), flag, "0"]
    assert main(flags) == 2
    assert f"{flag}: must be at least 1" in capsys.readouterr().err


def test_references_are_measured_once_per_clip_and_never_taken_for_another_ones(tiny_clips: Path) -> None:
    one, other = list(ClipSet(tiny_clips))[:2]
    measurer = Measurer.load(("psnr",))
    found = measurer.references(one)
    assert measurer.references(replace(one, clip_id="the-same")) is found
    assert measurer.references(replace(one, caption="another caption")) is not found, "T2V depends on it"
    # The same clip at another size or length goes by the same name.
    namesake = measurer.references(replace(other, clip_id=one.clip_id))
    assert namesake == Measurer.load(("psnr",)).references(other) != found


def test_masks_of_real_videos_are_not_found_by_the_simulators_rules(tiny_clips: Path, tmp_path: Path) -> None:
    """Without SAM 2 the scorecard of videos is reported as missing; that of trajectories stays."""
    clips = ClipSet(tiny_clips)
    with ClipSetWriter(tmp_path / "real", clips.size, 8, clips.fps, {"generator": "mask2iv clips"}) as writer:
        for clip in clips[:2]:
            labels = np.repeat(clip.trajectory.labels, 2, axis=0)
            writer.add(
                replace(
                    clip, video=np.repeat(clip.video, 2, axis=0), trajectory=Trajectory(labels, clips.fps), contact=None
                )
            )
    real = ClipSet(tmp_path / "real")
    assert clips.simulated
    assert not real.simulated
    measurer = Measurer.load(("psnr", "fvd-sim", "interaction"))
    measurer.fit(8, real.simulated)
    assert measurer.chosen == ("psnr", "interaction")
    assert "hf download facebook/sam2.1-hiera-large" in measurer.missing["interaction (of videos)"]
    assert "knows simulated clips only" in measurer.missing["fvd-sim"]
    assert measurer.protocol()["masks_found_by"] == "nothing"
    assert measurer.interaction(real[0], real[0].video, real[0].trajectory) == {}


def test_a_video_is_scored_from_the_true_first_frame_though_its_own_trajectory_lacks_the_object(
    tiny_clips: Path,
) -> None:
    clip = ClipSet(tiny_clips)[0]
    predicted = clip.trajectory.labels.copy()
    predicted[0][predicted[0] == Label.OBJECT] = Label.BACKGROUND
    measurer = Measurer.load(("interaction",))
    asked, lost = (
        measurer.interaction(clip, clip.video, Trajectory(labels, 8.0))
        for labels in (clip.trajectory.labels, predicted)
    )
    assert asked["target_error"] == lost["target_error"] < 0.05
    assert asked["size_kept"] == lost["size_kept"]


def test_what_the_network_recognises_is_reported_as_a_share_of_the_true_videos(tiny_clips: Path) -> None:
    """It recognises one of two clips; what it has no class for does not count."""
    measurer, clip = Measurer.load(("psnr", "fvd-sim")), ClipSet(tiny_clips)[0]
    assert measurer.sim is not None
    labels, video = (np.repeat(of, 2, axis=0) for of in (clip.trajectory.labels, clip.video))
    clip = replace(clip, video=video, trajectory=Trajectory(labels, 8.0), contact=None, object_name="unheard of")
    [said] = measurer.sim.recognised(measurer.features(video)["fvd-sim"])["verb"]
    rows = []
    for verb in (said, next(verb for verb in measurer.sim.config.verb if verb != said)):
        clip = replace(clip, verb=verb)
        outputs = Outputs(videos={"predictions": [(clip.video, clip.trajectory)]}, seconds={})
        rows.append(clip_row(measurer, clip, outputs)[0])
    assert rows[0]["predictions"]["recognised_verb"] == 1.0
    assert rows[1]["predictions"]["recognised_verb"] == 0.0
    found = summarise(rows)["recognised"]
    assert set(found) == {"predictions", "still", "pasted", "true"}
    verb = found["predictions"]["verb"]
    assert (verb["right"], verb["true_right"], verb["clips"], verb["share"]["value"]) == (1, 1, 2, 1.0)
    unknown = found["predictions"]["object_name"]
    assert (unknown["true_right"], unknown["clips"], unknown["share"]["value"]) == (0, 0, None)
    assert set(found["still"]) == set(QUESTIONS)


def test_an_evaluation_without_these_measures_is_not_resumed(
    results: Path, told_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows lack them, so its protocol differs."""
    protocol = json.loads((results / "protocol.json").read_text())
    del protocol["definitions"]["moved_share"]
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    assert main(["evaluate", *_flags(told_clips, tiny_model, tmp_path)]) == 2
    assert "differs in definitions" in capsys.readouterr().err


def test_two_models_stand_beside_trivial_answers_and_the_truth(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "quality" / "results.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--before", str(results), "--after", str(results)])
    runpy.run_path(str(script), run_name="__main__")
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert {len(line) for line in lines[2:]} == {6}
    shown = {line[0]: line[1:] for line in lines[2:]}
    before, after, still, pasted, true = shown["video: flicker of the actor (levels)"]
    assert before == after
    assert still == "0.00 (0.00 to 0.00)"
    assert "-" not in (pasted, true)
    assert shown["target: object mIoU"][-1] == "1.000 (1.000 to 1.000)"
    assert not any(line.startswith("end to end") for line in shown), "it was not evaluated"


def test_without_a_measure_of_single_videos_none_is_best_or_worst() -> None:
    assert ranking(["video"], [], ("fvd", "fid")).better == 0
    lpips = ranking(["video"], [], ("fvd", "lpips"))
    assert lpips({"video": {"lpips": 0.1}}) > lpips({"video": {"lpips": 0.2}})
    assert lpips.name == "video/lpips"


def test_an_evaluation_of_stage_1_alone_has_no_distances_between_videos(results: Path, tmp_path: Path) -> None:
    """Though FVD-sim is among the default metrics."""
    rows = [json.loads(line) for line in (results / "per_clip.jsonl").read_text().splitlines()]
    journal = Journal(tmp_path / "out", {}, Ranking("stage 1 from text/object_iou"), 0, 0)
    for row in rows:
        journal.add({name: row[name] for name in ("clip_id", "caption", "trajectory")}, {}, [])
    assert journal.distributions(("fvd-sim",)) == {}


def test_flags_of_no_use_are_refused(tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["evaluate", "--data", str(tiny_clips), "--out", str(tmp_path / "out")]
    assert main([*base, "--condition", "text"]) == 2
    assert "--condition: is for both stages end to end" in capsys.readouterr().err
    for flags in (["--stage", "video"], ["--seed", "3"], ["--seeds", "2"]):
        assert main([*base, "--predictions", str(tmp_path), *flags]) == 2
        assert f"{flags[0]}: is of no use with --predictions" in capsys.readouterr().err
