import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError, InputWarning
from mask2iv.trajectories.editing.replay import apply, load_sources
from mask2iv.trajectories.editing.script import EditScript, json_schema, read_script, script_of, write_script
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.storage import save_trajectory_file

EVERY_OPERATION: list[dict[str, Any]] = [
    {"op": "transform", "part": "all", "frames": [2, 6], "move": [-5, 3], "rotate": 10},
    {"op": "keyframes", "part": "actors", "keys": [{"frame": 0}, {"frame": 7, "move": [3, 0]}]},
    {"op": "path", "places": [{"frame": 7, "x": 30, "y": 40, "scale": 1.2}]},
    {"op": "retime", "curve": [{"frame": 0, "source": 0}, {"frame": 7, "source": 5.5}], "interpolation": "ease-in-out"},
    {"op": "hold", "frame": 3, "count": 1},
    {"op": "reverse", "frames": [5, 7]},
    {"op": "paint", "label": "actor", "strokes": [{"points": [[80, 10], [95, 12]], "width": 5}], "frames": [4, 4]},
    {"op": "remove", "part": "second_actor"},
    {"op": "simplify", "outline": 1.0, "path": 0.5},
    {"op": "compose", "part": "actors", "source": "other.npz", "frames": [6, 7]},
]


def script(*edits: dict[str, Any], **rest: Any) -> EditScript:
    return script_of({"version": 1, "edits": list(edits), **rest})


def test_every_operation_replays_from_its_file_to_the_same_labels(reach: Trajectory, tmp_path: Path) -> None:
    save_trajectory_file(Trajectory(reach.labels[::-1].copy()), tmp_path / "other.npz")
    (tmp_path / "edits.json").write_text(json.dumps({"version": 1, "edits": EVERY_OPERATION}))
    first = read_script(tmp_path / "edits.json")
    write_script(tmp_path / "again.json", first)
    second = read_script(tmp_path / "again.json")
    assert first == second
    one, other = (apply(reach, edits, load_sources(edits, tmp_path)) for edits in (first, second))
    assert (one.labels == other.labels).all()
    assert (one.labels[1:] != reach.labels[1:]).any(axis=(1, 2)).all()
    assert (one.labels[0] == reach.labels[0]).all(), "what the picture shows stays"
    operations = json_schema()["$defs"]
    assert {name for name in operations if "op" in operations[name]["properties"]} == {
        edit["op"].capitalize() for edit in EVERY_OPERATION
    }


def test_pins_stay(reach: Trajectory) -> None:
    away = {"op": "transform", "part": "all", "move": [0, 12], "easing": "step"}
    pinned = apply(reach, script(away, pins=[{"part": "object", "frames": [5, 7]}]))
    assert (pinned.object[5:] == reach.object[5:]).all()
    assert (pinned.actor[5:] != reach.actor[5:]).any()
    assert (pinned.object[1:5] != reach.object[1:5]).any(axis=(1, 2)).all()
    free = apply(reach, script(away, keep_first_frame=False))
    assert (free.labels[0] != reach.labels[0]).any()


def test_painted_colours_are_dropped_with_a_warning(reach: Trajectory) -> None:
    painted = labels_to_rgb(reach.labels)
    painted[reach.object, 1] = 255
    official = Trajectory(reach.labels, painted=painted)
    assert apply(official, script()) is official
    with pytest.warns(InputWarning, match="colours that an official stage 1 painted"):
        found = apply(official, script({"op": "hold", "frame": 1, "count": 1}))
    assert found.painted is None


def test_what_is_no_script_is_named_by_its_place(tmp_path: Path, reach: Trajectory) -> None:
    for values, said in (
        ({"version": 2}, "version: expected 1"),
        ({}, "missing configuration key 'version'"),
        ({"version": 1, "edits": [{"op": "explode"}]}, r"edits\[0\]: .*'explode'"),
        ({"version": 1, "edits": [{"op": "transform", "moved": [1, 1]}]}, r"edits\[0\].transform.moved: unknown"),
        (
            {"version": 1, "edits": [{"op": "hold", "frame": 1, "count": "2"}]},
            r"edits\[0\].hold.count: expected a valid",
        ),
        (
            {"version": 1, "edits": [{"op": "path", "places": [{"frame": -1, "x": 1, "y": 1}]}]},
            r"places\[0\]: frame: must",
        ),
    ):
        (tmp_path / "edits.json").write_text(json.dumps(values))
        with pytest.raises(InputError, match=rf"edits\.json: .*{said}|{said}"):
            read_script(tmp_path / "edits.json")
    for edits, said in (
        (
            script({"op": "hold", "frame": 1, "count": 1}, {"op": "hold", "frame": 99, "count": 1}),
            r"edits\[1\]: frame: ",
        ),
        (script({"op": "compose", "source": "x.npz"}), r"edits\[0\]: source: no trajectory"),
        (script({"op": "reverse"}, pins=[{"frames": [9, 9]}]), r"pins\[0\].frames: must lie"),
        (script(num_frames=16), "num_frames: the script was made for 16, the trajectory has 8"),
        (script(size=[60, 99]), r"size: the script was made for \(60, 99\)"),
    ):
        with pytest.raises(InputError, match=said):
            apply(reach, edits)


def test_random_scripts_keep_labels_in_order(reach: Trajectory) -> None:
    """Whatever is moved, a trajectory stays one: of its size, with known labels, the first frame kept."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        edits = [
            {
                "op": "transform",
                "part": str(draw.choice(["object", "actor", "second_actor", "actors", "all"])),
                "frames": sorted(draw.integers(0, 8, 2).tolist()),
                "move": draw.normal(0, 30, 2).tolist(),
                "scale": float(np.exp(draw.normal(0, 0.7))),
                "rotate": float(draw.normal(0, 90)),
                "front": str(draw.choice(["object", "actor"])),
                "uncovered": str(draw.choice(["complete", "background"])),
            }
            for _ in range(3)
        ]
        found = apply(reach, script(*edits))
        assert found.labels.shape == reach.labels.shape
        assert (found.labels[0] == reach.labels[0]).all()
        assert not (found.labels == Label.SECOND_ACTOR).any()
