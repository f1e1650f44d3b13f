import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.timing import TimeKey, hold, retime, reverse
from mask2iv.trajectories.measures import areas, centroids


def column(trajectory: Trajectory) -> np.ndarray:
    return centroids(trajectory, Label.OBJECT)[:, 1]


def test_half_speed_blends_the_frames_between(reach: Trajectory) -> None:
    slow = retime(reach, [TimeKey(0, 0), TimeKey(7, 3.5)])
    assert column(slow) == pytest.approx(49.5 - np.arange(8), abs=0.3)
    assert areas(slow, Label.OBJECT) == pytest.approx(240, abs=12)
    assert (slow.labels[::2] == reach.labels[:4]).all(), "what is a frame is that frame"
    steps = retime(reach, [TimeKey(0, 0), TimeKey(7, 3.5)], between="nearest")
    assert len(np.unique(column(steps))) == 5


def test_a_curve_may_be_faster_stand_still_and_go_back(reach: Trajectory) -> None:
    found = retime(reach, [TimeKey(0, 0), TimeKey(2, 6), TimeKey(4, 6), TimeKey(7, 0)])
    for frame, source in ((0, 0), (1, 3), (2, 6), (3, 6), (4, 6), (5, 4), (6, 2), (7, 0)):
        assert (found.labels[frame] == reach.labels[source]).all(), frame


def test_a_part_has_its_own_time(reach: Trajectory) -> None:
    late = retime(reach, [TimeKey(0, 0), TimeKey(3, 0), TimeKey(7, 4)], part="object")
    assert column(late) == pytest.approx(49.5 - 2 * np.array([0, 0, 0, 0, 1, 2, 3, 4]), abs=0.1)
    assert (late.actor & reach.actor).sum() > 0.8 * reach.actor.sum()


def test_another_length(reach: Trajectory) -> None:
    longer = retime(reach, [TimeKey(0, 0), TimeKey(14, 7)], length=15)
    assert longer.num_frames == 15
    assert (longer.labels[::2] == reach.labels).all()


def test_hold_and_reverse(reach: Trajectory) -> None:
    held = hold(reach, 2, 3)
    assert (held.labels == reach.labels[[0, 1, 2, 2, 2, 2, 3, 4]]).all()
    assert (reverse(reach, (2, None)).labels == reach.labels[[0, 1, 7, 6, 5, 4, 3, 2]]).all()
    assert (reverse(reverse(reach)).labels == reach.labels).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda one: retime(one, []), "curve: there are none"),
        (lambda one: retime(one, [TimeKey(0, 7.5)]), "the original's last frame is 7, found 7.5"),
        (lambda one: retime(one, [TimeKey(0, 1)], part="object", length=4), "another length than the rest"),
        (lambda one: hold(one, 9, 1), "frame: must lie within"),
        (lambda one: hold(one, 1, 0), "count: must be 1"),
    ],
)
def test_what_cannot_be_done_is_said(reach: Trajectory, call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=said):
        call(reach)
