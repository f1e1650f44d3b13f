"""Edits by hand: made, undone, saved, loaded, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.studio.editing import Editing
from mask2iv.trajectories.editing.replay import apply
from mask2iv.trajectories.editing.script import write_script

MOVE = {"op": "transform", "part": "object", "frames": [2, 5], "move": [6.0, 0.0]}


@pytest.fixture
def editing() -> Editing:
    labels = np.zeros((8, 40, 60), dtype=np.uint8)
    for index, frame in enumerate(labels):
        frame[15:25, 20 + index : 30 + index] = Label.OBJECT
        frame[18:22, : 20 + index] = Label.ACTOR
    return Editing.of(Trajectory(labels))


def right_edge(trajectory: Trajectory) -> list[int]:
    return [int(np.nonzero(frame)[1].max()) for frame in trajectory.object]


def test_undo_and_redo(editing: Editing) -> None:
    before = right_edge(editing.original)
    editing.edit(MOVE)
    moved = right_edge(editing.trajectory)
    assert moved[:2] == before[:2]
    assert moved[5] == before[5] + 6
    editing.edit({"op": "reverse", "frames": [4, 7]})
    editing.undo()
    assert right_edge(editing.trajectory) == moved
    editing.undo()
    assert editing.trajectory is editing.original
    assert not editing.undoable
    editing.redo()
    assert right_edge(editing.trajectory) == moved
    editing.edit({"op": "hold", "frame": 2, "count": 1})
    assert not editing.redoable, "another way was taken"


def test_one_by_one_is_the_same_as_the_script_at_once(editing: Editing) -> None:
    for values in (
        MOVE,
        {"op": "transform", "part": "all", "frames": [0, 7], "scale": 1.2, "rotate": 20.0},
        {"op": "paint", "label": "actor", "frames": [0, 3], "strokes": [{"points": [[40, 5], [50, 9]], "width": 5}]},
        {"op": "hold", "frame": 3, "count": 2},
    ):
        editing.edit(values)
    whole = apply(editing.original, editing.script)
    assert (whole.labels == editing.trajectory.labels).all()
    assert (whole.labels[0] == editing.original.labels[0]).all(), "the first frame is what the picture shows"


def test_saved_edits_are_loaded_again(editing: Editing, tmp_path: Path) -> None:
    editing.edit(MOVE)
    write_script(tmp_path / "edits.json", editing.script)
    other = Editing.of(editing.original)
    other.load(tmp_path / "edits.json")
    assert (other.trajectory.labels == editing.trajectory.labels).all()
    other.undo()
    assert other.trajectory is other.original


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"version": 2}',
        '{"version": 1, "edits": [{"op": "explode"}]}',
        '{"version": 1, "edits": [{"op": "compose", "source": "/etc/passwd"}]}',
        '{"version": 1, "edits": [{"op": "retime", "curve": [{"frame": 0, "source": 0}], "length": 99}]}',
        '{"version": 1, "num_frames": 5, "edits": []}',
    ],
)
def test_other_files_are_refused_and_change_nothing(editing: Editing, tmp_path: Path, text: str) -> None:
    (tmp_path / "edits.json").write_text(text)
    with pytest.raises(InputError) as caught:
        editing.load(tmp_path / "edits.json")
    assert caught.value.field == "edits"
    assert str(tmp_path) not in str(caught.value)
    assert editing.trajectory is editing.original


def test_an_edit_that_cannot_be_made_changes_nothing(editing: Editing) -> None:
    for values in ({"op": "hold", "frame": 99, "count": 1}, {"op": "transform", "scale": 0}, {"op": "compose"}, {}):
        with pytest.raises(InputError):
            editing.edit(values)
    assert editing.trajectory is editing.original
    assert not editing.undoable


def test_contacts_and_findings(editing: Editing) -> None:
    assert editing.contacts == [True] * 8
    assert editing.findings == []
    editing.edit({"op": "transform", "part": "actors", "frames": [4, 4], "move": [-15.0, 0.0]})
    assert editing.contacts[3:6] == [True, False, False]
    assert "untouched" in {finding.kind for finding in editing.findings}
