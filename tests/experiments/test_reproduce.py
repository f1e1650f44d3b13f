"""Both tables at tiny scale, from training to Markdown; then what the trained systems depend on."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.cli import main
from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.data.shards import write_shards
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.pipelines.components import load_component
from mask2iv.pipelines.folder import read_index
from mask2iv.pipelines.pipeline import Mask2IVPipeline

METRICS = "psnr,ssim,lpips,v2v,interaction"
SEEN = {"generator": [3], "progress": False}


def reproduce(table: str, data: Path, base: Path, out: Path, *flags: str) -> int:
    shared = ["--scale", "tiny", "--data", str(data), "--base", str(base), "--out", str(out), "--threads", "1"]
    return main(["reproduce", table, *shared, "--steps", "2", "--sampling-steps", "1", "--metrics", METRICS, *flags])


@pytest.fixture(scope="module")
def made(tiny_clips: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tables, of each variant one row or more."""
    out = tmp_path_factory.mktemp("reproduce") / "out"
    other = ("--data-other", str(tiny_clips))
    assert reproduce("table-systems", tiny_clips, tiny_model, out, *other) == 0
    ablation = ("actor-concat", "text-only", "joint-both", "position-only")
    assert reproduce("table-ablation", tiny_clips, tiny_model, out, "--rows", *ablation) == 0
    return out


def test_the_table_of_systems_has_a_figure_and_a_record_for_each_row(made: Path) -> None:
    table = json.loads((made / "table-systems.json").read_text())
    names = [row["row"] for row in table["rows"]]
    assert names == [
        "dynamicrafter-zero-shot", "dynamicrafter", "coshand", "interdyn", "mask2iv-text", "mask2iv", "mask2iv-true",
        "still", "pasted", "true",
    ]  # fmt: skip
    for row in table["rows"]:
        assert all(
            figure["low"] <= figure["value"] <= figure["high"]
            for figure in row["own"].values()
            if figure["value"] is not None
        )
    provenance = table["provenance"]
    assert set(provenance["trained"]) == {
        "dynamicrafter-foreign", "dynamicrafter", "coshand", "interdyn", "joint", "mask2iv",
    }  # fmt: skip
    for name, record in provenance["trained"].items():
        component = "trajectory" if record["config"]["name"] == "tiny:joint" else "video"
        assert record["config"][component]["training"]["max_steps"] == 2
        assert len(record["weights_sha256"]) == 64
        log = (made / "models" / name / "training" / component / "log.jsonl").read_text().splitlines()
        seconds = max(json.loads(line).get("seconds", 0.0) for line in log)
        assert record["hours"] == pytest.approx(seconds / 3600, abs=1e-4), "none was interrupted"
    assert provenance["settings"]["base_sha256"]
    assert provenance["hardware"]["threads"] == 1
    text = (made / "table-systems.md").read_text()
    assert text.count("\n| ") == (10 + 2) + (6 + 2), "figures, then differences from Mask2IV along true masks"
    assert "| first frame repeated | - |" in text
    assert "| pasted object, no actor | - |" in text
    assert "Every network: recipe tiny, 2 steps of 2 clips" in text
    lines = list(csv.DictReader((made / "table-systems.csv").read_text().splitlines()))
    assert {line["row"] for line in lines} == set(names)
    psnr = {
        line["kind"]: float(line["value"]) for line in lines if (line["row"], line["measure"]) == ("coshand", "psnr")
    }
    assert psnr["figure"] == table["rows"][2]["own"]["psnr"]["value"]
    assert psnr["difference"] == table["rows"][2]["less_reference"]["psnr"]["value"]
    assert {"psnr", "ssim", "lpips", "target_error", "object_miou"} <= set(table["rows"][2]["own"])
    assert not {"object_miou", "background_psnr"} & set(table["rows"][5]["own"]), "its trajectory is its own"
    assert "v2v" in provenance["not_measured"]
    *others, upper_bound, still, pasted, _ = table["rows"]
    psnr = [row["own"]["psnr"]["value"] for row in others]
    less = [row["less_reference"]["psnr"]["value"] for row in others]
    assert less == pytest.approx([value - upper_bound["own"]["psnr"]["value"] for value in psnr])
    assert not upper_bound["less_reference"] | still["less_reference"]
    assert still["own"]["target_error"]["value"] > pasted["own"]["target_error"]["value"]
    assert pasted["own"]["psnr_object"]["value"] > still["own"]["psnr_object"]["value"]


def test_rows_that_were_not_run_say_so_and_rows_of_both_tables_are_run_once(made: Path) -> None:
    text = (made / "table-ablation.md").read_text()
    assert "| + object mask | true actor and object masks | not run |" in text
    assert all(f"| both in one model | {given} | not run" not in text for given in ("text", "target", "text, target"))
    assert "### Trajectories (stage 1)" in text
    rows = {row["row"]: row for row in json.loads((made / "table-ablation.json").read_text())["rows"]}
    systems = {row["row"]: row for row in json.loads((made / "table-systems.json").read_text())["rows"]}
    assert rows["interdyn"]["own"]["psnr"] == systems["interdyn"]["own"]["psnr"], "shown since it was run before"
    assert rows["mask2iv-true"]["own"]["psnr"] == systems["mask2iv-true"]["own"]["psnr"]
    assert rows["both-concat"]["own"] is None
    for name, joint in (("text-only", "joint-text"), ("position-only", "joint-position")):
        own, base = (rows[row]["own"]["object_iou"]["value"] for row in (name, joint))
        assert rows[name]["less_reference"]["object_iou"]["value"] == pytest.approx(own - base)
        assert not rows[joint]["less_reference"], "the joint model is what models of stage 1 are compared with"
    assert "Less the joint model asked in the same way, paired by clip:" in text
    assert "| object stays, no actor | - |" in text
    assert rows["object slides, no actor"]["own"]["final_distance"]["value"] < 0.05
    assert not (made / "models" / "both-concat").exists()


def test_a_second_call_trains_nothing_and_an_interrupted_row_goes_on_from_its_checkpoint(
    made: Path, tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    run = out / "models" / "coshand" / "training" / "video"
    before = (out / "models" / "coshand" / "video_unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    untouched = (out / "models" / "interdyn" / "training" / "video" / "manifest.json").stat().st_mtime_ns
    # As if it had been stopped after the last checkpoint.
    (run / "manifest.json").unlink()
    shutil.rmtree(out / "models" / "coshand" / "video_unet")
    shutil.rmtree(out / "evaluations" / "coshand")
    text = (out / "table-systems.md").read_text()
    capsys.readouterr()
    other = ("--data-other", str(tiny_clips))
    assert reproduce("table-systems", tiny_clips, tiny_model, out, *other) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if ": training" in line] == [
        "coshand: training video"
    ]
    assert (out / "models" / "coshand" / "video_unet" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    assert (out / "models" / "interdyn" / "training" / "video" / "manifest.json").stat().st_mtime_ns == untouched
    assert (out / "table-systems.md").read_text() == text


def test_all_rows_can_start_from_one_image_to_video_network(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ("--rows", "dynamicrafter-zero-shot", "coshand", "mask2iv")
    pretrain = ("--pretrain", "1", "--limit", "1")
    assert reproduce("table-systems", tiny_clips, tiny_model, tmp_path, *rows, *pretrain) == 2
    assert "--data-other: must be given: the clips to pretrain on" in capsys.readouterr().err
    other = ("--data-other", str(tiny_clips))
    assert reproduce("table-systems", tiny_clips, tiny_model, tmp_path, *rows, *pretrain, *other) == 0
    table = json.loads((tmp_path / "table-systems.json").read_text())
    trained = table["provenance"]["trained"]
    components = {"dynamicrafter-foreign": "video", "coshand": "video", "mask2iv": "video", "joint": "trajectory"}
    steps = {n: record["config"][components[n]]["training"]["max_steps"] for n, record in trained.items()}
    assert steps == {"dynamicrafter-foreign": 1, "coshand": 2, "mask2iv": 2, "joint": 2}
    for name in ("coshand", "mask2iv", "joint"):
        component = components[name]
        manifest = json.loads((tmp_path / "models" / name / "training" / component / "manifest.json").read_text())
        assert manifest["image_to_video"]
        assert Path(manifest["initial_weights"]["path"]) == tmp_path / "models" / "dynamicrafter-foreign"
    assert "begun from one image-to-video network, trained for 1 steps" in (tmp_path / "table-systems.md").read_text()
    assert reproduce("table-systems", tiny_clips, tiny_model, tmp_path, "--rows", "interdyn", *other) == 2
    assert "another pretraining_steps (1, now 0)" in capsys.readouterr().err


def test_rows_made_otherwise_are_not_mixed_with(
    made: Path, tiny_clips: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("table-systems", tiny_clips, tiny_model, made, "--seed", "5") == 2
    assert "holds rows made with another seed (0, now 5)" in capsys.readouterr().err
    assert reproduce("table-systems", tiny_clips, tiny_model, made, "--measures", "psnr,loss") == 2
    assert "--measures: 'loss' is no measure; choose from fvd, fvd-sim, fid, psnr" in capsys.readouterr().err
    assert reproduce("table-systems", tiny_clips, tiny_model, made, "--rows", "sora") == 2
    assert "'sora' is no row of table-systems; its rows are dynamicrafter-zero-shot" in capsys.readouterr().err


def test_full_scale_says_what_it_needs(tmp_path: Path, tiny_clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["--data", str(tiny_clips), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["reproduce", "table-systems", "--scale", "full", *shared]) == 2
    message = capsys.readouterr().err
    assert "It needs a CUDA GPU" in message
    assert message.count("\n") == 1
    assert "found no CUDA device and no image-to-video network" in message
    assert not (tmp_path / "out").exists()


def test_nothing_is_reported_of_clips_that_were_trained_on(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("--data-test", str(tiny_clips))
    assert reproduce("table-systems", tiny_clips, tiny_model, tmp_path / "out", *same) == 2
    assert "holds the clips of data or held_out; give others" in capsys.readouterr().err
    write_shards([ClipSet(tiny_clips)], tmp_path / "shards")
    assert reproduce("table-systems", tmp_path / "shards", tiny_model, tmp_path / "out", *same) == 2
    assert "holds the clips of data or held_out; give others" in capsys.readouterr().err
    held_out = ("--held-out", str(tiny_clips))
    assert reproduce("table-systems", tiny_clips, tiny_model, tmp_path / "out", *held_out) == 2
    assert "--data-test: must be given together with held_out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- what the systems depend on


@torch.no_grad()
def system(made: Path, name: str, loud: bool = False) -> Mask2IVPipeline:
    """A row's model; `loud`: without the near-zero weights that two steps of training leave."""
    pipe = Mask2IVPipeline.from_pretrained(made / "models" / name)
    if loud and pipe.video_stage is not None:
        torch.manual_seed(0)
        for parameter in pipe.video_stage.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return pipe


def moved_object(trajectory: Trajectory) -> Trajectory:
    """The object is elsewhere, without occlusion between it and the actor."""
    labels = np.where(trajectory.labels == Label.ACTOR, trajectory.labels, np.uint8(0))
    labels[:, :5, :9] = Label.OBJECT
    return Trajectory(labels, trajectory.fps)


@pytest.mark.parametrize("name", ["coshand", "interdyn", "actor-concat"])
def test_a_system_of_actor_masks_never_sees_the_object(name: str, made: Path, tiny_clips: Path) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, name, loud=True)
    [video] = pipe.render(clip.image, clip.trajectory, **SEEN)
    assert video.shape == clip.video.shape
    assert np.array_equal(video, pipe.render(clip.image, moved_object(clip.trajectory), **SEEN)[0])
    still = Trajectory(np.repeat(clip.trajectory.labels[:1], 4, axis=0), clip.fps)
    assert not np.array_equal(video, pipe.render(clip.image, still, **SEEN)[0]), "it does see the actor"


def test_mask2iv_sees_the_object(made: Path, tiny_clips: Path) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, "mask2iv")
    one, other = (pipe.render(clip.image, path, **SEEN)[0] for path in (clip.trajectory, moved_object(clip.trajectory)))
    assert not np.array_equal(one, other)


def test_image_and_text_to_video_follows_its_prompt_and_takes_no_trajectory(made: Path, tiny_clips: Path) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, "dynamicrafter")
    one, other = (pipe.render(clip.image, prompt=prompt, **SEEN)[0] for prompt in (clip.caption, "a hand"))
    assert one.shape == clip.video.shape
    assert not np.array_equal(one, other)
    with pytest.raises(InputError, match="takes no masks; leave it out"):
        pipe.render(clip.image, clip.trajectory, prompt=clip.caption)
    with pytest.raises(InputError, match="takes one; give a prompt"):
        pipe.render(clip.image)


def test_image_and_text_to_video_is_guided_away_from_no_prompt(made: Path, tiny_clips: Path) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, "dynamicrafter", loud=True)

    def rendered(scale: float, prompt: str) -> UInt8Array:
        pipe.config = replace(pipe.config, video_guidance_scale=scale)
        return pipe.render(clip.image, prompt=prompt, **SEEN)[0]

    plain, guided = rendered(1.0, clip.caption), rendered(7.5, clip.caption)
    assert not np.array_equal(plain, guided)
    assert not np.array_equal(guided, rendered(7.5, "a hand"))
    assert np.array_equal(rendered(0.0, clip.caption), rendered(0.0, "a hand")), "the branch without a prompt alone"


def test_systems_that_follow_masks_need_them_and_take_no_prompt(made: Path, tiny_clips: Path) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, "interdyn")
    with pytest.raises(InputError, match="follows masks; give a trajectory"):
        pipe.render(clip.image)
    with pytest.raises(InputError, match="takes none; leave it out"):
        pipe.render(clip.image, clip.trajectory, prompt=clip.caption)


def latents_of(stage: Stage, pipe: Mask2IVPipeline, concat: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    from mask2iv.backbones.dynamicrafter.conditions import Conditions

    fps = torch.full((1,), 8.0)
    scheduler = pipe.solver()
    scheduler.set_timesteps(2)
    shape = (1, stage.unet.config.out_channels, *concat.shape[2:])
    first = concat[:, : shape[1], :1]
    given = Conditions(concat, pipe.encoder.text([""]), features, fps, first)
    return stage.generate(scheduler, shape, [given], [], 0.0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "changed"), [("coshand", [2]), ("actor-concat", [0, 1, 2, 3])])
@torch.no_grad()
def test_frames_made_by_themselves_know_nothing_of_each_other(name: str, changed: list[int], made: Path) -> None:
    pipe = system(made, name, loud=True)
    stage = pipe.video_stage
    assert stage is not None
    channels = stage.unet.config.in_channels - stage.unet.config.out_channels
    concat = torch.randn(1, channels, 4, 2, 4)
    features = pipe.encoder.image_features(torch.zeros(1, 3, 32, 64))
    other = concat.clone()
    other[:, -stage.unet.config.out_channels :, 2] += 1.0
    one, two = (latents_of(stage, pipe, given, features) for given in (concat, other))
    frames = [t for t in range(4) if not torch.equal(one[:, :, t], two[:, :, t])]
    assert frames == changed


def test_a_folder_is_written_and_read_whole_and_parts_that_do_not_belong_together_are_refused(
    made: Path, tiny_clips: Path, tmp_path: Path
) -> None:
    clip, pipe = ClipSet(tiny_clips)[0], system(made, "interdyn")
    pipe.save_pretrained(tmp_path / "saved")
    again = Mask2IVPipeline.from_pretrained(tmp_path / "saved")
    assert read_index(tmp_path / "saved")[1]["video_controlnet"] == "ControlNet"
    assert np.array_equal(
        again.render(clip.image, clip.trajectory, **SEEN)[0], pipe.render(clip.image, clip.trajectory, **SEEN)[0]
    )
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    del index["video_controlnet"]
    (tmp_path / "saved" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="control: it is 'controlnet', but the folder holds no video_controlnet"):
        Mask2IVPipeline.from_pretrained(tmp_path / "saved")
    unet = load_component(made / "models" / "coshand", "video_unet", "VideoUNet", torch.float32)
    parts = {**pipe.components, "video_unet": unet}
    with pytest.raises(InputError, match=r"video_unet: it has 64 input channels, but .* needs 32"):
        Mask2IVPipeline(pipe.config, **parts)


def test_a_folder_without_these_settings_is_mask2ivs(made: Path) -> None:
    index = json.loads((made / "models" / "mask2iv" / "model_index.json").read_text())
    conditioning = index["config"].pop("video_conditioning")
    assert conditioning == {"control": "concat", "masks": "actor+object", "text": False, "frames_together": True}
    older = made.parent / "older"
    shutil.copytree(made / "models" / "mask2iv", older)
    (older / "model_index.json").write_text(json.dumps(index))
    assert Mask2IVPipeline.from_pretrained(older).config == system(made, "mask2iv").config
