"""What an object does, on cases whose values are worked out by hand."""

import math

import numpy as np
import pytest
from tests.boxes import DIAGONAL, HEIGHT, WIDTH, Corners, boxes

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.scoring import movement


def bar(angle: float) -> UInt8Array:
    """One frame with a bar of 40x8 pixels, turned counterclockwise by an angle in radians."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([30, 40])[:, None, None]
    along, across = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    return np.where((abs(along) < 20) & (abs(across) < 4), np.uint8(Label.OBJECT), np.uint8(0))


def test_final_distance_is_between_centroids_in_shares_of_the_diagonal() -> None:
    target = boxes([(30, 40)]).object[0]
    predicted = boxes([(0, 0), (10, 10), (27, 36)])
    assert movement.final_distance(predicted, target, predicted.object[0]) == (pytest.approx(5 / DIAGONAL), False)


def test_final_distance_of_a_vanished_object_is_from_where_it_was_last_seen() -> None:
    target = boxes([(30, 40)]).object[0]
    predicted = boxes([(0, 0), (24, 32), None])
    assert movement.final_distance(predicted, target, predicted.object[0]) == (pytest.approx(10 / DIAGONAL), True)


def test_final_distance_of_an_object_never_seen_is_from_its_start() -> None:
    start, target = boxes([(0, 40)]).object[0], boxes([(30, 40)]).object[0]
    assert movement.final_distance(boxes([None, None]), target, start) == (pytest.approx(30 / DIAGONAL), True)


def test_final_distance_refuses_an_empty_target() -> None:
    start = boxes([(0, 0)]).object[0]
    with pytest.raises(InputError, match="target: the mask is empty"):
        movement.final_distance(boxes([(0, 0)]), np.zeros_like(start), start)


def test_touch_counts_moving_frames_only() -> None:
    # Rests beside the actor, moves beside it, moves alone, rests alone.
    objects: Corners = [(20, 20), (20, 20), (20, 25), (20, 30), (20, 30)]
    actors: Corners = [(20, 14), (20, 14), (20, 19), (20, 0), (20, 0)]
    assert movement.moving_and_touching(boxes(objects, actors)) == (2, 1)


def test_touch_reaches_three_pixels_and_no_farther() -> None:
    def touching(gap: int) -> int:
        return movement.moving_and_touching(boxes([(20, 20), (20, 25)], [None, (20, 25 - 6 - gap)]))[1]

    assert (touching(2), touching(3)) == (1, 0)


def test_slow_or_unseen_objects_do_not_move() -> None:
    # One pixel is just the 1 % of the diagonal that is not yet a movement.
    assert movement.moving_and_touching(boxes([(20, 20), (20, 21)], [(20, 14)] * 2)) == (0, 0)
    assert movement.moving_and_touching(boxes([(20, 20), None, (20, 40)], [(20, 14)] * 3)) == (0, 0)


@pytest.mark.parametrize(
    ("end", "way"), [((20, 30), "right"), ((20, 10), "left"), ((10, 20), "up"), ((30, 20), "down")]
)
def test_an_object_goes_the_one_way_it_goes(end: tuple[int, int], way: str) -> None:
    moved = boxes([(20, 20), end])
    assert [name for name in ("left", "right", "up", "down") if movement.goes(moved, name)] == [way]


def test_a_way_needs_a_dominant_axis_and_two_percent() -> None:
    assert not movement.goes(boxes([(20, 20), (20, 21)]), "right")
    assert movement.goes(boxes([(20, 20), (20, 22)]), "right")
    assert not movement.goes(boxes([(20, 20), (30, 30)]), "right")
    assert not movement.goes(boxes([None, (20, 40)]), "right")
    assert movement.goes(boxes([None, (20, 20), (20, 40), None]), "right")


@pytest.mark.parametrize("steps", [3, 15])
def test_turns_are_followed_through_the_upright_axis(steps: int) -> None:
    turning = Trajectory(np.stack([bar(angle) for angle in np.linspace(1.0, 2.4, steps)]))
    assert movement.goes(turning, "counterclockwise")
    assert not movement.goes(turning, "clockwise")
    backwards = Trajectory(turning.labels[::-1].copy())
    assert movement.goes(backwards, "clockwise")
    assert not movement.goes(Trajectory(np.stack([bar(0.3)] * steps)), "clockwise")


@pytest.mark.parametrize(
    ("verb", "object_name", "direction", "way"),
    [
        ("pushing", "box", "forward", movement.Way("forward", "up")),
        ("moving", "box", "backward", movement.Way("backward", "down")),
        ("pulling", "box", "left", movement.Way("left", "left")),
        ("picking up", "box", "", movement.Way("picking up", "up")),
        ("putting down", "box", "", movement.Way("putting down", "down")),
        ("opening", "drawer", "", movement.Way("opening", "down")),
        ("closing", "drawer", "", movement.Way("closing", "up")),
        ("opening", "laptop", "", movement.Way("opening", "up")),
        ("opening", "window", "", None),
        ("pouring", "kettle", "", None),
        ("rotating", "box", "clockwise", None),
    ],
)
def test_what_captions_say(verb: str, object_name: str, direction: str, way: movement.Way | None) -> None:
    assert movement.way_of(verb, object_name, direction, boxes([(0, 0)]).object[0]) == way


def test_turns_are_told_of_elongated_objects() -> None:
    knife = bar(0.5) > 0
    assert movement.way_of("rotating", "knife", "clockwise", knife) == movement.Way("rotating", "clockwise")
    assert movement.way_of("rotating", "knife", "", knife) is None


@pytest.mark.parametrize(
    ("prompt", "way"),
    [
        ("a hand pushing a box to the left", movement.Way("left", "left")),
        ("A robot arm moving a can forward.", movement.Way("forward", "up")),
        ("a hand picking up a cup", movement.Way("picking up", "up")),
        ("a hand opening a drawer", movement.Way("opening", "down")),
        ("a hand opening a lidded box", movement.Way("opening", "up")),
        ("a hand rotating a box clockwise", None),
        ("a hand pouring from a mug into a bowl", None),
        ("a hand turned left", None),
        ("", None),
    ],
)
def test_what_a_prompt_says(prompt: str, way: movement.Way | None) -> None:
    assert movement.way_said(prompt, boxes([(0, 0)]).object[0]) == way
