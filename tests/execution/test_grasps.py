"""Grasps on a box, and where a released object comes to rest."""

from __future__ import annotations

import numpy as np
import pytest

from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.grasps import Gripper, plan_grasps
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.support import settle

AWAY = np.array([0.0, 1.0, 0.0])
GRIPPER = Gripper()


def _block(half: tuple[float, float], height: float, at: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Top and front of a block that stands on the table, every 4 mm."""
    x = np.arange(-half[0], half[0] + 1e-6, 0.004)
    y, z = np.arange(-half[1], half[1] + 1e-6, 0.004), np.arange(0, height, 0.004)
    top = np.stack(np.meshgrid(x, y, [height]), axis=-1).reshape(-1, 3)
    front = np.stack(np.meshgrid(x, [-half[1]], z), axis=-1).reshape(-1, 3)
    points: Array = np.concatenate([top, front])
    return points + np.array([*at, 0])


def test_a_block_is_taken_across_its_narrow_side() -> None:
    points = _block((0.055, 0.02), 0.06)
    best = plan_grasps(points, np.zeros((0, 3)), points.mean(axis=0), GRIPPER, AWAY)[0]
    assert abs(best.tool[1, 0]) > 0.9
    assert best.approach == pytest.approx([0, 0, -1])
    assert best.width == pytest.approx(0.04, abs=0.012)
    assert 0.008 <= best.tool[2, 3] < 0.06


def test_jaws_keep_clear_of_what_stands_beside() -> None:
    points = _block((0.022, 0.022), 0.06)
    wall = _block((0.06, 0.004), 0.08, (0.0, 0.032))
    best = plan_grasps(points, wall, points.mean(axis=0), GRIPPER, AWAY)[0]
    assert abs(best.tool[0, 0]) > 0.8


def test_a_round_thing_is_not_taken_at_its_rim() -> None:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    rim = np.stack([0.04 * np.cos(angle), 0.04 * np.sin(angle)], axis=1)
    wall = np.concatenate([np.column_stack([rim, np.full(72, z)]) for z in np.arange(0, 0.09, 0.004)])
    inside = _block((0.04, 0.04), 0.09)
    top = inside[(inside[:, 2] > 0.089) & (np.linalg.norm(inside[:, :2], axis=1) < 0.04)]
    best = plan_grasps(np.concatenate([top, wall]), np.zeros((0, 3)), np.array([0.034, 0, 0.09]), GRIPPER, AWAY)[0]
    # How far the jaws' middle line passes by the axis.
    assert abs(best.tool[:2, 1] @ best.tool[:2, 3]) < 0.008


def test_a_flat_thing_is_taken_by_level_jaws() -> None:
    lean = np.array([np.sin(0.9), 0, -np.cos(0.9)])
    points = _block((0.012, 0.08), 0.016)
    best = plan_grasps(points, np.zeros((0, 3)), points.mean(axis=0), GRIPPER, AWAY, leans=(lean,))[0]
    assert abs(best.tool[2, 0]) < 0.1
    assert best.tool[2, 3] > 0.006


def test_what_is_stacked_comes_to_rest_on_a_thing() -> None:
    back = np.array([0, -np.cos(0.8), np.sin(0.8)])
    turn = np.stack([np.array([1.0, 0, 0]), np.cross(back, [1.0, 0, 0]), back], axis=1)
    camera = PinholeCamera.from_mujoco(0.7 * back, turn, 45.0, (120, 192))
    points, box = _block((0.02, 0.02), 0.04), _block((0.04, 0.04), 0.05, (0.15, 0.02))
    transforms = np.repeat(np.eye(4)[None], 6, axis=0)
    # It was seen to end on the table, a little behind the box.
    transforms[:, :3, 3] = np.linspace(0, 1, 6)[:, None] * np.array([0.16, 0.09, 0.0])
    motion = ObjectMotion(points, transforms, np.ones(6), np.ones(6), "carry")
    assert settle(motion, camera, box).transforms[-1, 2, 3] == pytest.approx(0, abs=0.006)
    end = settle(motion, camera, box, onto=True).transforms[-1, :3, 3]
    assert end[2] == pytest.approx(0.05, abs=0.01)
    assert np.abs(end[:2] - [0.15, 0.02]).max() < 0.045


@pytest.mark.parametrize(("height", "things"), [(0.0, False), (0.05, True)])
def test_a_released_object_rests_on_what_is_there(height: float, things: bool) -> None:
    back = np.array([0, -np.cos(0.8), np.sin(0.8)])
    turn = np.stack([np.array([1.0, 0, 0]), np.cross(back, [1.0, 0, 0]), back], axis=1)
    camera = PinholeCamera.from_mujoco(0.7 * back, turn, 45.0, (120, 192))
    points = _block((0.02, 0.02), 0.04)
    end = np.array([0.15, 0.02, height])
    # An error along the line of sight, of 4 cm at the end.
    sight = end + points.mean(axis=0) - camera.position
    wrong = end + 0.04 * sight / np.linalg.norm(sight)
    transforms = np.repeat(np.eye(4)[None], 6, axis=0)
    transforms[:, :3, 3] = np.linspace(0, 1, 6)[:, None] * wrong
    motion = ObjectMotion(points, transforms, np.ones(6), np.ones(6), "carry")
    scene = _block((0.05, 0.05), 0.05, (0.15, 0.02)) if things else np.zeros((0, 3))
    settled = settle(motion, camera, scene)
    assert np.linalg.norm(settled.transforms[-1, :3, 3] - end) < 0.012
    assert (settled.transforms[0] == np.eye(4)).all()
