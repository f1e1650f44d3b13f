"""A cabinet of points: its drawer is pulled out by the handle, and pushed shut."""

from __future__ import annotations

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.joints.doors import plan_door
from mask2iv.execution.joints.outlines import drawn

SIZE, OUT, FRONT = (160, 256), 0.11, -0.08
BACK = np.array([0, -np.cos(0.8), np.sin(0.8)])
TURN = np.stack([np.array([1.0, 0, 0]), np.cross(BACK, [1.0, 0, 0]), BACK], axis=1)
CAMERA = PinholeCamera.from_mujoco(np.array([0, 0, 0.05]) + 0.68 * BACK, TURN, 45.0, SIZE)


def _sheet(low: tuple[float, float, float], high: tuple[float, float, float]) -> Array:
    axes = [np.arange(a, b + 1e-9, 0.0015) if b > a else np.array([a]) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)


def _cabinet(out: float) -> Array:
    """Top and front of a box, and a drawer with a handle that is out by so much."""
    box = [_sheet((-0.1, FRONT, 0.1), (0.1, 0.08, 0.1)), _sheet((-0.1, FRONT, 0), (0.1, FRONT, 0.1))]
    face = FRONT - out
    drawer = [
        _sheet((-0.1, face, 0.0), (0.1, face, 0.09)),
        _sheet((-0.03, face - 0.04, 0.045), (0.03, face - 0.03, 0.055)),
    ]
    floor = [_sheet((-0.09, face, 0.02), (0.09, FRONT, 0.02))] if out else []
    return np.concatenate([*box, *drawer, *floor])


def _scene(opening: bool) -> tuple[Trajectory, Array]:
    ways = np.clip(np.linspace(-0.3, 1.3, 9), 0, 1) * OUT
    ways = ways if opening else ways[::-1]
    labels = np.stack([drawn(CAMERA, _cabinet(float(way)), SIZE) * Label.OBJECT for way in ways]).astype(np.uint8)
    points = _cabinet(float(ways[0]))
    pixels, far = CAMERA.project(points)
    x, y = np.round(pixels).astype(int).T
    depth = np.full(SIZE, np.inf)
    np.minimum.at(depth, (y, x), far)
    return Trajectory(labels), depth


@pytest.mark.parametrize(("opening", "kind"), [(True, "grasp"), (False, "swing")])
def test_a_drawer_is_pulled_by_its_handle_and_pushed_by_its_front(opening: bool, kind: str) -> None:
    trajectory, depth = _scene(opening)
    plan = plan_door(trajectory, CAMERA, depth, opening)
    assert plan is not None
    assert (plan.kind, plan.motion.freedom) == (kind, "slide")
    moved = plan.motion.transforms[-1, :3, 3]
    assert moved == pytest.approx([0, -OUT if opening else OUT, 0], abs=0.015)
    assert plan.tool[-1, :3, 3] - plan.tool[0, :3, 3] == pytest.approx(moved, abs=1e-6)
    first = FRONT - 0.035 if opening else FRONT - OUT
    assert plan.tool[0, :2, 3] == pytest.approx([0, first], abs=0.02)


def test_a_cabinet_that_stands_open_has_no_plan() -> None:
    trajectory, depth = _scene(opening=False)
    still = Trajectory(np.repeat(trajectory.labels[:1], 9, axis=0))
    assert plan_door(still, CAMERA, depth, opening=False) is None
    assert plan_door(still, CAMERA, depth, opening=True) is None
