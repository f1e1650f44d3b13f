"""plan: several interactions one after the other, as one video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mask2iv.cli import main
from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.generation.chains import run as chains
from mask2iv.generation.chains.drift import Drift, Thing, drift, plate_of, revealed
from mask2iv.generation.chains.plan_file import read_plan
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import read_video
from mask2iv.segmentation.interfaces import Detection, Detector
from mask2iv.trajectories.storage import load_trajectory

STEPS = [
    {"object_mask": "object.png", "prompt": "a hand pushing a box to the right"},
    {"prompt": "a hand pushing a box to the left", "seed": 9},
    {"object_mask": "other.png", "target_mask": "target.png"},
]


@pytest.fixture
def plan(tmp_path: Path, planning_model: Path, pictures: dict[str, UInt8Array | BoolArray]) -> Any:
    """Runs a plan on a picture of 64x128 pixels; returns the exit status."""
    for name in ("image", "object", "target"):
        write_png(tmp_path / f"{name}.png", pictures[name])
    other = np.zeros(pictures["object"].shape, dtype=np.bool_)
    other[10:28, 100:118] = True
    write_png(tmp_path / "other.png", other)

    def call(steps: list[dict[str, Any]], *flags: str, out: str = "out", **keys: Any) -> int:
        told = {"version": 1, "image": "image.png", "steps": steps, **keys}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(told))
        how = ["--model", str(planning_model), "--steps", "1", "--threads", "1", "--out", f"{tmp_path}/{out}"]
        return main(["plan", f"{tmp_path}/plan.yaml", *how, *flags])

    return call


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def test_steps_follow_each_other_and_are_one_video(plan: Any, tmp_path: Path) -> None:
    assert plan(STEPS, "--seed", "4", "--on-drift", "ignore") == 0
    out = tmp_path / "out"
    names = "filmstrip.png manifest.json step-01 step-02 step-03 trajectory.mp4 video.mp4"
    assert sorted(path.name for path in out.iterdir()) == names.split()
    assert read_video(out / "video.mp4").frames.shape == (1 + 3 * 3, 32, 64, 3)
    steps = told(out)["steps"]
    assert [step["seed"] for step in steps] == [4, 9, 6]
    assert [set(step["drift"]) for step in steps] == [{"background", "look", "sharpness"}] * 3
    # The second step's object is where the first one left it; the third step's is another one.
    last = load_trajectory(out / "step-01" / "trajectory").object[-1]
    assert (load_trajectory(out / "step-02" / "trajectory").object[0] == last).all()
    assert (read_image(out / "step-03" / "object_mask.png")[..., 0] > 0)[:16, 48:].any()
    before = read_video(out / "step-01" / "video.mp4").frames[-1].astype(int)
    assert np.abs(read_image(out / "step-02" / "image.png") - before).mean() < 4
    again = plan(STEPS, "--seed", "4", "--on-drift", "ignore", out="again")
    assert again == 0
    assert (out / "trajectory.mp4").read_bytes() == (tmp_path / "again" / "trajectory.mp4").read_bytes()


def test_a_chain_that_has_drifted_stops_or_begins_anew(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chains, "drift", lambda *_: Drift(99.0, None, 1.0))
    assert plan(STEPS, "--on-drift", "stop", out="stopped") == 3
    assert [path.name for path in (tmp_path / "stopped").glob("step-*")] == ["step-01"]
    assert "step 1: the background has changed by 99.0 of 255 (at most 8); stop" in capsys.readouterr().err
    assert plan(STEPS[:2], out="anew") == 0
    assert [step["anchored"] for step in told(tmp_path / "anew")["steps"]] == [True, True]


class RedThings(Detector):
    """Finds what is red, under the words "red box"; and something without words."""

    quality = "red"

    def __call__(self, videos: Sequence[UInt8Array], phrases: Sequence[Sequence[str]]) -> list[list[Detection]]:
        found = []
        for video, asked in zip(videos, phrases, strict=True):
            red = np.argwhere((video[0][..., 0] > 150) & (video[0][..., 1] < 100))
            (top, left), (bottom, right) = red.min(0), red.max(0)
            box = (left - 1.5, top - 1.5, right - left + 4.0, bottom - top + 4.0)
            sure = Detection((0.0, 0.0, 5.0, 5.0), 0.9, "")
            found.append([sure, Detection(box, 0.8, "red box")] if "red box" in asked else [sure])
        return found


def test_objects_are_named_in_words(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = {"object": "red box", "prompt": "a hand pushing a box to the right"}
    assert plan([box]) == 2
    said = capsys.readouterr().err
    assert "steps[0].object: no step marks 'red box'" in said
    assert "or give --detector-weights" in said
    assert plan([box], "--detector-weights", f"{tmp_path}/none") == 2
    assert "--detector-weights: " in capsys.readouterr().err
    monkeypatch.setattr(chains, "load_detector", lambda *_: RedThings())
    assert plan([{**box, "object": "blue box"}], "--detector-weights", "red") == 2
    assert "steps[0].object: 'blue box' is not found in the picture" in capsys.readouterr().err
    other = {"object": "can", "object_mask": "other.png", "target_mask": "target.png"}
    assert plan([box, other, {**box, "object": " Red  BOX"}], "--detector-weights", f"{tmp_path}") == 0
    out = tmp_path / "out"
    [found] = told(out)["inputs"]["detector"]["found"]
    assert (found["step"], found["object"], found["score"]) == (1, "red box", 0.8)
    # The third step goes on with the first one's object.
    last = load_trajectory(out / "step-01" / "trajectory").object[-1]
    assert (load_trajectory(out / "step-03" / "trajectory").object[0] == last).all()


def picture() -> UInt8Array:
    rng = np.random.default_rng(0)
    return rng.integers(90, 160, (60, 80, 3), dtype=np.uint8)


def test_drift_is_of_background_look_and_sharpness() -> None:
    first = picture()
    mask = np.zeros((60, 80), dtype=np.bool_)
    mask[20:32, 20:32] = True
    thing = Thing(mask, np.array([[1.0, 0, 30], [0, 1, 5]]))
    labels = thing.now * np.uint8(Label.OBJECT)
    now = plate_of(first, np.zeros_like(mask), [thing], [thing])
    same = drift(first, now, labels, thing, [mask])
    assert (same.background, same.look) == (0, 0)
    assert same.sharpness == pytest.approx(1, abs=0.01)
    assert same.problems == []
    brighter = drift(first, np.clip(now.astype(int) + 12, 0, 255).astype(np.uint8), labels, thing, [mask])
    assert brighter.background == pytest.approx(12)
    assert "background" in brighter.problems[0]
    flat = drift(first, np.full_like(now, 120), labels, thing, [mask])
    assert flat.sharpness == 0
    assert any("detail" in problem for problem in flat.problems)
    other = now.copy()
    other[thing.now] = 0
    assert any("object looks" in problem for problem in drift(first, other, labels, thing, [mask]).problems)


def test_what_was_hidden_is_shown_as_it_is_known() -> None:
    plate = picture()
    labels = np.zeros((2, 60, 80), dtype=np.uint8)
    labels[0, 10:50, 5:30] = Label.ACTOR
    labels[1, 10:50, 55:75] = Label.ACTOR
    video = np.zeros((2, 60, 80, 3), dtype=np.uint8)
    shown = revealed(video, labels, plate)
    assert (shown[0] == video[0]).all()
    assert (shown[1, 15:45, 10:25] == plate[15:45, 10:25]).all()
    assert not shown[1][labels[1] > 0].any()
    assert not shown[1, :, 40:50].any(), "what was not hidden stays as it was made"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nimage: image.png\nsteps: []", "steps: must be 1 to 100, found 0"),
        ("version: 1\nimage: a\nsteps: [{prompt: a}]", r"steps\[0\]: object_mask: the first step names no object"),
        ("version: 1\nimage: a\nsteps: [{object_point: [1, 2]}]", r"steps\[0\]: prompt: nothing says"),
        (
            "version: 1\nimage: a\nsteps: [{object_point: [1, 2], prompt: a}, {same_as: 2, prompt: b}]",
            r"steps\[1\]: same_as: must be a step before this one, 1 to 1, found 2",
        ),
        ("version: 1\nimage: a\nsteps: [{object_point: [1, 2], object_mask: m, prompt: a}]", "once which object"),
        ("version: 1\nimage: a\nsteps: [{object: ' ', prompt: a}]", "object: holds no words"),
        (
            "version: 1\nimage: a\nsteps: [{object: can, prompt: a}, {object: Can, object_point: [1, 2], prompt: b}]",
            r"steps\[1\]: object: step 1 names 'can' already",
        ),
        (
            "version: 1\nimage: a\nsteps: [{object: can, prompt: a}, {object: cup, same_as: 1, prompt: b}]",
            "found object and same_as",
        ),
        ("version: 1\nimage: a\nsteps: []\nstep: []", "step: unknown configuration key"),
        ("a: &a [1, 2]\nb: *a", "aliases are not read"),
        ("[", "is not YAML"),
        ("just words", "must hold keys and values, found str"),
    ],
)
def test_what_is_no_plan_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"plan: .*plan\.yaml: .*{said}"):
        read_plan(tmp_path / "plan.yaml")


def test_a_covered_object_is_laid_over_the_actor(plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "MOST_COVERED", -1.0)
    assert plan(STEPS[:2], "--on-drift", "ignore") == 0
    shown = read_image(tmp_path / "out" / "step-02" / "image.png")
    mask = read_image(tmp_path / "out" / "step-02" / "object_mask.png")[..., 0] > 0
    first = read_image(tmp_path / "out" / "step-01" / "image.png")
    was = read_image(tmp_path / "out" / "step-01" / "object_mask.png")[..., 0] > 0
    assert np.abs(shown[mask].mean(axis=0) - first[was].mean(axis=0)).max() < 12
