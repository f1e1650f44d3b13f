import numpy as np
import pytest
import torch

from mask2iv.trajectories.distances import REACH, SHRINK, distance_map, enlarge_maps


def disc(radius: float, centre: tuple[float, float] = (80, 128), size: tuple[int, int] = (160, 256)) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def test_a_map_tells_the_distance_to_the_edge() -> None:
    found = distance_map(disc(30))
    assert found.shape == (40, 64)
    assert found[20, 32] == 1, "deeper than the reach"
    assert found[0, 0] == -1
    rows, columns = np.mgrid[:40, :64]
    distance = 30 - np.hypot(SHRINK * rows + 1.5 - 80, SHRINK * columns + 1.5 - 128)
    near = np.abs(distance) < 10
    assert np.abs(found * REACH * 160 - distance)[near].max() < 1.5


def test_shapes_survive_a_quarter_of_the_resolution() -> None:
    mask = disc(14.3, (70.5, 99.2)) & ~disc(6, (70, 99))
    maps = torch.from_numpy(distance_map(mask))[None, None]
    again = enlarge_maps(maps)[0, 0].numpy() > 0
    assert (again & mask).sum() / (again | mask).sum() > 0.93


def test_a_mean_of_two_shapes_is_one_shape() -> None:
    """The purpose of the codec: half-way between two arms is an arm, not two halves."""
    left, right = distance_map(disc(12, (80, 120))), distance_map(disc(12, (80, 132)))
    between = (left + right) / 2 > 0
    rows, columns = np.nonzero(between)
    assert between.sum() > 0.6 * (left > 0).sum()
    assert SHRINK * columns.mean() + 1.5 == pytest.approx(126, abs=2)
    assert SHRINK * rows.mean() + 1.5 == pytest.approx(80, abs=2)


def test_an_empty_mask_is_far_from_everywhere() -> None:
    assert (distance_map(np.zeros((32, 64), bool)) == -1).all()
