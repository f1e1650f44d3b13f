import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.scoring.score import WEIGHTS, score, with_agreement

SIZE, FRAMES = (60, 80), 8


def push(corners: list[tuple[int, int]], touched: bool = True) -> Trajectory:
    """An object of 10x10 pixels with its corner (y, x) in each frame, and an arm from the left border to it."""
    labels = np.zeros((len(corners), *SIZE), dtype=np.uint8)
    for frame, (y, x) in zip(labels, corners, strict=True):
        frame[y + 3 : y + 7, : x if touched else x - 12] = Label.ACTOR
        frame[y : y + 10, x : x + 10] = Label.OBJECT
    return Trajectory(labels)


RIGHT = [(20, 20 + 3 * t) for t in range(FRAMES)]


def test_a_good_push_scores_full() -> None:
    good = push(RIGHT)
    found = score(good, good.object[0], good.object[-1], "a hand pushing a box to the right")
    assert {name: getattr(found, name) for name in WEIGHTS} == dict.fromkeys(WEIGHTS, 1.0) | {"agreement": None}
    assert found.total == 1.0
    assert (found.target_error, found.moving_frames) == (0.0, FRAMES - 1)
    assert found.jerk == pytest.approx(0, abs=1e-9)
    assert found.longest_step == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("worse", "prompt", "lower"),
    [
        (push(RIGHT, touched=False), "", "contact"),
        (push([(20, 20 + 3 * t + 9 * (t % 2)) for t in range(FRAMES)]), "", "smoothness"),
        (push([(20, 20)] * 4 + [(20, 41)] * 4), "", "speed"),
        (push([(20, 20 + t) for t in range(FRAMES)]), "", "target"),
        (push(RIGHT[::-1]), "a hand pushing a box to the right", "direction"),
    ],
)
def test_each_fault_lowers_its_score(worse: Trajectory, prompt: str, lower: str) -> None:
    good = push(RIGHT)
    target = good.object[-1] if lower == "target" else None
    best, found = (score(one, one.object[0], target, prompt) for one in (good, worse))
    assert getattr(found, lower) < 0.8 < getattr(best, lower)
    assert found.total < best.total


def test_permanence_is_sight_size_and_pieces() -> None:
    labels = push(RIGHT).labels
    labels[3][labels[3] == Label.OBJECT] = 0  # out of sight
    labels[5][20:30, 37:42] = 0  # in two pieces of 5x10 and some
    labels[5][20:30, 50:55] = Label.OBJECT
    found = score(Trajectory(labels), push(RIGHT).object[0])
    assert found.permanence == pytest.approx(np.mean([6 / 7, 6 / 7, 5 / 7, 1]))


def test_what_does_not_apply_does_not_count() -> None:
    still = push([(20, 20)] * FRAMES)
    found = score(still, still.object[0], prompt="a hand pouring from a mug into a bowl")
    assert (found.target, found.contact, found.direction, found.agreement) == (None, None, None, None)
    assert found.total == 1.0
    assert set(found.record) > {"total", *WEIGHTS}


def test_the_odd_one_out_agrees_least() -> None:
    three = [
        push(RIGHT),
        push([(y, x + 1) for y, x in RIGHT]),
        push([(y + 2 * t, x) for t, (y, x) in enumerate(RIGHT)]),
    ]
    found = with_agreement([score(one, one.object[0]) for one in three], three)
    agreements = [one.agreement for one in found]
    assert agreements[2] == min(agreements)  # type: ignore[type-var]
    assert found[2].total < found[0].total
    assert with_agreement(found[:1], three[:1]) == found[:1]


def test_too_little_is_refused() -> None:
    one = push(RIGHT)
    with pytest.raises(InputError, match="2 frames or more"):
        score(push(RIGHT[:1]), one.object[0])
    with pytest.raises(InputError, match="start: the mask is empty"):
        score(one, np.zeros(SIZE, dtype=np.bool_))
