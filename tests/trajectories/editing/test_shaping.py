import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.motion import transform
from mask2iv.trajectories.editing.shaping import Polygon, RunLengths, Stroke, compose, paint, remove, simplify
from mask2iv.trajectories.measures import areas, centroids, pieces
from mask2iv.trajectories.runlength import rle_encode


def test_strokes_polygons_and_masks_are_painted(reach: Trajectory) -> None:
    mask = np.zeros(reach.size, dtype=np.bool_)
    mask[50:55, 3:9] = True
    shapes = {
        "strokes": [Stroke(((10, 10), (30, 10)), 5), Stroke(((80, 50),), 7)],
        "polygons": [Polygon(((5, 40), (15, 40), (15, 48), (5, 48)))],
        "masks": [RunLengths(**rle_encode(mask))],
    }
    painted = paint(reach, "object", (3, 4), **shapes)  # type: ignore[arg-type]
    changed = (painted.labels != reach.labels).any(axis=(1, 2))
    assert changed.tolist() == [False, False, False, True, True, False, False, False]
    for x, y in ((20, 10), (20, 12), (80, 52), (10, 44), (5, 52)):
        assert painted.labels[3, y, x] == Label.OBJECT
    assert painted.labels[3, 20, 20] == Label.BACKGROUND
    erased = paint(painted, "background", (3, 4), **shapes)  # type: ignore[arg-type]
    assert (areas(erased, Label.OBJECT) <= areas(reach, Label.OBJECT)).all()


def test_simplify_drops_islands_fills_holes_and_steadies_the_way(reach: Trajectory) -> None:
    labels = reach.labels.copy()
    labels[2, 5:8, 5:8] = Label.OBJECT
    labels[3, 29:31, 40:44] = Label.BACKGROUND
    labels[4] = np.roll(labels[4], 4, axis=0)
    found = simplify(Trajectory(labels), path=1.0)
    assert all(pieces(mask) == 1 for mask in found.object)
    assert found.labels[3, 29:31, 40:44].all()
    shaky, steady = (
        np.abs(np.diff(centroids(one, Label.OBJECT)[:, 0], n=2)).max() for one in (Trajectory(labels), found)
    )
    assert steady < 0.5 * shaky
    ends = centroids(found, Label.OBJECT)[[0, -1]] - centroids(reach, Label.OBJECT)[[0, -1]]
    assert ends == pytest.approx(0, abs=0.1)
    assert (simplify(reach).labels == reach.labels).all(), "what is simple stays"


def test_actor_and_object_of_different_sources(reach: Trajectory) -> None:
    lower = transform(reach, "all", (0, 0), move=(0, 15), easing="step")
    both = compose(reach, lower, "actors")
    assert (both.object == reach.object).all()
    assert (both.actor == lower.actor).all()
    part = compose(reach, lower, "all", (4, None))
    assert (part.labels[:4] == reach.labels[:4]).all()
    assert (part.labels[4:] == lower.labels[4:]).all()
    with pytest.raises(
        InputError, match=r"source: must have the trajectory's T, H, W, \[8, 60, 96\], found \[4, 60, 96\]"
    ):
        compose(reach, Trajectory(reach.labels[:4]))


def test_remove(reach: Trajectory) -> None:
    found = remove(reach, "actors", (2, 5))
    assert not found.actor[2:6].any()
    assert (found.actor[6:] == reach.actor[6:]).all()
    assert (found.object == reach.object).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda one: paint(one, "object"), "nothing to paint"),
        (
            lambda one: paint(one, "object", masks=[RunLengths((2, 2), (0, 4))]),
            r"masks: must be of the trajectory's size",
        ),
        (lambda one: Polygon(((1, 1), (2, 2))), "points: at least 3 needed"),
        (lambda one: Stroke(((1e9, 1),)), "points: must lie within"),
        (lambda one: simplify(one, islands=2), "islands: must be between 0 and 1"),
    ],
)
def test_what_cannot_be_done_is_said(reach: Trajectory, call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=said):
        call(reach)
