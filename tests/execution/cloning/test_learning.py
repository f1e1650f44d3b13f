"""What a policy sees, and how it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mask2iv.errors import InputError
from mask2iv.execution.camera import PinholeCamera
from mask2iv.execution.cloning.episodes import Episode, tool_at, turn_of
from mask2iv.execution.cloning.learning import Recipe, Samples, train
from mask2iv.execution.cloning.network import SCALE, Policy
from mask2iv.execution.cloning.views import PIXELS, SIDE, TableView

STILL = Recipe(turn=0.0, shift=0.0, colour=0.0, noise=0.0)


@pytest.fixture
def episode() -> Episode:
    """Seven frames: taken at the third, lifted at the sixth."""
    random = np.random.default_rng(0)
    count = 7
    return Episode(
        views=random.integers(0, 255, (count, PIXELS, PIXELS, 3), dtype=np.uint8),
        mask=np.zeros((PIXELS, PIXELS), dtype=np.uint8),
        places=np.linspace([0.2, 0.1, 0.2], [0.0, 0.02, 0.1], count).astype(np.float32),
        turns=np.full(count, 0.4, dtype=np.float32),
        openings=np.full(count, 0.06, dtype=np.float32),
        shut=(np.arange(count) >= 2).astype(np.float32),
        keys=np.array([2, 5]),
        direction=np.array([1.0, 0.0], dtype=np.float32),
        height=np.array([0.1], dtype=np.float32),
    )


def test_a_view_is_a_map_of_the_table() -> None:
    camera = PinholeCamera.from_mujoco([0.1, -0.5, 0.5], [0.9238795, 0.3826834, 0, 0], 45, (160, 256))
    mask = np.zeros((160, 256), dtype=np.bool_)
    mask[70:80, 120:130] = True
    rays = camera.rays(camera.grid())
    depth = -camera.position[2] / rays[..., 2]
    view = TableView(camera, mask, depth)
    assert abs(view.height) < 1e-9
    # A patch 10 cm to the right of the object and 5 cm further away.
    places = camera.points(depth) - view.origin
    patch = np.abs(places[..., :2] - [0.10, 0.05]).max(axis=-1) < 0.02
    seen = view(np.repeat(patch[..., None], 3, axis=-1).astype(np.uint8) * 255)[..., 0] > 127
    rows, columns = np.nonzero(seen)
    right, away = (columns.mean() + 0.5) / PIXELS * SIDE - SIDE / 2, SIDE / 2 - (rows.mean() + 0.5) / PIXELS * SIDE
    assert (right, away) == (pytest.approx(0.10, abs=0.005), pytest.approx(0.05, abs=0.005))
    rows, columns = np.nonzero(view.mask > 127)
    assert (rows.mean(), columns.mean()) == (pytest.approx(31.5, abs=1), pytest.approx(31.5, abs=1))
    with pytest.raises(InputError, match="no pixel of the object has a depth"):
        TableView(camera, np.zeros_like(mask), depth)


def test_poses_point_straight_down() -> None:
    pose = tool_at(np.array([0.1, 0.2, 0.3]), 0.7)
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) > 0
    assert pose[:3, 2].tolist() == [0, 0, -1]
    assert turn_of(pose) == pytest.approx(0.7)


def test_turned_and_mirrored_samples_agree_with_their_views(episode: Episode) -> None:
    """A mark in the picture at the place to go to is there after each change, too."""
    row, column = round((0.5 + 0.05 / SIDE) * PIXELS - 0.5), round((0.5 + 0.08 / SIDE) * PIXELS - 0.5)
    views, places = np.zeros_like(episode.views), episode.places.copy()
    views[:, row - 1 : row + 2, column - 1 : column + 2] = 255
    places[episode.keys] = [0.08, -0.05, 0.02]
    samples = Samples([replace(episode, views=views, places=places)])
    random = torch.Generator().manual_seed(0)
    recipe = Recipe(turn=0.5, shift=0.03, colour=0.0, noise=0.0)
    view, state, wanted, _ = samples.batch(torch.zeros(12, dtype=torch.long), recipe, random)
    weight = view[:, 0] + 1
    along = (torch.arange(PIXELS) + 0.5) / PIXELS * SIDE - SIDE / 2
    total = weight.sum((1, 2))
    found = torch.stack([(weight.sum(1) @ along) / total, -(weight.sum(2) @ along) / total], dim=1)
    assert (found - wanted[:, 0, :2] * SCALE).abs().max() < 0.006
    assert found[:, 0].min() < 0 < found[:, 0].max()
    # The jaws' axis, of which a half turn is the same, and the way to push turn with the table.
    double = torch.atan2(wanted[:, 0, 4], wanted[:, 0, 3])
    way = torch.atan2(state[:, 8], state[:, 7])
    mirrored = state[:, 7] < 0
    turned = torch.where(mirrored, way - torch.pi, way)
    expected = 2 * turned + 0.8 * torch.where(mirrored, -1.0, 1.0)
    assert torch.allclose(torch.cos(double - expected), torch.ones(12), atol=1e-4)


def test_only_key_poses_ahead_are_learned(episode: Episode) -> None:
    samples = Samples([episode])
    _, state, wanted, ahead = samples.batch(torch.arange(len(samples)), STILL, torch.Generator().manual_seed(0))
    assert len(samples) == 5
    assert ahead.tolist() == [[True, True]] * 2 + [[False, True]] * 3
    assert state[:, 6].tolist() == [0, 0, 1, 1, 1]
    assert np.allclose(wanted[0, :, :3].abs() * SCALE, np.abs(episode.places[[2, 5]]), atol=1e-6)


def test_training_is_repeatable_and_learns(episode: Episode) -> None:
    recipe = Recipe(steps=25, batch=8)
    first, again = train([episode], 1, recipe), train([episode], 1, recipe)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    samples = Samples([episode])

    def error(policy: Policy) -> float:
        random = torch.Generator().manual_seed(0)
        view, state, wanted, _ = samples.batch(torch.arange(len(samples)), STILL, random)
        with torch.inference_mode():
            return float((policy(view, state) - wanted)[:, 1, :3].abs().mean())

    torch.manual_seed(1)
    assert error(first) < 0.6 * error(Policy())
