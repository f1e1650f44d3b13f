"""Labels and their colours, measures, morphology, run lengths."""

import numpy as np
import pytest
import torch
from tests.boxes import square

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.labels import labels_to_rgb, labels_to_tensor, rgb_to_labels, tensor_to_labels
from mask2iv.trajectories.measures import areas, centroid, centroids, iou, trajectory_iou
from mask2iv.trajectories.morphology import contact_map, contact_map_tensor, perturb_labels
from mask2iv.trajectories.runlength import rle_decode, rle_encode

ALL_LABELS = (0, 1, 2, 3)


@pytest.fixture
def trajectory() -> Trajectory:
    labels = np.random.default_rng(0).integers(0, 4, size=(5, 13, 17), dtype=np.uint8)
    return Trajectory(labels, fps=12.5)


def test_colours_round_trip_and_noisy_colours_snap(trajectory: Trajectory) -> None:
    rgb = labels_to_rgb(trajectory.labels)
    assert rgb[trajectory.labels == Label.ACTOR].tolist()[0] == [0, 255, 0]
    assert rgb[trajectory.labels == Label.OBJECT].tolist()[0] == [255, 0, 0]
    noise = np.random.default_rng(1).integers(-60, 61, size=rgb.shape)
    noisy = np.clip(rgb.astype(int) + noise, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(rgb_to_labels(noisy, ALL_LABELS), trajectory.labels)


def test_snapping_offers_only_the_labels_asked_for() -> None:
    blue = np.array([[0, 0, 255]], dtype=np.uint8)
    assert rgb_to_labels(blue).tolist() == [Label.BACKGROUND]
    assert rgb_to_labels(blue, ALL_LABELS).tolist() == [Label.SECOND_ACTOR]


def test_tensor_painting_matches_the_paper_and_inverts(trajectory: Trajectory) -> None:
    labels = torch.from_numpy(trajectory.labels)[None]
    painted = labels_to_tensor(labels)
    assert painted.shape == (1, 3, 5, 13, 17)
    t, y, x = (labels[0] == Label.OBJECT).nonzero()[0]
    assert painted[0, :, t, y, x].tolist() == [1.0, -1.0, -1.0]
    assert painted.min() == -1.0
    noisy = painted + 0.6 * (torch.rand(painted.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert torch.equal(tensor_to_labels(noisy, ALL_LABELS), labels)
    assert tensor_to_labels(painted)[labels == Label.SECOND_ACTOR].unique().tolist() == [0]


def test_measures_of_known_squares() -> None:
    a, b = square(10, 0, 0, 4), square(10, 0, 2, 4)
    assert iou(a, b) == pytest.approx(8 / 24)
    assert iou(a, np.zeros_like(a)) == 0.0
    assert iou(np.zeros_like(a), np.zeros_like(a)) == 1.0
    assert centroid(b) == (1.5, 3.5)
    assert centroid(np.zeros_like(a)) is None
    with pytest.raises(InputError, match=r"^b: must be a mask of the shape of a, \[.*\], found \["):
        iou(a, square(11, 0, 0, 4))


def test_per_frame_measures_and_trajectory_iou() -> None:
    labels = np.zeros((2, 10, 10), dtype=np.uint8)
    labels[0][square(10, 2, 4, 3)] = Label.OBJECT
    first = Trajectory(labels)
    moved = Trajectory(np.stack([labels[0], np.where(square(10, 0, 0, 2), np.uint8(2), labels[1])]))
    assert areas(first, Label.OBJECT).tolist() == [9, 0]
    centres = centroids(first, Label.OBJECT)
    assert centres[0].tolist() == [3.0, 5.0]
    assert np.isnan(centres[1]).all()
    assert trajectory_iou(first, first, Label.OBJECT) == 1.0
    assert trajectory_iou(first, moved, Label.OBJECT) == 0.5


def test_contact_map_is_the_band_where_masks_meet() -> None:
    actor, thing = square(20, 5, 2, 5), square(20, 5, 9, 5)
    expected = np.zeros((20, 20), dtype=bool)
    # Two empty columns lie between; a 7x7 kernel reaches 3 pixels, so one column of each square touches.
    expected[5:10, 6] = expected[5:10, 9] = True
    np.testing.assert_array_equal(contact_map(actor, thing), expected)
    assert not contact_map(actor, thing, kernel=5).any()
    labels = torch.from_numpy(actor * 1 + thing * 2).to(torch.uint8)[None, None]
    np.testing.assert_array_equal(contact_map_tensor(labels)[0, 0].numpy(), expected)
    second = torch.where(labels == Label.ACTOR, Label.SECOND_ACTOR, labels)
    assert torch.equal(contact_map_tensor(second), contact_map_tensor(labels))
    with pytest.raises(InputError, match="odd"):
        contact_map(actor, thing, kernel=4)


def test_perturbation_grows_or_shrinks_whole_clips() -> None:
    frame = square(24, 8, 3, 7) * 1 + square(24, 8, 13, 7) * 2
    labels = torch.from_numpy(frame).to(torch.uint8).expand(200, 2, 24, 24)
    result = perturb_labels(labels, probability=0.5, generator=torch.Generator().manual_seed(0))
    again = perturb_labels(labels, probability=0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(result, again)
    objects = (result == Label.OBJECT).sum(dim=(2, 3))
    assert torch.equal(objects[:, 0], objects[:, 1])
    sizes, counts = objects[:, 0].unique(return_counts=True)
    # Eroded by 7, 5, 3 leaves sides 1, 3, 5; dilated squares meet the actor, which keeps its own pixels.
    assert sizes.tolist()[:4] == [1, 9, 25, 49]
    assert len(sizes) == 7
    assert 70 < counts[sizes == 49].item() < 130
    grown = result[objects[:, 0] > 49]
    assert (grown[labels[: len(grown)] == Label.ACTOR] == Label.ACTOR).all()
    assert torch.equal(perturb_labels(labels, probability=0.0), labels)


def test_perturbation_gives_the_object_the_pixels_both_reach() -> None:
    frame = square(12, 3, 1, 4) * 1 + square(12, 3, 6, 4) * 2
    labels = torch.from_numpy(frame).to(torch.uint8)[None, None]
    seeds = (torch.Generator().manual_seed(seed) for seed in range(20))
    results = [perturb_labels(labels, 1.0, (3,), generator)[0, 0] for generator in seeds]
    grown = next(result for result in results if (result > 0).sum() > (labels > 0).sum())
    assert grown[3:7, 5].tolist() == [Label.OBJECT] * 4
    assert grown[3:7, 0].tolist() == [Label.ACTOR] * 4


def test_run_lengths_read_down_the_columns() -> None:
    mask = np.array([[1, 0], [1, 1], [0, 1]], dtype=bool)
    rle = rle_encode(mask)
    assert rle == {"size": [3, 2], "counts": [0, 2, 2, 2]}
    np.testing.assert_array_equal(rle_decode(rle), mask)


@pytest.mark.parametrize("fill", [0.0, 0.3, 1.0])
def test_run_lengths_round_trip(fill: float) -> None:
    mask = np.random.default_rng(0).random((19, 23)) < fill
    np.testing.assert_array_equal(rle_decode(rle_encode(mask)), mask)


@pytest.mark.parametrize("rle", [{"size": [2, 2], "counts": [1, 2]}, {"size": [2], "counts": [4]}, {"counts": [4]}])
def test_run_lengths_that_do_not_fit_are_refused(rle: dict) -> None:
    with pytest.raises(InputError, match="run lengths"):
        rle_decode(rle)
