"""Results are made again from their own records; what differs is said; foreign records are not trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.media.images import write_png
from mask2iv.media.videos import read_comment, read_video, write_video

PROMPT = "a hand pushing a box to the right"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder with a picture, masks, and in result/ what generate made of them."""
    folder = tmp_path_factory.mktemp("replay")
    box = np.zeros((64, 128), dtype=np.bool_)
    box[26:46, 50:72] = True
    image = np.full((64, 128, 3), (120, 130, 125), dtype=np.uint8)
    image[box] = (200, 60, 40)
    for name, picture in {"image": image, "object": box, "target": np.roll(box, 30, axis=1)}.items():
        write_png(folder / f"{name}.png", picture)
    files = ["--image", f"{folder}/image.png", "--object-mask", f"{folder}/object.png"]
    flags = ["--prompt", PROMPT, "--seed", "7", "--steps", "2", "--threads", "1", "--model", str(tiny_model)]
    assert main(["generate", *files, *flags, "--out", f"{folder}/result"]) == 0
    return folder


@pytest.fixture
def result(made: Path, tmp_path: Path) -> Path:
    """A copy of the result, its inputs in the folder around it."""
    shutil.copytree(made, tmp_path / "desk")
    return tmp_path / "desk" / "result"


def replay(record: Path, model: Path, *flags: str, out: str = "again") -> int:
    folder = record.parent.parent if record.is_file() else record.parent
    return main(["replay", str(record), "--out", str(folder / out), "--model", str(model), *flags])


def change(manifest: Path, **parts: Any) -> None:
    """Changes values in a manifest: name__of__place = value."""
    value = json.loads(manifest.read_text())
    for place, new in parts.items():
        inner = value
        *above, last = place.split("__")
        for key in above:
            inner = inner[key]
        inner[last] = new
    manifest.write_text(json.dumps(value))


def test_a_video_carries_its_manifest_without_folders_and_times(result: Path) -> None:
    text = read_comment(result / "video.mp4")
    assert text is not None
    carried, manifest = json.loads(text), json.loads((result / "manifest.json").read_text())
    assert carried["settings"]["seed"] == 7
    assert carried["inputs"]["image"] == {"path": "image.png", "sha256": manifest["inputs"]["image"]["sha256"]}
    assert manifest.keys() - carried.keys() == {"seconds", "finished"}
    assert str(result.parent) not in text
    assert read_comment(result / "trajectory.mp4") is None


@pytest.mark.parametrize("record", ["video.mp4", "manifest.json", ""])
def test_the_same_comes_out_again(
    result: Path, tiny_model: Path, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(result / record if record else result, tiny_model) == 0
    assert "the same pictures\n" in capsys.readouterr().out
    # To the byte: what is recorded is the same, and nothing of the run itself stands in the film.
    assert (result.parent / "again" / "video.mp4").read_bytes() == (result / "video.mp4").read_bytes()


def test_stages_alone_and_other_kinds_of_scenes_come_out_again(
    result: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = result.parent
    common = ["--image", f"{here}/image.png", "--steps", "1", "--threads", "1", "--model", str(tiny_model)]
    scene = ["--object-box", "44,20,34,32", "--target-mask", f"{here}/target.png", "--target-guidance-scale", "2"]
    assert main(["trajectory", *common, *scene, "--size", "64x96", "--out", f"{here}/plan"]) == 0
    assert replay(here / "plan" / "trajectory.mp4", tiny_model, out="plan-again") == 0
    film = ["--trajectory", f"{here}/plan", "--fit", "pad", "--any-picture"]
    assert main(["render", *common, *film, "--out", f"{here}/film"]) == 0
    shutil.rmtree(here / "plan-again")
    capsys.readouterr()
    assert replay(here / "film" / "video.mp4", tiny_model, out="film-again") == 2
    assert "the trajectory, 'trajectory', is in none of" in capsys.readouterr().err
    assert replay(here / "film" / "video.mp4", tiny_model, "--inputs", f"{here}/plan", out="film-again") == 0


def test_what_differs_is_told(result: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Another picture of the same name, other weights, and another version.
    write_png(result.parent / "image.png", np.full((64, 128, 3), 90, dtype=np.uint8))
    change(
        result / "manifest.json", versions__torch="0.1\x1b[2J", settings__model__sha256={"vae/a.safetensors": "0" * 64}
    )
    assert replay(result, tiny_model) == 4
    said = capsys.readouterr().out
    assert "not as recorded: " in said
    assert "of 255 apart" in said
    for line in (
        "inputs.image.sha256: ",
        "versions.torch: '0.1\\x1b[2J', now ",
        "settings.model.sha256.vae/a.safetensors",
    ):
        assert line in said
    assert "\x1b" not in said
    assert (result.parent / "again" / "video.mp4").is_file()


def test_a_film_that_was_changed_after_its_record_is_not_the_same(
    result: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, fps, _ = read_video(result / "video.mp4")
    write_video(result / "video.mp4", frames // 2, fps, comment=read_comment(result / "video.mp4"))
    assert replay(result / "video.mp4", tiny_model) == 4
    assert "as recorded, but" in capsys.readouterr().out


def test_files_are_found_by_what_they_hold_and_not_where_a_record_says(
    result: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    (result.parent / "image.png").rename(elsewhere / "renamed.png")
    # The path is that of the picture, which is there: and still nobody opens it.
    change(result / "manifest.json", inputs__image__path=str(elsewhere / "renamed.png"))
    assert replay(result, tiny_model) == 2
    assert "--inputs: the image, 'renamed.png', is in none of" in capsys.readouterr().err
    assert replay(result, tiny_model, "--inputs", str(elsewhere)) == 0
    change(result / "manifest.json", inputs__image__path="../else/where/..")
    assert replay(result, tiny_model, "--inputs", str(elsewhere), "--overwrite") == 0


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"command": "rm -rf"}, "command: expected 'generate', 'trajectory' or 'render'"),
        ({"settings__seed": "7"}, "settings.seed: expected a valid integer, found '7'"),
        ({"settings__seed": -1}, "record: seed: "),
        ({"settings__steps": {"trajectory": 10**9, "video": 10**9}}, "record: steps: "),
        ({"settings__height": 10**6, "settings__width": 10**6}, "record: size: "),
        ({"settings__fit": "bend"}, "settings.fit: "),
        ({"inputs__object_mask": None}, "record: object_mask: found no object"),
        ({"inputs__image": {"path": "image.png"}}, "inputs.image"),
        ({"settings__seeds": {"sample-000": 1}}, "is of several samples"),
    ],
)
def test_a_record_that_cannot_be_used_makes_nothing(
    result: Path, tiny_model: Path, parts: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(result / "manifest.json", **parts)
    assert replay(result, tiny_model) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("mask2iv: error: ")
    assert told in said
    assert not (result.parent / "again").exists()


def test_the_model_of_a_record_is_not_loaded_unless_named(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(result), "--out", str(result.parent / "again")]) == 2
    assert "--model: the record names" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plain.mp4", "text.json", "list.json", "image.png"])
def test_what_is_no_record_is_told(
    result: Path, tiny_model: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = result.parent
    write_video(folder / "plain.mp4", np.zeros((2, 16, 16, 3), dtype=np.uint8), 8.0)
    (folder / "text.json").write_text("no json")
    (folder / "list.json").write_text("[]")
    assert main(["replay", str(folder / name), "--out", str(folder / "again"), "--model", str(tiny_model)]) == 2
    assert name in capsys.readouterr().err
