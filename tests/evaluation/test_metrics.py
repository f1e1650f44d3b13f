"""Measures on cases whose values are worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mask2iv.contract import Clip, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures import metrics

HEIGHT, WIDTH = 60, 80
DIAGONAL = 100.0


def scene(objects: list[tuple[int, int] | None], actors: list[tuple[int, int] | None] | None = None) -> Trajectory:
    """Frames with an object of 10x10 and an actor of 6x6 pixels whose top left corners (y, x) are given."""
    labels = np.zeros((len(objects), HEIGHT, WIDTH), dtype=np.uint8)
    for frame, actor, corner in zip(labels, actors or [None] * len(objects), objects, strict=True):
        if actor is not None:
            frame[actor[0] : actor[0] + 6, actor[1] : actor[1] + 6] = Label.ACTOR
        if corner is not None:
            frame[corner[0] : corner[0] + 10, corner[1] : corner[1] + 10] = Label.OBJECT
    return Trajectory(labels)


def clip_of(trajectory: Trajectory, verb: str, object_name: str = "box", direction: str = "") -> Clip:
    video = np.zeros((*trajectory.labels.shape, 3), dtype=np.uint8)
    return Clip("a", video, trajectory, "", verb, object_name, "hand", metadata={"direction": direction})


def bar(angle: float) -> UInt8Array:
    """One frame with a bar of 40x8 pixels, turned counterclockwise by an angle in radians."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([30, 40])[:, None, None]
    along, across = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    return np.where((abs(along) < 20) & (abs(across) < 4), np.uint8(Label.OBJECT), np.uint8(0))


def test_final_distance_is_between_centroids_in_shares_of_the_diagonal() -> None:
    target = scene([(30, 40)]).object[0]
    predicted = scene([(0, 0), (10, 10), (27, 36)])
    assert metrics.final_distance(predicted, target, predicted.object[0]) == (pytest.approx(5 / DIAGONAL), False)


def test_final_distance_of_a_vanished_object_is_from_where_it_was_last_seen() -> None:
    target = scene([(30, 40)]).object[0]
    predicted = scene([(0, 0), (24, 32), None])
    assert metrics.final_distance(predicted, target, predicted.object[0]) == (pytest.approx(10 / DIAGONAL), True)


def test_final_distance_of_an_object_never_seen_is_from_its_start() -> None:
    start, target = scene([(0, 40)]).object[0], scene([(30, 40)]).object[0]
    assert metrics.final_distance(scene([None, None]), target, start) == (pytest.approx(30 / DIAGONAL), True)


def test_final_distance_refuses_an_empty_target() -> None:
    start = scene([(0, 0)]).object[0]
    with pytest.raises(InputError, match="target: the mask is empty"):
        metrics.final_distance(scene([(0, 0)]), np.zeros_like(start), start)


def test_overlap_leaves_out_the_first_frame() -> None:
    true = scene([(0, 0), (0, 0), (0, 0)])
    assert metrics.object_iou(scene([(40, 40), (0, 0), (0, 0)]), true) == 1.0
    # Shifted by half its width: 50 of 150 pixels.
    assert metrics.object_iou(scene([(0, 0), (0, 5), (0, 0)]), true) == pytest.approx((1 / 3 + 1) / 2)


def test_overlap_of_frames_without_the_actor_is_full_and_of_an_invented_actor_none() -> None:
    objects: list[tuple[int, int] | None] = [(0, 0)] * 3
    true = scene(objects, [None, None, (40, 40)])
    assert metrics.actor_iou(scene(objects), true) == pytest.approx((1 + 0) / 2)
    assert metrics.actor_iou(scene(objects, [None, (40, 40), (40, 40)]), true) == pytest.approx((0 + 1) / 2)


def test_second_actor_is_an_actor() -> None:
    true = scene([(0, 0), (0, 0)], [(40, 40), (40, 40)])
    other = Trajectory(np.where(true.labels == Label.ACTOR, np.uint8(Label.SECOND_ACTOR), true.labels))
    assert metrics.actor_iou(other, true) == 1.0


def test_touch_counts_moving_frames_only() -> None:
    # Rests beside the actor, moves beside it, moves alone, rests alone.
    objects: list[tuple[int, int] | None] = [(20, 20), (20, 20), (20, 25), (20, 30), (20, 30)]
    actors: list[tuple[int, int] | None] = [(20, 14), (20, 14), (20, 19), (20, 0), (20, 0)]
    assert metrics.moving_and_touching(scene(objects, actors)) == (2, 1)


def test_touch_reaches_three_pixels_and_no_farther() -> None:
    def touching(gap: int) -> int:
        return metrics.moving_and_touching(scene([(20, 20), (20, 25)], [None, (20, 25 - 6 - gap)]))[1]

    assert (touching(2), touching(3)) == (1, 0)


def test_slow_or_unseen_objects_do_not_move() -> None:
    # One pixel is just the 1 % of the diagonal that is not yet a movement.
    assert metrics.moving_and_touching(scene([(20, 20), (20, 21)], [(20, 14)] * 2)) == (0, 0)
    assert metrics.moving_and_touching(scene([(20, 20), None, (20, 40)], [(20, 14)] * 3)) == (0, 0)


@pytest.mark.parametrize(
    ("end", "movement"), [((20, 30), "right"), ((20, 10), "left"), ((10, 20), "up"), ((30, 20), "down")]
)
def test_an_object_goes_the_one_way_it_goes(end: tuple[int, int], movement: str) -> None:
    moved = scene([(20, 20), end])
    assert [name for name in ("left", "right", "up", "down") if metrics.goes(moved, name)] == [movement]


def test_a_way_needs_a_dominant_axis_and_two_percent() -> None:
    assert not metrics.goes(scene([(20, 20), (20, 21)]), "right")
    assert metrics.goes(scene([(20, 20), (20, 22)]), "right")
    assert not metrics.goes(scene([(20, 20), (30, 30)]), "right")
    assert not metrics.goes(scene([None, (20, 40)]), "right")
    assert metrics.goes(scene([None, (20, 20), (20, 40), None]), "right")


@pytest.mark.parametrize("steps", [3, 15])
def test_turns_are_followed_through_the_upright_axis(steps: int) -> None:
    turning = Trajectory(np.stack([bar(angle) for angle in np.linspace(1.0, 2.4, steps)]))
    assert metrics.goes(turning, "counterclockwise")
    assert not metrics.goes(turning, "clockwise")
    backwards = Trajectory(turning.labels[::-1].copy())
    assert metrics.goes(backwards, "clockwise")
    assert not metrics.goes(Trajectory(np.stack([bar(0.3)] * steps)), "clockwise")


@pytest.mark.parametrize(
    ("verb", "object_name", "direction", "way"),
    [
        ("pushing", "box", "forward", metrics.Way("forward", "up")),
        ("moving", "box", "backward", metrics.Way("backward", "down")),
        ("pulling", "box", "left", metrics.Way("left", "left")),
        ("picking up", "box", "", metrics.Way("picking up", "up")),
        ("putting down", "box", "", metrics.Way("putting down", "down")),
        ("opening", "drawer", "", metrics.Way("opening", "down")),
        ("closing", "drawer", "", metrics.Way("closing", "up")),
        ("opening", "laptop", "", metrics.Way("opening", "up")),
        ("opening", "window", "", None),
        ("pouring", "kettle", "", None),
        ("rotating", "box", "clockwise", None),
    ],
)
def test_what_captions_say(verb: str, object_name: str, direction: str, way: metrics.Way | None) -> None:
    assert metrics.way_of(clip_of(scene([(0, 0)]), verb, object_name, direction)) == way


def test_turns_are_told_of_elongated_objects() -> None:
    clip = clip_of(Trajectory(bar(0.5)[None]), "rotating", "knife", "clockwise")
    assert metrics.way_of(clip) == metrics.Way("rotating", "clockwise")
    assert metrics.way_of(replace(clip, metadata={})) is None


def pictures() -> tuple[UInt8Array, UInt8Array]:
    """Two different videos of 3 frames, 24x40 pixels, by integer arithmetic."""
    t, y, x = np.mgrid[:3, :24, :40]
    first = (np.stack([7 * x + 3 * y + 11 * t, 5 * x * y + t, x * x + y * y], axis=-1) % 256).astype(np.uint8)
    second = ((first.astype(int) * 3 + 20 * (x % 3)[..., None] + 40) // 4).astype(np.uint8)
    return first, second


def test_ssim_and_psnr_agree_with_another_implementation() -> None:
    # scikit-image 0.26: structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    # channel_axis=-1, data_range=255), mean of frames 1 and 2; peak_signal_noise_ratio of both.
    first, second = pictures()
    assert metrics.ssim(second, first) == pytest.approx(0.9353017728432409, abs=1e-9)
    assert metrics.psnr(second, first) == pytest.approx(20.319186084826338, abs=1e-9)


def test_picture_measures_leave_out_the_first_frame_and_know_equality() -> None:
    first, second = pictures()
    second[1:] = first[1:]
    assert metrics.psnr(second, first) == metrics.PSNR_LIMIT
    assert metrics.ssim(second, first) == pytest.approx(1.0)


def test_ssim_of_constant_pictures_is_the_luminance_term() -> None:
    dark, bright = np.full((2, 16, 16, 3), 100, np.uint8), np.full((2, 16, 16, 3), 120, np.uint8)
    c1 = 2.55**2
    assert metrics.ssim(dark, bright) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_psnr_of_a_known_error_and_where_pixels_change() -> None:
    true = np.zeros((3, 20, 20, 3), dtype=np.uint8)
    true[1, 10, 10, 1] = 50
    true[2, 0, 0] = 10
    where = metrics.changed_pixels(true)
    assert where[0].sum() == 49
    assert where[0, 7:14, 7:14].all()
    assert not where[1].any()
    predicted = true.copy()
    predicted[1, 7:14, 7:14] += 5
    assert metrics.psnr(predicted, true, where) == pytest.approx(20 * math.log10(255 / 5))
    assert metrics.psnr(predicted, true) == pytest.approx(20 * math.log10(255 / 5) + 10 * math.log10(2 * 400 / 49))
    still = np.zeros((3, 20, 20, 3), dtype=np.uint8)
    assert metrics.psnr(still, still, metrics.changed_pixels(still)) is None


def test_pictures_of_other_shapes_are_refused() -> None:
    first, second = pictures()
    with pytest.raises(InputError, match="predicted: must have the T, H and W of the true video"):
        metrics.psnr(second[:2], first)
    with pytest.raises(InputError, match="true: ssim needs pictures of at least 11x11 pixels, found 10x40"):
        metrics.ssim(second[:, :10], first[:, :10])


def test_figures_hold_means_medians_and_shares() -> None:
    assert metrics.mean_figure([1.0, None, 2.0, 6.0]).value == 3.0
    assert metrics.median_figure([1.0, 2.0, 6.0]).value == 2.0
    share = metrics.share_figure([1, 0, 3], [1, 0, 4])
    assert (share.value, share.clips) == (0.8, 2)
    assert metrics.mean_figure([]) == metrics.Figure(None, None, None, 0)
    assert metrics.share_figure([0], [0]).value is None
    # Of clips that only one side gets right, all count.
    ratio = metrics.ratio_figure([1, 1, 0, 1], [1, 0, 1, 0])
    assert (ratio.value, ratio.clips) == (1.5, 4)
    assert metrics.ratio_figure([1], [0]) == metrics.Figure(None, None, None, 0)


def test_intervals_are_repeatable_and_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    figure = metrics.mean_figure(values)
    assert figure == metrics.mean_figure(values)
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    half = 1.96 * values.std() / 20
    assert figure.low == pytest.approx(figure.value - half, abs=0.02)
    assert figure.high == pytest.approx(figure.value + half, abs=0.02)
    constant = metrics.mean_figure([3.0] * 5)
    assert (constant.low, constant.high) == (3.0, 3.0)


def test_a_share_that_few_clips_tell_of_is_not_taken_for_zero_in_resamples() -> None:
    """One clip of a system moves, and touches throughout: no resample knows of another share than 1."""
    moving, touching = [0.0] * 9 + [4.0], [0.0] * 9 + [4.0]
    figure = metrics.share_difference(touching, moving, [2.0] * 10, [4.0] * 10)
    assert (figure.value, figure.low, figure.high) == (0.5, 0.5, 0.5)
