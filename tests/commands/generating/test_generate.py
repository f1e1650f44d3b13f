"""generate, trajectory and render: what they write, and that they chain."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.cli import main
from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.generation.inputs import complete_prompt
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import read_video
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file

PROMPT = "a hand pushing a box to the right"


@dataclass(frozen=True)
class Desk:
    """A folder with a picture of 64x128 pixels and its masks, and a way to run commands on them."""

    folder: Path
    model: Path
    image: UInt8Array
    object_mask: BoolArray

    def run(self, command: str, *flags: str, out: str = "out") -> Path:
        """Runs a command that must succeed; returns its result folder."""
        common = ["--image", f"{self.folder}/image.png", "--model", str(self.model), "--threads", "1"]
        steps = [] if "--steps" in flags else ["--steps", "1"]
        assert main([command, *common, *steps, "--out", f"{self.folder}/{out}", *flags]) == 0
        return self.folder / out

    def scene(self, *flags: str) -> list[str]:
        return ["--object-mask", f"{self.folder}/object.png", *(flags or ("--prompt", PROMPT))]


@pytest.fixture
def desk(tmp_path: Path, tiny_model: Path, pictures: dict[str, UInt8Array | BoolArray]) -> Desk:
    for name in ("image", "object", "target"):
        write_png(tmp_path / f"{name}.png", pictures[name])
    return Desk(tmp_path, tiny_model, pictures["image"].astype(np.uint8), pictures["object"].astype(np.bool_))


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def pictures_of(film: Path) -> bytes:
    """A film's pictures. Its file also says how it was made."""
    return read_video(film).frames.tobytes()


def video(folder: Path) -> bytes:
    return pictures_of(folder / "video.mp4")


def test_generate_writes_its_files(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    out = desk.run("generate", *desk.scene())
    frames, fps, _ = read_video(out / "video.mp4")
    assert (frames.shape, fps) == ((4, 32, 64, 3), 8.0)
    trajectory = load_trajectory(out / "trajectory")
    assert (trajectory.labels.shape, trajectory.fps) == ((4, 32, 64), 8.0)
    assert Image.open(out / "trajectory" / "0000.png").mode == "P"
    assert read_video(out / "trajectory.mp4")[0].shape == (4, 32, 64, 3)
    assert read_image(out / "filmstrip.png").shape[0] > 3 * 32
    assert sorted(path.name for path in out.iterdir()) == [
        "filmstrip.png",
        "manifest.json",
        "trajectory",
        "trajectory.mp4",
        "video.mp4",
    ]
    assert "video.mp4" in capsys.readouterr().out


def test_the_manifest_says_what_was_given_and_what_it_resolved_to(desk: Desk) -> None:
    found = manifest(desk.run("generate", *desk.scene(), "--steps", "2", "--seed", "7", "--guidance-scale", "3"))
    picture = hashlib.sha256((desk.folder / "image.png").read_bytes()).hexdigest()
    assert found["inputs"]["image"] == {"path": f"{desk.folder}/image.png", "sha256": picture}
    assert set(found["inputs"]) == {"image", "object_mask"}
    settings = found["settings"]
    weights = hashlib.sha256((desk.model / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
    assert settings["model"]["sha256"]["vae/diffusion_pytorch_model.safetensors"] == weights
    expected = {
        "prompt": PROMPT,
        "seed": 7,
        "steps": {"trajectory": 2, "video": 2},
        "guidance_scale": 3.0,
        "target_guidance_scale": 1.0,
        "height": 32,
        "width": 64,
        "num_frames": 4,
        "fps": 8.0,
        "threads": 1,
    }
    assert {key: settings[key] for key in expected} == expected
    assert set(found["seconds"]) == {"load", "trajectory", "video"}
    assert {"mask2iv", "torch"} <= set(found["versions"])


def test_trajectory_then_render_is_generate(desk: Desk) -> None:
    whole = desk.run("generate", *desk.scene(), "--seed", "3", out="whole")
    plan = desk.run("trajectory", *desk.scene(), "--seed", "3", out="plan")
    assert sorted(path.name for path in plan.iterdir()) == [
        "filmstrip.png",
        "manifest.json",
        "trajectory",
        "trajectory.mp4",
    ]
    assert pictures_of(plan / "trajectory.mp4") == pictures_of(whole / "trajectory.mp4")
    rendered = desk.run("render", "--trajectory", f"{plan}/trajectory", "--seed", "3", out="rendered")
    assert sorted(path.name for path in rendered.iterdir()) == ["filmstrip.png", "manifest.json", "video.mp4"]
    assert video(rendered) == video(whole)
    assert video(desk.run("render", "--trajectory", str(plan), "--seed", "4", out="seed")) != video(whole)


def test_render_takes_an_edited_trajectory_and_npz(desk: Desk) -> None:
    plan = desk.run("trajectory", *desk.scene(), out="plan")
    before = desk.run("render", "--trajectory", f"{plan}/trajectory", out="before")
    trajectory = load_trajectory(plan / "trajectory")
    save_trajectory_file(trajectory, desk.folder / "plan.npz")
    assert video(desk.run("render", "--trajectory", f"{desk.folder}/plan.npz", out="npz")) == video(before)
    last = np.full_like(trajectory.labels[-1], int(Label.ACTOR))
    last[4:20, 4:40] = np.where(trajectory.labels[-1, 4:20, 4:40] == Label.OBJECT, Label.BACKGROUND, Label.OBJECT)
    # As a paint program saves it: colours, no palette.
    colours = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], dtype=np.uint8)[last]
    Image.fromarray(colours).save(plan / "trajectory" / "0003.png")
    after = desk.run("render", "--trajectory", f"{plan}/trajectory", out="after")
    assert video(after) != video(before)
    assert manifest(after)["inputs"]["trajectory"]["sha256"] != manifest(before)["inputs"]["trajectory"]["sha256"]


def test_samples_lie_in_folders_and_have_consecutive_seeds(desk: Desk) -> None:
    out = desk.run("generate", *desk.scene(), "--samples", "2", "--seed", "5")
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "sample-000", "sample-001"]
    assert manifest(out)["settings"]["seeds"] == {"sample-000": 5, "sample-001": 6}
    assert manifest(out / "sample-001")["settings"]["seed"] == 6
    assert (out / "sample-000" / "filmstrip.png").is_file()
    alone = desk.run("generate", *desk.scene(), "--seed", "6", out="alone")
    assert video(out / "sample-001") == video(alone) != video(out / "sample-000")


def _boolean(mask: BoolArray, path: Path) -> None:
    Image.fromarray(mask).convert("1").save(path)


def _palette(mask: BoolArray, path: Path) -> None:
    image = Image.fromarray(mask.astype(np.uint8), mode="L")
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path)


def _cutout(mask: BoolArray, path: Path) -> None:
    pixels = np.full((*mask.shape, 4), 90, dtype=np.uint8)
    pixels[..., 3] = mask * 255
    Image.fromarray(pixels).save(path)


def test_masks_may_be_boolean_palette_or_cutout(desk: Desk) -> None:
    plain = desk.run("trajectory", *desk.scene(), out="plain")
    for write in (_boolean, _palette, _cutout):
        write(desk.object_mask, desk.folder / "object.png")
        other = desk.run("trajectory", *desk.scene(), out=write.__name__)
        assert pictures_of(other / "trajectory.mp4") == pictures_of(plain / "trajectory.mp4"), write.__name__


@pytest.mark.parametrize("flags", [("--object-box", "44,20,34,32"), ("--object-point", "60,36")])
def test_a_box_or_a_point_finds_the_object_and_shows_what_it_found(desk: Desk, flags: tuple[str, str]) -> None:
    out = desk.run("trajectory", *flags, "--prompt", PROMPT)
    assert iou(load_mask(out / "object_mask.png", (64, 128)), desk.object_mask) > 0.9
    inputs = manifest(out)["inputs"]
    assert inputs[flags[0][2:].replace("-", "_")] == [int(n) for n in flags[1].split(",")]
    assert inputs["segmenter"] == {"name": "grabcut"}


@pytest.mark.skipif("MASK2IV_SAM_ONNX" not in os.environ, reason="MASK2IV_SAM_ONNX names no MobileSAM-format pair")
def test_a_network_may_find_the_object(desk: Desk) -> None:
    network = ("--segmenter", "onnx", "--segmenter-weights", os.environ["MASK2IV_SAM_ONNX"])
    out = desk.run("trajectory", "--object-box", "48,24,26,24", *network, "--prompt", PROMPT)
    assert iou(load_mask(out / "object_mask.png", (64, 128)), desk.object_mask) > 0.9
    told = manifest(out)["inputs"]["segmenter"]
    assert told["name"] == "onnx"
    assert len(told["encoder"]["sha256"]) == len(told["decoder"]["sha256"]) == 64


def test_a_target_without_a_prompt_and_both(desk: Desk) -> None:
    target = ("--target-mask", f"{desk.folder}/target.png")
    only = desk.run("generate", *desk.scene(*target), out="only")
    assert manifest(only)["settings"]["prompt"] is None
    assert set(manifest(only)["inputs"]) == {"image", "object_mask", "target_mask"}
    both = desk.run("generate", *desk.scene(*target, "--prompt", PROMPT), "--target-guidance-scale", "2", out="both")
    assert manifest(both)["settings"]["target_guidance_scale"] == 2.0
    results = [video(folder) for folder in (only, both, desk.run("generate", *desk.scene(), out="neither"))]
    assert len(set(results)) == 3


def test_the_actor_in_the_picture_may_be_given(desk: Desk) -> None:
    write_png(desk.folder / "actor.png", np.roll(desk.object_mask, -30, axis=1))
    without = desk.run("trajectory", *desk.scene(), out="without")
    told = desk.run("trajectory", *desk.scene(), "--actor-mask", f"{desk.folder}/actor.png", out="told")
    assert pictures_of(told / "trajectory.mp4") != pictures_of(without / "trajectory.mp4")


def test_size(desk: Desk) -> None:
    out = desk.run("generate", *desk.scene(), "--size", "64x96")
    assert read_video(out / "video.mp4")[0].shape == (4, 64, 96, 3)
    assert load_trajectory(out / "trajectory").size == (64, 96)


def test_overwrite_replaces_the_former_result_as_a_whole(desk: Desk) -> None:
    desk.run("generate", *desk.scene(), "--samples", "2")
    out = desk.run("trajectory", *desk.scene(), "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == [
        "filmstrip.png",
        "manifest.json",
        "trajectory",
        "trajectory.mp4",
    ]


def test_animated_pictures_are_written_where_asked_for(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    out = desk.run("generate", *desk.scene(), "--gif", "--webp")
    assert "video.mp4, video.gif, video.webp" in capsys.readouterr().out
    films = {
        Image.open(out / f"video.{kind}").format: Image.open(out / f"video.{kind}").size for kind in ("gif", "webp")
    }
    assert films == {"GIF": (64, 32), "WEBP": (64, 32)}
    plan = desk.run("trajectory", *desk.scene(), "--gif", out="plan")
    assert sorted(path.name for path in plan.glob("*.gif")) == ["trajectory.gif"]
    rendered = desk.run("render", "--trajectory", str(plan), "--gif", out="rendered")
    assert (rendered / "video.gif").read_bytes() == (out / "video.gif").read_bytes()
    # The result of an earlier run, as --overwrite knows it.
    again = desk.run("trajectory", *desk.scene(), "--overwrite")
    assert not list(again.glob("video.*"))


def test_unknown_words_are_named_on_standard_error(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run("trajectory", *desk.scene("--prompt", "a hand pushing a xylophone, to the right"))
    warning = next(line for line in capsys.readouterr().err.splitlines() if "warning" in line)
    assert warning.startswith("mask2iv: warning: --prompt")
    assert warning.endswith(": xylophone")


def test_an_everyday_prompt_is_read_in_the_models_words(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(desk.model, desk.folder / "reads")
    shutil.copy(Path(str(resources.files("mask2iv"))) / "weights" / "embedded" / "wording.json", desk.folder / "reads")
    reads = replace(desk, model=desk.folder / "reads")
    caption = reads.run("generate", *desk.scene(), out="caption")
    assert "prompt" not in capsys.readouterr().err
    assert "prompt_read_as" not in manifest(caption)["settings"]
    everyday = "someone shoves the package rightwards"
    out = reads.run("generate", *desk.scene("--prompt", everyday), "--samples", "2", out="everyday")
    line = f'mask2iv: prompt: "{everyday}" read as "{PROMPT}"'
    assert [said for said in capsys.readouterr().err.splitlines() if "prompt" in said] == [line]
    for folder in (out, out / "sample-000"):
        settings = manifest(folder)["settings"]
        assert (settings["prompt"], settings["prompt_read_as"]) == (everyday, PROMPT)
        assert "prompt_cut_off" not in settings
    assert video(out / "sample-000") == video(caption)
    reads.run("trajectory", *desk.scene("--prompt", "nudge the samovar to the right"), out="unknown")
    lines = [said for said in capsys.readouterr().err.splitlines() if "prompt" in said]
    assert lines[0].endswith('read as "a hand pushing a samovar to the right"')
    assert lines[1].endswith("words that mean nothing to this model: samovar")


def test_what_a_long_prompt_says_in_vain_is_named(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = PROMPT + " a hand pushing a can" * 3
    out = desk.run("trajectory", *desk.scene("--prompt", prompt))
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    expected = "--prompt: longer than the 24 tokens that this model takes; it does not see"
    assert warnings == [f'mask2iv: warning: {expected} "can"']
    assert manifest(out)["settings"]["prompt"] == prompt
    assert manifest(out)["settings"]["prompt_cut_off"] == "can"
    shorter = desk.run("trajectory", *desk.scene("--prompt", prompt.removesuffix(" can")), out="shorter")
    assert pictures_of(shorter / "trajectory.mp4") == pictures_of(out / "trajectory.mp4")
    assert not [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


def test_the_actor_completes_the_prompt(desk: Desk) -> None:
    out = desk.run("trajectory", *desk.scene("--prompt", "pushing a box to the right", "--actor", "hand"))
    assert manifest(out)["settings"]["prompt"] == PROMPT


@pytest.mark.parametrize(
    ("prompt", "actor", "expected"),
    [
        ("picking up a can", "robot", "a robot arm picking up a can"),
        ("  picking  up a can ", "hand", "a hand picking up a can"),
        ("pushing a hand drill", "robot", "a robot arm pushing a hand drill"),
        ("A hand picking up a can", "hand", "A hand picking up a can"),
        ("the left hand picking up a can", "hand", "the left hand picking up a can"),
        ("a robot arm picking up a can", "robot", "a robot arm picking up a can"),
        ("a gripper picking up a can", "robot", "a gripper picking up a can"),
        ("picking up a can", None, "picking up a can"),
        (" ", None, None),
        (None, None, None),
    ],
)
def test_complete_prompt(prompt: str | None, actor: str | None, expected: str | None) -> None:
    assert complete_prompt(prompt, actor) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("prompt", "actor"), [("a hand picking up a can", "robot"), ("", "hand"), (None, "robot")])
def test_an_actor_that_completes_nothing_is_an_error(prompt: str | None, actor: str) -> None:
    with pytest.raises(InputError, match=f"actor: .*'{actor}'"):
        complete_prompt(prompt, actor)  # type: ignore[arg-type]
