"""edit: what it writes, that it replays to the same bytes, and that its result is rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.media.images import write_png
from mask2iv.trajectories.storage import load_trajectory

PUSH = {"version": 1, "edits": [{"op": "transform", "part": "all", "move": [6, -4], "frames": [1, 3]}]}


@pytest.fixture
def plan(tmp_path: Path, tiny_model: Path, pictures: dict[str, UInt8Array | BoolArray]) -> Path:
    """A predicted trajectory, beside the picture that it was made for."""
    for name in ("image", "object"):
        write_png(tmp_path / f"{name}.png", pictures[name])
    scene = ["--image", f"{tmp_path}/image.png", "--object-mask", f"{tmp_path}/object.png", "--prompt", "a hand"]
    how = ["--model", str(tiny_model), "--steps", "1", "--threads", "1", "--out", f"{tmp_path}/plan"]
    assert main(["trajectory", *scene, *how]) == 0
    return tmp_path / "plan"


def edit(plan: Path, script: Any, out: str) -> int:
    path = plan.parent / "edits.json"
    path.write_text(json.dumps(script))
    return main(["edit", str(plan), "--script", str(path), "--out", f"{plan.parent}/{out}"])


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_edits_replay_to_the_same_bytes_and_are_rendered(plan: Path, tiny_model: Path) -> None:
    assert edit(plan, PUSH, "one") == edit(plan, PUSH, "two") == 0
    one, two = plan.parent / "one", plan.parent / "two"
    names = ["edits.json", "filmstrip.png", "manifest.json", "trajectory", "trajectory.mp4"]
    assert sorted(path.name for path in one.iterdir()) == names
    assert content(one / "trajectory") == content(two / "trajectory")
    for name in ("edits.json", "filmstrip.png", "trajectory.mp4"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    before, after = load_trajectory(plan / "trajectory"), load_trajectory(one / "trajectory")
    assert (after.labels[0] == before.labels[0]).all()
    assert after.placement == before.placement
    manifest = json.loads((one / "manifest.json").read_text())
    assert manifest["changed_frames"] == np.flatnonzero((before.labels != after.labels).any(axis=(1, 2))).tolist()
    assert len(manifest["inputs"]["script"]["sha256"]) == 64
    # What is written beside the result is itself a script.
    assert main(["edit", str(plan), "--script", f"{one}/edits.json", "--out", f"{plan.parent}/three"]) == 0
    assert content(plan.parent / "three" / "trajectory") == content(one / "trajectory")
    render = ["render", "--trajectory", str(one), "--model", str(tiny_model), "--steps", "1", "--threads", "1"]
    assert main([*render, "--image", f"{plan.parent}/image.png", "--out", f"{plan.parent}/video"]) == 0
    # It still knows for which picture it was made.
    write_png(plan.parent / "other.png", np.zeros((64, 128, 3), dtype=np.uint8))
    assert main([*render, "--image", f"{plan.parent}/other.png", "--out", f"{plan.parent}/wrong"]) == 2


def test_a_part_of_another_trajectory_is_recorded(plan: Path) -> None:
    assert edit(plan, PUSH, "one") == 0
    compose = {"version": 1, "edits": [{"op": "compose", "source": "one/trajectory", "part": "object"}]}
    assert edit(plan, compose, "two") == 0
    manifest = json.loads((plan.parent / "two" / "manifest.json").read_text())
    assert set(manifest["inputs"]["sources"]["one/trajectory"]["sha256"]) == {f"{index:04d}.png" for index in range(4)}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            {"version": 1, "edits": [{"op": "hold", "frame": 9, "count": 1}]},
            "--script: edits[0]: frame: must lie within",
        ),
        ({"version": 3}, "version: expected 1, found 3"),
        ({"version": 1, "edits": [{"op": "compose", "source": "nowhere"}]}, "nowhere"),
    ],
)
def test_a_wrong_script_is_one_line_and_leaves_nothing(
    plan: Path, script: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert edit(plan, script, "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert line.startswith("mask2iv: error: --script: ")
    assert not (plan.parent / "out").exists()
