"""The scorecard and the segmentation of videos, on scenes whose values are known."""

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures import metrics, scorecard
from mask2iv.segmentation.motion import resegment

HEIGHT, WIDTH, FRAMES = 60, 80, 9


def carried(jump: int = 0) -> Trajectory:
    """An object of 12x12 pixels goes right by 4 pixels a frame, an actor of 8x20 beside it comes along."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    for t, frame in enumerate(labels):
        left = 26 + 4 * t + jump * (t % 2)
        frame[26:34, left - 20 : left] = Label.ACTOR
        frame[24:36, left : left + 12] = Label.OBJECT
    return Trajectory(labels)


def painted(trajectory: Trajectory, actor: tuple[int, int, int] = (220, 170, 140)) -> UInt8Array:
    """A room with texture, a blue object, an actor of one colour."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    room = np.stack([150 + (x % 7), 140 + (y % 5), 130 + 0 * x], axis=-1).astype(np.uint8)
    video = np.repeat(room[None], trajectory.num_frames, axis=0)
    video[trajectory.object] = (40, 60, 200)
    video[trajectory.actor] = actor
    return video


def card(found: Trajectory, true: Trajectory) -> dict[str, float]:
    return scorecard.of_trajectory(found, true.object[-1], true.object[0])


def test_the_true_trajectory_scores_full() -> None:
    true = carried()
    found = card(true, true)
    assert (found["target_error"], found["success"], found["jerk"], found["vanished"]) == (0.0, 1.0, 0.0, 0.0)
    assert (found["present"], found["size_kept"], found["one_piece"]) == (1.0, 1.0, 1.0)
    assert found["moving_frames"] == found["touching_frames"] == FRAMES - 1


def test_success_ends_at_five_percent_and_needs_the_object() -> None:
    true = carried()
    near, far = (Trajectory(np.roll(true.labels, pixels, axis=1)) for pixels in (4, 6))
    assert (card(near, true)["success"], card(far, true)["success"]) == (1.0, 0.0)
    gone = true.labels.copy()
    gone[-1] = 0
    found = card(Trajectory(gone), true)
    assert found["target_error"] == pytest.approx(4 / 100)
    assert (found["success"], found["vanished"]) == (0.0, 1.0)
    assert found["present"] == pytest.approx(7 / 8)


def test_permanence_counts_size_and_pieces() -> None:
    true = carried()
    labels = true.labels.copy()
    labels[3][true.object[3]] = 0
    labels[3, 24:36, 40:44] = Label.OBJECT  # a third of its area
    labels[4, 2:14, 2:14] = Label.OBJECT  # a second one
    found = card(Trajectory(labels), true)
    assert found["size_kept"] == pytest.approx(7 / 8)
    assert found["one_piece"] == pytest.approx(7 / 8)


def test_jerk_is_the_second_difference_of_the_way() -> None:
    assert card(carried(jump=1), carried())["jerk"] == pytest.approx(2 / 100)


def test_background_and_flicker() -> None:
    true = carried()
    video = painted(true)
    assert scorecard.background_psnr(video, true) == metrics.PSNR_LIMIT
    video[4, 0, 0] += 40
    noise = 40**2 / (~dilated(true)).sum()
    assert scorecard.background_psnr(video, true) == pytest.approx(10 * np.log10(255**2 / noise))
    ramp = np.repeat(np.arange(5, dtype=np.uint8)[:, None, None, None], 3, axis=3) * 10
    assert scorecard.flicker(ramp) == 0.0
    assert scorecard.flicker(ramp % 20) == 20.0


def dilated(true: Trajectory) -> np.ndarray:
    """All pixels within 4 of a mask of a frame or of the first, by shifting."""
    union = (true.labels[1:] > 0) | (true.labels[:1] > 0)
    shifts = [np.roll(union, (dy, dx), (1, 2)) for dy in range(-4, 5) for dx in range(-4, 5)]
    return np.any(shifts, axis=0)


def test_diversity_is_zero_for_equal_answers_and_grows() -> None:
    true, other = carried(), carried(jump=6)
    assert scorecard.trajectory_diversity([true, true]) == 0.0
    assert scorecard.trajectory_diversity([true, other, true]) > 0.1
    still, lighter = np.zeros((3, 4, 4, 3), np.uint8), np.full((3, 4, 4, 3), 7, np.uint8)
    assert scorecard.video_diversity([still, lighter]) == pytest.approx(7.0)


# --- segmented videos


def test_masks_of_a_plain_scene_are_found() -> None:
    true = carried()
    found = resegment(painted(true), true.labels[0])
    assert metrics.object_iou(found, true) > 0.9
    assert metrics.actor_iou(found, true) > 0.85


def test_an_actor_that_comes_in_later_is_found() -> None:
    true = carried()
    labels = true.labels.copy()
    labels[0][labels[0] == Label.ACTOR] = 0
    late = Trajectory(labels)
    assert metrics.actor_iou(resegment(painted(late), late.labels[0]), late) > 0.8


def test_a_still_has_the_masks_of_its_first_frame() -> None:
    true = carried()
    still = np.repeat(painted(true)[:1], FRAMES, axis=0)
    found = resegment(still, true.labels[0])
    stays = Trajectory(np.repeat(true.labels[:1], FRAMES, axis=0))
    assert metrics.object_iou(found, stays) > 0.95
    assert metrics.object_iou(found, true) == pytest.approx(metrics.object_iou(stays, true), abs=0.05)


def test_a_shadow_is_no_object() -> None:
    true = carried()
    video = painted(true)
    shadow = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    shadow[36:46, 30:70] = True
    video[3:, shadow] = (video[3:, shadow] * 0.6).astype(np.uint8)
    found = resegment(video, true.labels[0])
    assert metrics.object_iou(found, true) > 0.85
    assert (found.labels[5][40:45, 35:65] == 0).mean() > 0.9


def test_a_video_that_goes_elsewhere_does_not_follow() -> None:
    asked, done = carried(), Trajectory(carried().labels[:1].repeat(FRAMES, axis=0))
    video = painted(done)
    followed = scorecard.of_video(video, resegment(video, asked.labels[0]), asked, asked.object[-1], asked.object[0])
    assert followed["object_miou"] < 0.4
    assert followed["success"] == 0.0


def test_the_first_frame_must_show_the_object() -> None:
    true = carried()
    with pytest.raises(InputError, match="show the object"):
        resegment(painted(true), np.zeros((HEIGHT, WIDTH), np.uint8))
