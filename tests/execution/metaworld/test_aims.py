"""Masks of a ball that moves in space give its path back."""

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.execution.camera import PinholeCamera
from mask2iv.execution.metaworld.aims import Seen, Way, camera_of, handled_point, path_of, way_of
from mask2iv.execution.metaworld.tasks import TASKS

SIZE = (80, 128)
RADIUS = 0.03


def corner() -> PinholeCamera:
    """A camera at a front corner of the table that looks down at its middle."""
    position, middle = np.array([-1.0, -0.2, 0.7]), np.array([0.0, 0.65, 0.1])
    forward = (middle - position) / np.linalg.norm(middle - position)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    centre = [(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2]
    return camera_of({"position": position, "rotation": rotation, "focal": 150.0, "centre": centre}, SIZE)


def film(camera: PinholeCamera, path: np.ndarray) -> tuple[Trajectory, Seen]:
    """Masks of a ball along a path, and the depth of the first frame: the ball before a table."""
    rays = camera.rays(camera.grid())
    table = np.where(rays[..., 2] < 0, -camera.position[2] / np.minimum(rays[..., 2], -1e-6), 10.0)
    depth, labels = np.minimum(table, 10.0), np.zeros((len(path), *SIZE), dtype=np.uint8)
    for frame, place in enumerate(path):
        pixel, away = camera.project(place)
        inside = np.linalg.norm(camera.grid() - pixel, axis=-1) <= RADIUS * camera.matrix[0, 0] / away
        labels[frame][inside] = Label.OBJECT
        if frame == 0:
            depth[inside] = away - RADIUS
    return Trajectory(labels), Seen(camera, depth)


START = np.array([0.05, 0.6, 0.1])
WAYS: dict[Way, list[list[float]]] = {
    "level": [[0, 0, 0], [0.05, 0.1, 0]],
    "down": [[0, 0, 0], [0, 0, -0.07]],
    "carried": [[0, 0, 0], [0, 0, 0.15], [0, 0.2, 0.15]],
}


@pytest.mark.parametrize("way", WAYS)
def test_masks_give_the_path_back(way: Way) -> None:
    corners = np.array(WAYS[way])
    times = np.linspace(0, len(corners) - 1, 12)
    shift = np.stack([np.interp(times, np.arange(len(corners)), corners[:, axis]) for axis in range(3)], axis=1)
    path = START + shift
    found = path_of(*film(corner(), path), way)
    assert np.linalg.norm(found - path, axis=1).max() < (0.06 if way == "carried" else 0.02)


def test_the_middle_of_a_ball_is_behind_its_surface() -> None:
    trajectory, seen = film(corner(), START[None])
    _, point, half = handled_point(trajectory.object[0], seen)
    assert np.linalg.norm(point - START) < 0.012
    assert half == pytest.approx(RADIUS, abs=0.006)


def test_the_caption_says_how_a_part_moves() -> None:
    ways = {name: way_of(task.caption) for name, task in TASKS.items()}
    assert {name for name, way in ways.items() if way == "carried"} == {
        "basketball",
        "shelf-place",
        "hammer",
        "assembly",
    }
    assert {name for name, way in ways.items() if way == "down"} == {"button-press-topdown", "handle-press"}
