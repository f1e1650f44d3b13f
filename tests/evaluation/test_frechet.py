"""The Frechet distance against matrix roots, on fixed numbers."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from mask2iv.errors import InputError
from mask2iv.evaluation.measures.frechet import frechet_difference, frechet_distance, frechet_figure


def sets(count: int, dims: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    mix = random.normal(size=(dims, dims))
    return random.normal(size=(count, dims)), random.normal(size=(count + 5, dims)) @ mix + 0.3


def by_root(a: np.ndarray, b: np.ndarray) -> float:
    """Written out as in the paper."""
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    return float(shift @ shift + np.trace(c + d - 2 * sqrtm(c @ d).real))


def test_it_agrees_with_scipys_matrix_root() -> None:
    a, b = sets(60, 8)
    assert frechet_distance(a, b) == pytest.approx(by_root(a, b), rel=1e-9)
    # Worked out once with scipy 1.17's matrix root.
    fixed = np.array([[0.0, 1.0], [2.0, 1.5], [1.0, -1.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 1.0]])
    assert frechet_distance(*fixed) == pytest.approx(0.9376003298055382, abs=1e-9)


def test_fewer_clips_than_features_and_equal_sets() -> None:
    a, b = sets(6, 20)
    assert frechet_distance(a, b) == pytest.approx(by_root(a, b), rel=1e-5)  # the root is of a singular matrix
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + 2.0) == pytest.approx(20 * 4.0)


def test_gaussians_of_known_spread() -> None:
    """Diagonal covariances s and t: the distance is the sum of (sqrt s - sqrt t)^2."""
    corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    variance = 4 / 3
    expected = ((np.sqrt(variance) * np.array([2.0, 5.0]) - np.sqrt(variance)) ** 2).sum()
    assert frechet_distance(corners * [2.0, 5.0], corners) == pytest.approx(expected)


def test_intervals_hold_the_value_and_need_two_clips() -> None:
    a, b = sets(40, 3)
    figure = frechet_figure([x[None] for x in a], [x[None] for x in b[:40]])
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert frechet_figure([a[:1]], [b[:1]]).value is None
    few = frechet_figure([a[:5], a[5:10]], [b[:5], b[5:10]])
    assert few.value is not None
    assert few.low is few.high is None, "of two clips none can be left out"


def test_the_jackknifes_width_is_that_of_leaving_out_groups() -> None:
    """Of 30 clips in 20 groups: clip i is in group i modulo 20; the standard error by its formula."""
    a, b = ([x[None] for x in part[:30]] for part in sets(30, 3))
    figure = frechet_figure(a, b)
    left = []
    for group in range(20):
        kept = [i for i in range(30) if i % 20 != group]
        left.append(by_root(*(np.concatenate([part[i] for i in kept]) for part in (a, b))))
    error = np.sqrt(19 / 20 * np.square(np.array(left) - np.mean(left)).sum())
    assert figure.high is not None
    assert figure.value is not None
    assert figure.high - figure.value == pytest.approx(1.96 * error, rel=1e-6)


def test_a_difference_of_one_with_itself_is_nothing_for_certain() -> None:
    a, b = ([x[None] for x in part[:30]] for part in sets(30, 3))
    same = frechet_difference(a, a, b)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    worse = frechet_difference([x + 5.0 for x in b], b, b)
    assert worse.value == pytest.approx(75.0)
    assert worse.low is not None
    assert worse.low > 0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="features: must be two sets of 2 or more vectors"):
        frechet_distance(np.zeros((4, 2)), np.zeros((4, 3)))
