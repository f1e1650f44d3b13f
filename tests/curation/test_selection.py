"""The choice of the object, the motion score and the gates, on masks whose answers are computed by hand."""

import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.curation.selection import (
    MOVING,
    OFFICIAL,
    ROBUST,
    Gates,
    check_gates,
    mean_mutual_iou,
    motion_score,
    select_object,
    slowest,
    to_labels,
)
from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Detection

FRAMES, HEIGHT, WIDTH = 20, 48, 64
GRIPPER = ("robot gripper",)


def square(x: list[int], y: int, side: int, height: int | None = None) -> np.ndarray:
    """A track bool [T, H, W]: a square whose left edge is at x[t]; parts outside the picture are cut off."""
    track = np.zeros((len(x), HEIGHT, WIDTH), dtype=bool)
    for mask, left in zip(track, x, strict=True):
        mask[y : y + (height or side), max(left, 0) : max(left + side, 0)] = True
    return track


def found(phrase: str = "", score: float = 0.5) -> Detection:
    return Detection((0, 0, 1, 1), score, phrase)


@pytest.fixture
def scene() -> np.ndarray:
    """An arm that comes in from the left and pushes a can to the right; in front of a still cup; a still pot."""
    arm = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=bool)
    for t in range(FRAMES):
        arm[t, 20:28, : 6 + 2 * t] = True
    can = square([20] * 7 + [20 + 2 * (t - 7) for t in range(7, FRAMES)], 18, 12)
    can &= ~arm
    cup = square([4] * FRAMES, 16, 14) & ~arm
    pot = square([50] * FRAMES, 36, 10)
    return np.stack([pot, cup, can, arm])


DETECTIONS = [found("pot", 0.9), found("cup", 0.8), found("can", 0.6), found("robot gripper", 0.7)]


def test_mean_mutual_iou_of_pairs_of_masks() -> None:
    # 4x4 squares at 0, 2 and 4: neighbours share 8 of 24 pixels, the ends nothing.
    assert mean_mutual_iou(square([0, 2, 4], 10, 4), 1) == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert mean_mutual_iou(square([0, 2, 4], 10, 4), 2) == 0.0
    assert mean_mutual_iou(square([5, 5, 5], 10, 4), 1) == 1.0


def test_empty_masks_say_nothing_of_motion() -> None:
    track = square([0, 0, 2], 10, 4)
    track[1] = False
    assert mean_mutual_iou(track, 1) == pytest.approx(1 / 3)
    assert mean_mutual_iou(np.zeros_like(track), 1) == 1.0
    with pytest.raises(InputError, match=r"^stride: "):
        mean_mutual_iou(track, 0)


def test_the_moved_object_and_the_actor_are_chosen(scene: np.ndarray) -> None:
    choice = select_object(scene, DETECTIONS, GRIPPER)
    assert (choice.object, choice.actor, choice.reason) == (2, 3, "moved most")
    assert set(choice.scores) == {0, 1, 2, 3}
    assert choice.scores[0] == 1.0


def test_what_the_arm_hides_has_not_moved(scene: np.ndarray) -> None:
    # The arm covers more and more of the cup. Without its excuse, the cup's mask changes much.
    assert select_object(scene, DETECTIONS, GRIPPER).scores[1] > 0.97
    assert select_object(scene, DETECTIONS, GRIPPER, OFFICIAL).scores[1] < 0.8


def test_official_rules_leave_out_what_meets_the_gripper_at_first(scene: np.ndarray) -> None:
    # The cup meets the arm in the first frame; the can does not.
    choice = select_object(scene, DETECTIONS, GRIPPER, OFFICIAL)
    assert (choice.object, choice.actor) == (2, 3)
    near = scene.copy()
    near[3, 0, 20:28, :20] = True
    assert select_object(near, DETECTIONS, GRIPPER, OFFICIAL).object is None


def test_official_rules_take_the_surest_mask_below_065_as_the_gripper() -> None:
    still = square([30] * FRAMES, 4, 8)
    moving = square([2 * t for t in range(FRAMES)], 20, 8)
    can = square([20 + t for t in range(FRAMES)], 36, 8)
    choice = select_object(
        np.stack([still, moving, can]),
        [found("robot gripper", 0.9), found("robot gripper", 0.5), found("can", 0.7)],
        GRIPPER,
        OFFICIAL,
    )
    assert (choice.object, choice.actor) == (2, 1)


def test_a_drawer_may_move_less_under_official_rules() -> None:
    # Ends 0.6 of the area apart at most: the mean IoU lies between 0.75 and 0.90.
    drawer = square([10 + t // 5 for t in range(FRAMES)], 10, 20)
    arm = square([3 * t - 10 for t in range(FRAMES)], 40, 8)
    for phrase, expected in (("drawer", 0), ("box", None)):
        choice = select_object(np.stack([drawer, arm]), [found(phrase), found("robot gripper")], GRIPPER, OFFICIAL)
        assert 0.75 < choice.scores[0] < 0.90
        assert choice.object == expected


def test_without_words_the_actor_is_what_reaches_in_from_the_border(scene: np.ndarray) -> None:
    choice = select_object(scene, [found()] * 4, GRIPPER)
    assert (choice.object, choice.actor) == (2, 3)
    alone = select_object(scene[:3], [found()] * 3, GRIPPER)
    assert alone.actor is None


def test_an_object_that_was_asked_for_goes_first() -> None:
    can = square([10 + t // 4 for t in range(FRAMES)], 4, 10)
    cup = square([10 + t for t in range(FRAMES)], 24, 10)
    arm = square([2 * t - 8 for t in range(FRAMES)], 14, 10)
    tracks, detections = np.stack([can, cup, arm]), [found("can"), found("cup"), found("gripper")]
    assert select_object(tracks, detections, GRIPPER).object == 1
    choice = select_object(tracks, detections, GRIPPER, ROBUST, ("silver can",))
    assert (choice.object, choice.reason) == (0, "asked for and moved most")


def test_of_boxes_of_what_moves_the_one_that_gets_farthest_is_taken() -> None:
    # The first track changes most: it has got lost on something else.
    lost = square([2 + 2 * t for t in range(FRAMES)], 4, 4)
    moved = square([10 + t for t in range(FRAMES)], 20, 10)
    tracks, detections = np.stack([lost, moved]), [found("", 0.1), found("", 0.6)]
    assert select_object(tracks, detections, GRIPPER).object == 0
    choice = select_object(tracks, detections, GRIPPER, MOVING)
    assert (choice.object, choice.reason) == (1, "moved farthest")


def test_a_second_box_of_the_arm_and_the_room_are_no_objects(scene: np.ndarray) -> None:
    hand = scene[3].copy()
    hand[:, :, :4] = False
    room = ~scene.any(axis=0)
    tracks = np.concatenate([scene, hand[None], room[None]])
    choice = select_object(tracks, [*DETECTIONS, found("tool", 0.3), found("table", 0.3)], GRIPPER)
    assert choice.object == 2


@pytest.mark.parametrize("rules", [ROBUST, OFFICIAL])
def test_reasons_where_nothing_can_be_chosen(rules: object, scene: np.ndarray) -> None:
    empty = np.zeros((0, FRAMES, HEIGHT, WIDTH), dtype=bool)
    assert select_object(empty, [], GRIPPER, rules).reason == "nothing detected"
    assert select_object(scene[:0:-1] & False, DETECTIONS[:3], GRIPPER, rules).reason == "no usable track"
    assert select_object(scene[3:], DETECTIONS[3:], GRIPPER, rules).reason == "no object beside the actor"
    still = select_object(scene[[0, 3]], [DETECTIONS[0], DETECTIONS[3]], GRIPPER, rules)
    assert (still.object, still.actor, still.reason) == (None, 1, "no object moved")
    with pytest.raises(InputError, match=r"^tracks: "):
        select_object(scene, DETECTIONS[:2], GRIPPER, rules)


def test_labels_show_the_object_before_the_actor(scene: np.ndarray) -> None:
    both = scene.copy()
    both[2] |= scene[3]
    labels = to_labels(both, select_object(scene, DETECTIONS, GRIPPER))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels == Label.OBJECT, both[2])
    assert not (labels == Label.ACTOR).any()


def test_the_motion_score_is_the_mean_path_in_diagonals() -> None:
    labels = np.zeros((4, 30, 40), dtype=np.uint8)
    for t in range(4):
        labels[t, 2:6, 5 * t : 5 * t + 4] = Label.ACTOR
        labels[t, 20:24, 10:14] = Label.OBJECT
    # The diagonal is 50, the actor goes 15, the object 0.
    assert motion_score(labels) == pytest.approx(15 / 50 / 2)
    assert motion_score(labels, actor_only=True) == pytest.approx(15 / 50)
    labels[1:3][labels[1:3] == Label.ACTOR] = 0
    assert motion_score(labels) == pytest.approx(15 / 50 / 2), "hidden frames are skipped"
    assert motion_score(np.zeros_like(labels)) == 0.0


def test_the_slowest_five_percent_go_and_ties_by_name() -> None:
    scores = {f"clip-{i:02d}": float(i) for i in range(40)}
    assert slowest(scores) == {"clip-00", "clip-01"}
    assert slowest(dict.fromkeys(reversed(scores), 1.0)) == {"clip-00", "clip-01"}
    assert slowest(scores, 0.0) == set()
    assert slowest({"a": 1.0}) == set()
    assert len(slowest({str(i): 0.0 for i in range(100)}, 0.07)) == 7
    for wrong, field in ((({"a": 1.0}, 1.5), "share"), (({"a": float("nan")}, 0.5), "scores")):
        with pytest.raises(InputError, match=f"^{field}: "):
            slowest(*wrong)


def good() -> np.ndarray:
    """Labels that pass: a 10x10 object that an actor from the left approaches."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    labels[:, 20:30, 40:50] = Label.OBJECT
    for t in range(FRAMES):
        labels[t, 22:28, : 2 * t] = Label.ACTOR
    return labels


def test_gates_tell_what_is_wrong() -> None:
    assert check_gates(good()) == []
    without_actor = good()
    without_actor[without_actor == Label.ACTOR] = 0
    assert check_gates(without_actor) == ["no actor"]
    assert check_gates(without_actor, Gates(actor=False)) == []
    assert check_gates(np.zeros_like(good())) == ["no object", "no actor"]
    large = good()
    large[5:, :, 20:] = Label.OBJECT
    assert check_gates(large) == ["object too large", "object area jumps"]
    lost = good()
    lost[16:, 20:30, 40:50] = 0
    assert check_gates(lost) == ["object lost"]
    hidden = good()
    hidden[5:11, 20:30, 40:50] = 0
    assert check_gates(hidden) == ["object missing in too many frames"]
    hidden[8:11] = good()[8:11]
    assert check_gates(hidden) == [], "hidden for a while is no fault"
    late = good()
    late[0, 20:30, 40:50] = 0
    assert check_gates(late) == ["object missing in the first frame"]
    room = good()
    room[3][room[3] == 0] = Label.ACTOR
    assert check_gates(room) == ["whole image actor"]
    tiny = np.zeros((FRAMES, 200, 200), dtype=np.uint8)
    tiny[:, 5:9, 5:9] = Label.OBJECT
    tiny[:, 100:104, :4] = Label.ACTOR
    assert check_gates(tiny) == ["object too small", "actor too small"]


def test_an_area_may_jump_more_where_the_actor_touches() -> None:
    labels = good()
    labels[10:, 20:30, 43:50] = 0
    assert check_gates(labels) == ["object area jumps"], "from 100 to 30 pixels"
    labels[10:, 20:30, 43:50] = Label.ACTOR
    assert check_gates(labels) == [], "the actor covers it"


def test_gates_are_checked() -> None:
    for wrong in ({"empty": 1.5}, {"jump": 0.5}):
        with pytest.raises(InputError, match=f"^{next(iter(wrong))}: "):
            Gates(**wrong)
