import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.checks import validate
from mask2iv.trajectories.editing.motion import Keyframe, Place, along_path, keyframes, track, transform
from mask2iv.trajectories.measures import areas, centroids


def way(before: Trajectory, after: Trajectory, label: int = Label.OBJECT) -> np.ndarray:
    """By how much a label's centroid is farther to the right and down in each frame, [T, 2]."""
    return (centroids(after, label) - centroids(before, label))[:, ::-1]


def test_a_move_grows_over_its_frames_and_stays(reach: Trajectory) -> None:
    moved = transform(reach, "all", (2, 6), move=(-8, 4), easing="linear")
    found = way(reach, moved)
    shares = np.array([0, 0, 0, 0.25, 0.5, 0.75, 1, 1])
    assert found == pytest.approx(shares[:, None] * [-8, 4], abs=0.3)
    assert (areas(moved, Label.OBJECT) == areas(reach, Label.OBJECT)).all()


@pytest.mark.parametrize(
    ("easing", "halfway"), [("ease-in", 0.25), ("ease-out", 0.75), ("ease-in-out", 0.5), ("step", 1)]
)
def test_easings_differ_halfway(reach: Trajectory, easing: str, halfway: float) -> None:
    moved = transform(reach, "object", (0, 4), move=(0, 16), easing=easing, after="end")  # type: ignore[arg-type]
    found = way(reach, moved)[:, 1]
    assert found[2] == pytest.approx(16 * halfway, abs=0.3)
    assert found[4] == pytest.approx(16, abs=0.3)
    assert not found[5:].any(), "the change ends with its frames"


def test_scale_and_rotation_turn_about_the_object(reach: Trajectory) -> None:
    grown = transform(reach, "object", (0, 0), scale=1.5, easing="step")
    assert areas(grown, Label.OBJECT) == pytest.approx(240 * 1.5**2, rel=0.08)
    assert way(reach, grown) == pytest.approx(0, abs=0.6)
    turned = transform(reach, "object", (0, 0), rotate=90, easing="step")
    rows, columns = np.nonzero(turned.object[3])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == pytest.approx((20, 12), abs=1)
    assert way(reach, turned) == pytest.approx(0, abs=0.6)
    clockwise = transform(reach, "object", (0, 0), rotate=30, easing="step").object[0]
    rows, columns = np.nonzero(clockwise)
    assert rows[columns > 52].mean() > rows[columns < 48].mean() + 3, "the right end goes down"


def test_the_object_lies_over_the_actor_unless_said_otherwise(reach: Trajectory) -> None:
    over = transform(reach, "object", (0, 0), move=(10, 0), easing="step")
    assert (areas(over, Label.OBJECT) == 240).all()
    assert (areas(over, Label.ACTOR) < areas(reach, Label.ACTOR)).all()
    under = transform(reach, "object", (0, 0), move=(10, 0), easing="step", front="actor")
    assert (areas(under, Label.ACTOR) == areas(reach, Label.ACTOR)).all()
    assert (areas(under, Label.OBJECT) < 240).all()


def test_what_a_part_uncovers_is_completed_or_background(reach: Trajectory) -> None:
    # A finger lies over the object, as a network may draw it.
    labels = reach.labels.copy()
    for index in range(1, 8):
        labels[index, 28:33, 48 - 2 * index : 62 - 2 * index] = Label.ACTOR
    covered = Trajectory(labels)
    found = transform(covered, "actor", (1, 1), move=(0, 25), easing="step")
    assert areas(found, Label.OBJECT)[1:] == pytest.approx(240, abs=15), "as the first frame shows it"
    found = transform(covered, "actor", (1, 1), move=(0, 25), easing="step", uncovered="background")
    assert (areas(found, Label.OBJECT)[1:] == areas(covered, Label.OBJECT)[1:]).all()


def test_an_arm_goes_on_outside_the_picture(reach: Trajectory) -> None:
    moved = transform(reach, "actors", (0, 0), move=(-6, 0), easing="step")
    assert (moved.actor[:, :, -1].sum(axis=1) == reach.actor[:, :, -1].sum(axis=1)).all()


def test_keyframes_are_met_and_do_not_overshoot(reach: Trajectory) -> None:
    keys = [Keyframe(0), Keyframe(3, move=(0, 12)), Keyframe(5, move=(0, 12)), Keyframe(7, move=(0, -6))]
    found = way(reach, keyframes(reach, keys))[:, 1]
    assert found[[0, 3, 4, 5, 7]] == pytest.approx([0, 12, 12, 12, -6], abs=0.3)
    assert (np.diff(found[:4]) >= 0).all()
    assert (np.diff(found[5:]) <= 0).all()


def test_a_path_lays_the_object_and_the_actor_follows(reach: Trajectory) -> None:
    places = [Place(3, 50, 40), Place(7, 30, 15, scale=1.3)]
    found = along_path(reach, places, "linear")
    path = centroids(found, Label.OBJECT)[:, ::-1]
    assert path[[0, 3, 7]] == pytest.approx(np.array([[49.5, 29.5], [50, 40], [30, 15]]), abs=0.5)
    assert areas(found, Label.OBJECT)[7] == pytest.approx(240 * 1.3**2, rel=0.1)
    assert "untouched" not in {one.kind for one in validate(found)}, "what touched the object still does"
    stays = along_path(reach, places, "linear", actors="stay", front="actor")
    assert (stays.actor == reach.actor).all()


def test_a_track_begins_where_the_object_is(reach: Trajectory) -> None:
    motions = track([Place(7, 70, 20)], reach.object[0], 8)
    assert motions[0] == pytest.approx(np.eye(2, 3))
    assert motions[7] @ [49.5, 29.5, 1] == pytest.approx([70, 20])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda one: transform(one, frames=(2, 8)), "frames: must lie within 0 and 7"),
        (lambda one: transform(one, frames=(5, 2)), "found 5 to 2"),
        (lambda one: transform(one, scale=0), "scale: must be between"),
        (lambda one: keyframes(one, []), "keyframes: there are none"),
        (lambda one: keyframes(one, [Keyframe(3), Keyframe(3)]), "must rise"),
        (lambda one: along_path(one, [Place(8, 1, 1)]), "the last frame is 7"),
    ],
)
def test_what_cannot_be_done_is_said(reach: Trajectory, call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=said):
        call(reach)
