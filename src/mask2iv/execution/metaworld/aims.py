"""From masks to the path of the part that is handled, in space.

A mask shows where a part is in the picture, but hardly how far away. What the instruction says closes the gap: what is
opened, closed or pressed keeps its height, what is pressed down keeps its place, and what is put somewhere is
lifted, moved and let down, before what is seen behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mask2iv.contract import BoolArray, Trajectory, is_actor
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.trajectories.alignment import object_transforms

Way = Literal["level", "down", "carried"]
"""How a part moves: at its height; straight down; anywhere."""

_THICKEST = 0.03
"""Of a part: half of it, metres."""
_PIXELS = 300
"""Of a mask, at most, among which the medoid is looked for."""
_REACH, _STEP = 0.4, 0.01
"""Depths of a carried part that are tried: so much nearer and farther than at its start, in such steps, metres."""
_EFFORT = np.array([2.0, 0.1, 1.0, 3.0])
"""Of a metre to the side (x), away from the robot (y), up or down, and up and away at once."""
_LOWEST, _HIGHEST, _SLACK = 0.0, 0.42, 0.03
"""Heights of a carried part, and how far it may come nearer to the robot; metres."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a camera sees of a scene.

    Attributes:
        camera: the pinhole.
        depth: float64 [H, W], metres along its axis.
    """

    camera: PinholeCamera
    depth: Array


def camera_of(geometry: Mapping[str, Any], size: tuple[int, int]) -> PinholeCamera:
    """The pinhole of the simulator's record of it, :meth:`mask2iv.execution.metaworld.server.views.Views.camera`."""
    pose = np.eye(4)
    pose[:3, :3] = np.array(geometry["rotation"]).T
    pose[:3, 3] = geometry["position"]
    (x, y), focal = geometry["centre"], geometry["focal"]
    return PinholeCamera(np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]]), pose, size)


def way_of(caption: str) -> Way:
    """How the part of an instruction moves."""
    if caption.endswith(" down"):
        return "down"
    return "level" if any(verb in caption for verb in ("opening", "closing", "pressing")) else "carried"


def handled_point(mask: BoolArray, seen: Seen) -> tuple[Array, Array, float]:
    """The middle of a part: the medoid of its mask (x, y); the point [3] half its thickness behind the surface there;
    and that half, metres.

    The thickness is taken to be the mask's width across its longer side.
    """
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    few = pixels[:: -(-len(pixels) // _PIXELS)]
    medoid = few[np.argmin(np.linalg.norm(few[:, None] - few[None], axis=2).sum(axis=1))]
    near = np.linalg.norm(pixels - medoid, axis=1) < 5
    depth = float(np.median(seen.depth[rows[near], columns[near]]))
    spread = np.cov(pixels.T) if len(pixels) > 2 else np.eye(2)
    # A bar of width w has the standard deviation w / sqrt(12) across.
    width = np.sqrt(12 * max(float(np.linalg.eigvalsh(spread)[0]), 0.0))
    half = min(width * depth / seen.camera.matrix[0, 0] / 2, _THICKEST)
    surface = seen.camera.lift(medoid, np.array(depth))
    sight = surface - seen.camera.position
    return medoid, surface + half * sight / np.linalg.norm(sight), half


def path_of(trajectory: Trajectory, seen: Seen, way: Way) -> Array:
    """The path of the part's middle, [T, 3] in metres.

    Args:
        trajectory: true or predicted; its first frame shows the part.
        seen: at its first frame.
        way: how it moves.
    """
    mask = trajectory.object[0]
    medoid, start, _ = handled_point(mask, seen)
    transforms = object_transforms(trajectory.labels)
    pixels = transforms[:, :, :2] @ medoid + transforms[:, :, 2]
    rays = seen.camera.rays(pixels)
    origin = seen.camera.position
    if way == "level":
        away = (start[2] - origin[2]) / np.minimum(rays[:, 2], -0.05)
    elif way == "down":
        # Where the sight's plane through the vertical meets the vertical over the start.
        level = start[:2] - origin[:2]
        away = (level @ level) / (rays[:, :2] @ level)
        height = origin[2] + away * rays[:, 2]
        return np.stack([np.full(len(height), start[0]), np.full(len(height), start[1]), height], axis=1)
    else:
        free = ~mask & ~is_actor(trajectory.labels[0])
        away = _carried(seen, free, rays, start)
    path = origin + rays * away[:, None]
    path[0] = start
    return path


def _carried(seen: Seen, free: BoolArray, rays: Array, start: Array) -> Array:
    """Depths [T] of a carried part along its rays [T, 3].

    Of all paths along the rays the one of least effort is taken (by dynamic programming). What is carried is lifted,
    moved away from the robot and let down, one after the other: so a way up or down costs its length, one to the side
    more, one away less, and one up and away at once much. A part that is seen is before the surface that is seen there
    without it; it is above the table, and does not come nearer to the robot. (The weights were chosen on the first
    three training layouts.)

    Args:
        free: bool [H, W], where the depth is neither the robot's nor the part's.
    """
    origin = seen.camera.position
    first = float(seen.camera.project(start[None])[1][0])
    tried = first + np.arange(-_REACH, _REACH + 1e-6, _STEP)
    points = origin + rays[:, None] * tried[:, None]  # [T, D, 3]
    farthest = _farthest(seen, free, points)
    cost = 20.0 * np.maximum(tried - farthest[:, None], 0) + 20.0 * np.maximum(_LOWEST - points[..., 2], 0)
    cost += 20.0 * np.maximum(points[..., 2] - _HIGHEST, 0)
    cost += 20.0 * np.maximum(start[1] - _SLACK - points[..., 1], 0)
    total = np.where(np.abs(tried - first) < _STEP / 2, 0.0, np.inf)
    back = np.zeros((len(rays), len(tried)), dtype=int)
    for frame in range(1, len(rays)):
        before = points[frame - 1] if frame > 1 else np.repeat(start[None], len(tried), axis=0)
        side, away, up = np.moveaxis(np.abs(points[frame][None] - before[:, None]), -1, 0)
        sums = total[:, None] + np.tensordot(_EFFORT, np.stack([side, away, up, np.minimum(away, up)]), 1)
        back[frame] = sums.argmin(axis=0)
        total = sums.min(axis=0) + cost[frame]
    chosen = [int(total.argmin())]
    for frame in range(len(rays) - 1, 0, -1):
        chosen.append(int(back[frame, chosen[-1]]))
    return tried[chosen[::-1]]


def _farthest(seen: Seen, free: BoolArray, points: Array) -> Array:
    """How far away a part can be in each frame, [T]: at the surface seen around its place in the picture."""
    pixels = seen.camera.project(points[:, points.shape[1] // 2])[0].round().astype(int)
    found = []
    for x, y in pixels:
        rows, columns = slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3)
        known = seen.depth[rows, columns][free[rows, columns]]
        found.append(float(np.quantile(known, 0.5)) if len(known) else np.inf)
    return np.array(found)
