"""The samples of the package: listed, copied, and used where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mask2iv.cli import main
from mask2iv.generation.inputs import read_scene, with_sample
from mask2iv.generation.options import SceneOptions
from mask2iv.samples import sample_folder, sample_names


def test_they_are_listed_and_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in shown] == sample_names() == ["box", "cup"]
    assert shown[1] == "cup: a hand picking up a cup"
    assert main(["samples", "cup", "--out", str(tmp_path / "mine")]) == 0
    names = {"image.png", "object_mask.png", "target_mask.png", "prompt.txt"}
    assert {path.name for path in (tmp_path / "mine").iterdir()} == names
    assert main(["samples", "cup", "--out", str(tmp_path / "mine")]) == 2
    assert "not empty" in capsys.readouterr().err


def test_an_unknown_one_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", "../cup"]) == 2
    assert "name: there is no sample '../cup'; there are box, cup" in capsys.readouterr().err


def test_a_sample_fills_what_is_not_given() -> None:
    box = sample_folder("box")
    scene = with_sample(SceneOptions(sample="box"))
    assert (scene.image, scene.object_mask, scene.actor_mask) == tuple(
        box / f"{name}.png" for name in ("image", "object_mask", "actor_mask")
    )
    assert scene.prompt == "a robot arm pushing a box to the right"
    assert with_sample(SceneOptions(sample="cup", prompt="a hand pushing a cup")).prompt == "a hand pushing a cup"
    aimed = with_sample(SceneOptions(sample="cup", target_mask=Path("there.png")))
    assert (aimed.prompt, aimed.target_mask) == (None, Path("there.png"))
    assert with_sample(SceneOptions(sample="cup", object_point="1,1")).object_mask is None


def test_commands_and_jobs_take_a_sample(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--model", str(tiny_model), "--threads", "1", "--steps", "1"]
    assert main(["trajectory", "--sample", "cup", "--out", str(tmp_path / "plan"), *quick]) == 0
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"id": "cup", "sample": "cup"}))
    assert main(["generate", "--jobs", str(tmp_path / "jobs.jsonl"), "--out", str(tmp_path / "out"), *quick]) == 0
    plan, job = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("plan", "out/cup"))
    assert plan["inputs"] == job["inputs"]
    assert plan["settings"]["prompt"] == "a hand picking up a cup"
    capsys.readouterr()
    assert main(["generate", "--sample", "cup", "--image", "a.png", "--out", str(tmp_path / "no"), *quick]) == 2
    assert "--sample: there is a picture too" in capsys.readouterr().err
    assert read_scene(with_sample(SceneOptions(sample="cup"))).scene.image.shape == (160, 256, 3)
