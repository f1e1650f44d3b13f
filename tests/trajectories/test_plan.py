import cv2
import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.errors import InputError
from mask2iv.trajectories.plan import NUMBERS, InteractionPlan, plan_of

SIZE = (96, 160)
UNIT = SIZE[0] - 1


def scene(steps: list[tuple[int, int]], reach: bool = True) -> np.ndarray:
    """A bar that moves by (down, right), and an arm from the right border that touches its right end."""
    labels = np.zeros((len(steps), *SIZE), np.uint8)
    for frame, (down, right) in zip(labels, steps, strict=True):
        if reach:
            cv2.line(frame, (74 + right, 40 + down), (SIZE[1] - 1, 70), int(Label.ACTOR), 9)
        frame[36 + down : 46 + down, 40 + right : 70 + right] = Label.OBJECT
    return labels


def test_a_plan_says_where_object_and_actor_are() -> None:
    plan = plan_of(scene([(0, 0), (4, 10), (8, 20)]))
    assert plan.num_frames == 3
    assert np.array(plan.start) * UNIT == pytest.approx([54.5, 40.5], abs=0.6)
    assert plan.shift * UNIT == pytest.approx(np.array([[0, 0], [10, 4], [20, 8]]), abs=0.6)
    assert plan.log_scale == pytest.approx(0, abs=0.03)
    assert plan.angle == pytest.approx(0, abs=0.06)
    arm = plan.actors[0]
    assert arm.present.all()
    assert not plan.actors[1].present.any()
    assert arm.tip * UNIT == pytest.approx(np.array([[16, 0]] * 3), abs=4), "the bar's right end, from its centre"
    assert arm.entry * UNIT == pytest.approx(np.array([[SIZE[1] - 1, 70]] * 3), abs=3)
    assert arm.width * UNIT == pytest.approx(9, abs=4)


def test_an_arm_that_does_not_reach_the_border_has_no_width() -> None:
    labels = scene([(0, 0), (0, 0)])
    labels[:, :, 140:] = 0
    arm = plan_of(labels).actors[0]
    assert (arm.width == 0).all()
    assert arm.entry[:, 0] * UNIT == pytest.approx(138, abs=4)


def test_numbers_and_back() -> None:
    plan = plan_of(scene([(0, 0), (4, 10), (8, 20)]))
    values = plan.to_array()
    assert values.shape == (3, NUMBERS)
    again = InteractionPlan.from_array(values, plan.start)
    assert np.array_equal(again.to_array(), values)
    with pytest.raises(InputError, match=r"\[T, 22\], found \[3, 5\]"):
        InteractionPlan.from_array(values[:, :5], plan.start)


def test_motions_of_a_plan_are_those_of_the_masks() -> None:
    labels = scene([(0, 0), (6, 12)])
    transform = plan_of(labels).transforms(SIZE[0])[1]
    assert transform[:, :2] @ [54.5, 40.5] + transform[:, 2] == pytest.approx([66.5, 46.5], abs=0.7)


def test_a_first_frame_without_the_object_has_no_plan() -> None:
    with pytest.raises(InputError, match="the first frame lacks the object"):
        plan_of(np.zeros((2, *SIZE), np.uint8))
