"""Measures on cases whose values are worked out by hand."""

import math

import numpy as np
import pytest
from tests.boxes import Corners, boxes

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures import metrics


def test_overlap_leaves_out_the_first_frame() -> None:
    true = boxes([(0, 0), (0, 0), (0, 0)])
    assert metrics.object_iou(boxes([(40, 40), (0, 0), (0, 0)]), true) == 1.0
    # Shifted by half its width: 50 of 150 pixels.
    assert metrics.object_iou(boxes([(0, 0), (0, 5), (0, 0)]), true) == pytest.approx((1 / 3 + 1) / 2)


def test_overlap_of_frames_without_the_actor_is_full_and_of_an_invented_actor_none() -> None:
    objects: Corners = [(0, 0)] * 3
    true = boxes(objects, [None, None, (40, 40)])
    assert metrics.actor_iou(boxes(objects), true) == pytest.approx((1 + 0) / 2)
    assert metrics.actor_iou(boxes(objects, [None, (40, 40), (40, 40)]), true) == pytest.approx((0 + 1) / 2)


def test_second_actor_is_an_actor() -> None:
    true = boxes([(0, 0), (0, 0)], [(40, 40), (40, 40)])
    other = Trajectory(np.where(true.labels == Label.ACTOR, np.uint8(Label.SECOND_ACTOR), true.labels))
    assert metrics.actor_iou(other, true) == 1.0


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
