"""Waypoints do what a part's path asks for."""

import numpy as np

from mask2iv.execution.metaworld.policy import program_of

FINGERS = np.array([0.0, 0.6, 0.15])


def path(*, to: list[float], start: tuple[float, float, float] = (0.1, 0.7, 0.1)) -> np.ndarray:
    return np.array(start) + np.linspace(0, 1, 16)[:, None] * np.array(to)


def test_a_push_begins_behind_the_part_and_never_opens_the_gripper() -> None:
    program = program_of(path(to=[0, 0.2, 0]), "push", FINGERS)
    low = [step for step in program if step["to"][2] < 0.1]
    assert low[0]["to"][1] < 0.7 - 0.05
    assert low[-1]["to"][1] > 0.9
    assert all(step["effort"] == 1.0 for step in program)
    assert program[0]["to"][2] > 0.2, "it goes up first"


def test_a_part_is_pressed_from_above() -> None:
    program = program_of(path(to=[0, 0, -0.06]), "press", FINGERS)
    heights = [step["to"][2] for step in program[1:]]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < 0.04
    assert all(np.allclose(step["to"][:2], [0.1, 0.7]) for step in program[1:])


def test_a_part_is_taken_before_it_is_carried() -> None:
    program = program_of(path(to=[0, 0.1, 0.2]), "grasp", FINGERS)
    closed = next(index for index, step in enumerate(program) if step["effort"] > 0)
    assert np.allclose(program[closed]["to"], [0.1, 0.7, 0.1])
    assert np.allclose(program[-1]["to"], [0.1, 0.8, 0.3])
    assert all(step["effort"] > 0 for step in program[closed:])


def test_what_is_held_is_carried_on_from_where_the_fingers_are() -> None:
    program = program_of(path(to=[0, 0.1, 0.2]), "grasp", np.array([0.1, 0.72, 0.1]), held=True)
    assert all(step["effort"] > 0 for step in program)
    assert np.allclose(program[-1]["to"], [0.1, 0.82, 0.3])


def test_the_gripper_stays_above_the_table() -> None:
    for kind in ("push", "press", "grasp"):
        program = program_of(path(to=[0, 0.1, -0.3]), kind, FINGERS)
        assert min(step["to"][2] for step in program) > 0
