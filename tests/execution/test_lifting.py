"""Motions of a box seen by a camera are recovered from its exact masks to within millimetres."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array, PinholeCamera, table_depth
from mask2iv.execution.lifting import object_motion
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.plan import plan_motion

SIZE = (120, 192)
HALF = np.array([0.05, 0.03, 0.035])
START = np.array([-0.05, 0.02, HALF[2]])
Motion = Callable[[float], tuple[Array, Array]]


def _camera() -> PinholeCamera:
    back = np.array([0, -np.cos(0.8), np.sin(0.8)])
    turn = np.stack([np.array([1.0, 0, 0]), np.cross(back, [1.0, 0, 0]), back], axis=1)
    return PinholeCamera.from_mujoco(np.array([0, 0, 0.05]) + 0.68 * back, turn, 45.0, SIZE)


CAMERA = _camera()


def _yaw(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def _roll(angle: float) -> Array:
    """About the world's y, which is the direction of view."""
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def _box(turn: Array, place: Array) -> Array:
    """Depth [H, W] of a box, inf where a ray misses it."""
    rays = CAMERA.rays(CAMERA.grid()) @ turn
    origin = (CAMERA.position - place) @ turn
    with np.errstate(divide="ignore"):
        near, far = (-HALF - origin) / rays, (HALF - origin) / rays
    enter, leave = np.minimum(near, far).max(axis=-1), np.maximum(near, far).min(axis=-1)
    return np.where(enter < leave, enter, np.inf)


def _scene(motion: Motion, frames: int = 8, hide: bool = False) -> tuple[Trajectory, Array, Array]:
    """Trajectory, depth of the first frame, and the true path of the box's middle."""
    labels, path = np.zeros((frames, *SIZE), dtype=np.uint8), []
    floor = table_depth(CAMERA, np.pad(np.ones((1, 1), bool), ((100, 19), (90, 101))))
    depth = floor
    for k in range(frames):
        turn, shift = motion(k / (frames - 1))
        seen = _box(turn, START + shift)
        labels[k][np.isfinite(seen)] = Label.OBJECT
        if hide and k:
            rows, columns = np.nonzero(labels[k] == Label.OBJECT)
            labels[k][: int(rows.mean()), int(columns.mean()) - 3 : int(columns.mean()) + 3] = Label.ACTOR
        if k == 0:
            depth = np.where(np.isfinite(seen), seen, floor)
        path.append(START + shift)
    return Trajectory(labels), depth, np.stack(path)


def _error(motion: ObjectMotion, path: Array) -> Array:
    """Distance from the true path in each frame, millimetres."""
    return 1000 * np.linalg.norm(motion.path(START) - path, axis=1)


def test_a_slide_on_the_table() -> None:
    trajectory, depth, path = _scene(lambda s: (np.eye(3), s * np.array([0.14, 0.06, 0])))
    motion = object_motion(trajectory, CAMERA, depth)
    assert motion.freedom == "table"
    assert _error(motion, path).max() < 6
    assert motion.confidence.min() > 0.8


def test_a_lift_is_told_from_a_slide() -> None:
    trajectory, depth, path = _scene(lambda s: (np.eye(3), s * np.array([0.03, -0.02, 0.13])))
    motion = object_motion(trajectory, CAMERA, depth)
    assert motion.freedom == "carry"
    assert _error(motion, path).max() < 25


def test_a_part_hidden_by_the_actor_changes_little() -> None:
    trajectory, depth, path = _scene(lambda s: (np.eye(3), s * np.array([0.03, -0.02, 0.13])), hide=True)
    assert _error(object_motion(trajectory, CAMERA, depth, "carry"), path).max() < 25


@pytest.mark.parametrize(("freedom", "turned"), [("table", _yaw), ("turn", _yaw), ("tilt", _roll)])
def test_a_turn(freedom: str, turned: Callable[[float], Array]) -> None:
    shift = np.array([0.02, 0, 0.1 if freedom == "tilt" else 0.0])
    trajectory, depth, _ = _scene(lambda s: (turned(1.0 * s), s * shift))
    motion = object_motion(trajectory, CAMERA, depth, freedom)  # type: ignore[arg-type]
    turn = motion.transforms[-1, :3, :3].T @ turned(1.0)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 10


def test_a_plate_turns_as_its_colours_do() -> None:
    # Its masks are the same in all frames.
    floor = table_depth(CAMERA, np.pad(np.ones((1, 1), bool), ((100, 19), (90, 101))))
    on_table = CAMERA.points(floor)[..., :2]
    plate = np.linalg.norm(on_table, axis=-1) < 0.08
    angles = np.linspace(0, 1.2, 8)
    video = np.full((8, *SIZE, 3), 120, dtype=np.uint8)
    for frame, angle in zip(video, angles, strict=True):
        ahead = on_table @ [np.cos(angle), np.sin(angle)] > 0
        frame[plate & ahead], frame[plate & ~ahead] = (200, 40, 40), (40, 60, 200)
    trajectory = Trajectory(np.repeat((plate * Label.OBJECT).astype(np.uint8)[None], 8, axis=0))
    turned = [
        object_motion(trajectory, CAMERA, floor, "turn", video=given).transforms[-1, :2, 0] for given in (None, video)
    ]
    found = [np.degrees(np.arctan2(y, x)) for x, y in turned]
    assert abs(found[0]) < 10
    assert found[1] == pytest.approx(np.degrees(1.2), abs=10)
    with pytest.raises(InputError, match="video"):
        object_motion(trajectory, CAMERA, floor, "turn", video=video[:, :50])


def test_what_is_picked_up_goes_up_rather_than_away() -> None:
    trajectory, depth, path = _scene(lambda s: (np.eye(3), s * np.array([0.0, 0.0, 0.08])))
    assert _error(object_motion(trajectory, CAMERA, depth, "lift"), path).max() < 18


def test_an_object_that_rests_needs_no_plan() -> None:
    trajectory, depth, _ = _scene(lambda s: (np.eye(3), np.zeros(3)), 5)
    assert plan_motion(trajectory, CAMERA, depth).kind == "rest"


def test_a_carried_object_is_grasped_and_comes_down_where_it_should() -> None:
    def arch(s: float) -> tuple[Array, Array]:
        return np.eye(3), np.array([0.13 * s, 0.02 * s, 0.25 * s * (1 - s)])

    trajectory, depth, path = _scene(arch, 9)
    plan = plan_motion(trajectory, CAMERA, depth, "moving")
    assert plan.kind == "grasp"
    assert _error(plan.motion, path)[-1] < 6
    # Across the box, not along it, and with the tips above the table.
    assert abs(plan.tool[0, 1, 0]) > 0.9
    assert plan.tool[0, 2, 3] > 0.008
    assert np.linalg.norm(plan.tool[0, :2, 3] - START[:2]) < 0.025
    assert (plan.opening[1:8] == 0).all()


def test_a_pushed_object_is_met_from_behind() -> None:
    trajectory, depth, _ = _scene(lambda s: (np.eye(3), s * np.array([0.16, 0, 0])))
    plan = plan_motion(trajectory, CAMERA, depth, "pushing")
    assert plan.kind == "push"
    assert plan.approach[0, 3] < plan.tool[0, 0, 3] < START[0] - HALF[0] + 0.005
    assert plan.tool[-1, 0, 3] - plan.tool[0, 0, 3] == pytest.approx(0.16, abs=0.004)


def test_without_a_depth_map_a_slide_on_the_table_is_near() -> None:
    trajectory, _, path = _scene(lambda s: (np.eye(3), s * np.array([0.14, 0.06, 0])))
    motion = object_motion(trajectory, CAMERA, table_depth(CAMERA, trajectory.object[0]), "table")
    moved = motion.path(motion.centre) - motion.centre
    assert np.linalg.norm(moved[-1] - (path[-1] - path[0])) < 0.015


def test_what_cannot_be_lifted_is_refused() -> None:
    trajectory, depth, _ = _scene(lambda s: (np.eye(3), np.zeros(3)), 5)
    with pytest.raises(InputError, match="freedom"):
        object_motion(trajectory, CAMERA, depth, "fly")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only 0 pixels of the object have a depth"):
        object_motion(trajectory, CAMERA, np.zeros(SIZE))
    with pytest.raises(InputError, match="camera's size"):
        object_motion(Trajectory(trajectory.labels[:, :50]), CAMERA, depth)
