"""What is wrong from the start is told before anything is written, by a dry run too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mask2iv.cli import main
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.files import sha256_file
from mask2iv.pipelines.folder import model_folder
from mask2iv.pipelines.pipeline import Mask2IVPipeline


def _initial(tiny_model: Path, folder: Path) -> Path:
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("training"))
    return folder


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["trajectory", "--data", "absent"], "--data: absent: expected the folder of a clip set"),
        (["trajectory", "--held-out", "absent"], "--held-out: absent: expected the folder of a clip set"),
        (["trajectory", "--initial-weights", "embedded"], "holds no trajectory_unet; train planner, which is this"),
        (["planner", "--initial-weights", "embedded"], "has width 224 (recipe: 32), layers 6 (recipe: 1)"),
        (["video", "--initial-weights", "embedded"], "unet time_embedding.0.weight: has shape [128, 32] in the recipe"),
        (["reference", "--initial-weights", "embedded"], "reference_decoder of"),
        (["video"], "--out: out holds no vae yet; train vae into it first"),
        (["planner"], "--out: out holds no tokenizer yet; train encoders into it first"),
        (["vae", "--set", "pipeline.num_frames=5"], "--data: its clips have 4 frames, the recipe takes 5"),
        (["vae", "--resume_from_checkpoint", "absent"], "absent is not a complete checkpoint"),
        (["vae", "--mixed_precision", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
    ],
)
def test_what_a_run_refuses_a_dry_run_refuses_and_neither_leaves_a_folder(
    tiny_clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = [] if "--data" in flags else ["--data", str(tiny_clips)]
    for dry in ([], ["--dry-run"]):
        assert main(["train", *flags, *data, "--recipe", "tiny", "--out", "out", *dry]) == 2
        assert message in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("component", ["trajectory", "video", "reference"])
def test_a_dry_run_passes_where_a_run_does(
    component: str, tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    initial, out = _initial(tiny_model, tmp_path / "initial"), tmp_path / "out"
    flags = [component, "--recipe", "tiny", "--data", str(tiny_clips), "--out", str(out), "--threads", "1"]
    flags += ["--initial-weights", str(initial)]
    assert main(["train", *flags, "--dry-run", "--json"]) == 0
    assert not out.exists()
    assert json.loads(capsys.readouterr().out)["estimate"]["steps"] == 4, "the recipe's"
    assert main(["train", *flags, "--set", f"{component}.training.max_steps=1"]) == 0
    assert main(["train", *flags, "--dry-run"]) == 2, "it is trained already, and would not be resumed"
    assert "holds a run up to" in capsys.readouterr().err


def test_the_rest_of_a_model_is_taken_along(tiny_clips: Path, planning_model: Path, tmp_path: Path) -> None:
    initial, out = _initial(planning_model, tmp_path / "initial"), tmp_path / "out"
    shutil.copy(model_folder("embedded") / "wording.json", initial)
    flags = ["planner", "--recipe", "tiny", "--data", str(tiny_clips), "--initial-weights", str(initial)]
    flags += ["--set", "planner.training.max_steps=1", "--threads", "1"]
    assert main(["train", *flags, "--out", str(tmp_path / "part")]) == 0
    with pytest.raises(InputError, match=r"lacks scheduler; .* --complete` takes it"):
        Mask2IVPipeline.from_pretrained(tmp_path / "part")

    assert main(["train", *flags, "--out", str(out), "--complete"]) == 0
    assert {path.name for path in out.iterdir()} == {path.name for path in initial.iterdir()} | {"training"}
    whole = Mask2IVPipeline.from_pretrained(out)
    assert whole.video_stage is not None
    for name in ("video_unet", "planner"):
        [before, after] = (sha256_file(next((folder / name).glob("*.safetensors"))) for folder in (initial, out))
        assert (before == after) == (name != "planner"), "only the planner is trained"


@pytest.mark.parametrize(
    ("component", "flags", "message"),
    [
        ("painter", [], "draws shape codes, which would mean something else to the trained painter"),
        ("planner", ["--set", "pipeline.latent_patch=4"], "has another latent_patch than recipe tiny"),
        ("planner", None, "--complete: the rest of a model comes from the one to start from; give --initial-weights"),
    ],
)
def test_the_rest_of_a_model_must_go_with_what_is_trained(
    component: str,
    flags: list[str] | None,
    message: str,
    tiny_clips: Path,
    planning_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [] if flags is None else ["--initial-weights", str(planning_model), *flags]
    every = [component, "--recipe", "tiny", "--data", str(tiny_clips), "--out", str(tmp_path / "out"), "--complete"]
    assert main(["train", *every, *given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_at_its_first_clip_leaves_no_folder(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(tiny_clips, data)
    for clip in ClipSet(data).ids:
        (data / "clips" / clip / "video.mp4").write_bytes(b"damaged")
    assert main(["train", "vae", "--recipe", "tiny", "--data", str(data), "--out", str(out)]) == 2
    assert "clip-" in capsys.readouterr().err
    assert not out.exists()


def test_captions_longer_than_the_encoder_takes_are_told(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = ClipSet(tiny_clips)
    with ClipSetWriter(tmp_path / "long", clips.size, clips.num_frames, clips.fps, {}) as writer:
        for index, clip in enumerate(clips):
            caption = "a hand pushing a box " + "to the right " * 8 if index == 0 else clip.caption
            writer.add(type(clip)(**{**vars(clip), "caption": caption.strip()}))
    initial = _initial(tiny_model, tmp_path / "initial")
    flags = ["--recipe", "tiny", "--data", str(tmp_path / "long"), "--initial-weights", str(initial)]
    steps = ["--set", "trajectory.training.max_steps=1", "--threads", "1"]
    assert main(["train", "trajectory", *flags, *steps, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "captions: 1 of" in said
    assert "are longer than the 24 tokens that the text encoder takes" in said
    assert 'it does not see "right to the right to the right"' in said
