import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.trajectories.editing.checks import validate
from mask2iv.trajectories.editing.motion import transform
from mask2iv.trajectories.editing.shaping import Stroke, paint, remove
from mask2iv.trajectories.editing.timing import reverse


def test_a_sound_trajectory_has_no_findings(reach: Trajectory) -> None:
    assert validate(reach, reach) == []


@pytest.mark.parametrize(
    ("change", "kind", "frames"),
    [
        (lambda one: remove(one, "object", (3, 5)), "missing", (3, 4, 5)),
        (lambda one: transform(one, "object", (3, 3), scale=2, easing="step", after="end"), "size", (3, 4)),
        (lambda one: paint(one, "object", (2, 2), [Stroke(((10, 50), (20, 50)), 7)]), "pieces", (2,)),
        (lambda one: transform(one, "all", (4, 4), move=(-30, 0), easing="step"), "jump", (4,)),
        (lambda one: transform(one, "actors", (1, 1), move=(0, 22), easing="step"), "untouched", tuple(range(1, 8))),
        (lambda one: paint(one, "background", (6, 6), [Stroke(((92, 0), (92, 59)), 9)]), "floating", (6,)),
        (reverse, "first_frame", (0,)),
    ],
)
def test_what_looks_wrong_is_found(reach: Trajectory, change, kind: str, frames: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    found = {one.kind: one.frames for one in validate(change(reach), reach)}
    assert found[kind] == frames
    assert set(found) <= {kind, "size", "jump", "pieces"}


def test_findings_say_their_frames(reach: Trajectory) -> None:
    labels = reach.labels.copy()
    labels[[1, 2, 3, 6]] = np.where(labels[[1, 2, 3, 6]] == Label.OBJECT, 0, labels[[1, 2, 3, 6]])
    [missing] = [one for one in validate(Trajectory(labels)) if one.kind == "missing"]
    assert str(missing) == "frames 1 to 3, 6: the object is not seen"
