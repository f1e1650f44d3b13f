"""--object-path: the object goes where it is drawn, stage 1 draws the actor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.backbones.planning.predictor import PlanningPredictor
from mask2iv.cli import main
from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.media.images import write_png
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.stages.interfaces import SamplingOptions
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.editing.path import ObjectPath
from mask2iv.trajectories.measures import centroids
from mask2iv.trajectories.storage import load_trajectory


@pytest.fixture
def predict(tmp_path: Path, pictures: dict[str, UInt8Array | BoolArray]) -> Any:
    """Predicts along a path on a picture of 64x128 pixels; returns the exit status."""
    for name in ("image", "object", "target"):
        write_png(tmp_path / f"{name}.png", pictures[name])

    def call(model: Path, path: object, *flags: str, out: str = "out") -> int:
        (tmp_path / "path.json").write_text(json.dumps(path))
        scene = ["--image", f"{tmp_path}/image.png", "--object-mask", f"{tmp_path}/object.png"]
        how = ["--model", str(model), "--steps", "1", "--threads", "1", "--out", f"{tmp_path}/{out}"]
        return main(["trajectory", *scene, "--object-path", f"{tmp_path}/path.json", *how, *flags])

    return call


def test_the_object_follows_the_path_and_the_actor_depends_on_the_seed(
    predict: Any, planning_model: Path, tmp_path: Path, pictures: dict[str, UInt8Array | BoolArray]
) -> None:
    rows, columns = np.nonzero(pictures["object"])
    begin = (float(columns.mean()), float(rows.mean()))
    path = {"version": 1, "points": [[begin[0] - 24, begin[1] + 8]], "easing": "linear"}
    assert predict(planning_model, path, "--seed", "1", out="1") == 0
    one = load_trajectory(tmp_path / "1" / "trajectory")
    # The result is half as large as the picture.
    way = centroids(one, Label.OBJECT)[:, ::-1] - centroids(one, Label.OBJECT)[0, ::-1]
    assert way[-1] == pytest.approx([-12, 4], abs=1.5)
    assert way[1] == pytest.approx([-4, 4 / 3], abs=1.5)
    recorded = json.loads((tmp_path / "1" / "manifest.json").read_text())["inputs"]["object_path"]
    assert len(recorded["sha256"]) == 64
    assert main(["replay", f"{tmp_path}/1", "--out", f"{tmp_path}/again", "--model", str(planning_model)]) == 0
    # A prompt is welcome, and the same in Python.
    assert predict(planning_model, path, "--prompt", "a hand", "--seed", "1", out="told") == 0
    pipe = Mask2IVPipeline.from_pretrained(planning_model)
    line = ObjectPath(1, points=((begin[0] - 24, begin[1] + 8),), easing="linear")
    [again] = pipe.trajectory(
        pictures["image"].astype(np.uint8),
        pictures["object"],
        "a hand",
        object_path=line,
        seed=1,
        num_inference_steps=1,
        progress=False,
    )
    assert (again.labels == load_trajectory(tmp_path / "told" / "trajectory").labels).all()
    scene = Scene.read(pictures["image"].astype(np.uint8), pictures["object"], object_path=line).at((32, 64))
    assert isinstance(pipe.predictor, PlanningPredictor)
    drawn = [made.plan.to_array() for made in pipe.predictor.draw([scene] * 2, [1, 2], SamplingOptions(steps=1))]
    assert (drawn[0][:, :4] == drawn[1][:, :4]).all()
    assert (drawn[0][:, 4:] != drawn[1][:, 4:]).any()


def test_a_model_that_cannot_says_so(predict: Any, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(tiny_model, {"version": 1, "points": [[40, 40]]}) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mask2iv: error")]
    assert line.startswith("mask2iv: error: --object-path: this model's stage 1 draws object and actor at once")


@pytest.mark.parametrize(
    ("path", "flags", "said"),
    [
        (
            {"version": 1, "points": [[40, 40]]},
            ("--target-mask", "target.png"),
            "--object-path: there is a target, too",
        ),
        ({"version": 1, "places": [{"frame": 9, "x": 1, "y": 1}]}, (), "--object-path: keyframes: the last frame is 3"),
        ({"version": 1}, (), "places: must be given"),
    ],
)
def test_a_wrong_path_is_one_line(
    predict: Any,
    planning_model: Path,
    tmp_path: Path,
    path: object,
    flags: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = tuple(f"{tmp_path}/{flag}" if flag.endswith(".png") else flag for flag in flags)
    assert predict(planning_model, path, *flags) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mask2iv: error")]
    assert said in line
    assert not (tmp_path / "out").exists()
