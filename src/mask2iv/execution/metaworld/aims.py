"""From masks to the path of the part that is handled, in space.

A mask shows where a part is in the picture, but hardly how far away. What the instruction says closes the gap: what is
opened, closed or pressed keeps its height, what is pressed down keeps its place, and what is put somewhere ends before
the surface that is seen there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Trajectory, is_actor
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.trajectories.alignment import object_transforms

Way = Literal["level", "down", "carried"]
"""How a part moves: at its height; straight down; anywhere."""

_THICKEST = 0.03
"""Of a part: half of it, metres."""


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
    """The pinhole of the simulator's record of it, see :meth:`mask2iv.execution.metaworld.server.world.Views.camera`."""
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
    medoid = pixels[np.argmin(np.linalg.norm(pixels[:, None] - pixels[None], axis=2).sum(axis=1))]
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
    medoid, start, half = handled_point(mask, seen)
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
        away = _carried(trajectory, seen, transforms, mask, start, half)
    path = origin + rays * away[:, None]
    path[0] = start
    return path


def _carried(
    trajectory: Trajectory, seen: Seen, transforms: Array, mask: BoolArray, start: Array, half: float
) -> Array:
    """Depths [T] that go from the start's to that of what is seen at the end, as the part goes there in the picture."""
    first = float(seen.camera.project(start[None])[1][0])
    height, width = mask.shape
    end = cv2.warpAffine(mask.astype(np.uint8), transforms[-1], (width, height)) > 0
    around = cv2.dilate(end.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    around &= ~is_actor(trajectory.labels[0])
    last = float(np.quantile(seen.depth[around], 0.15)) if around.any() else first
    centre = np.array([np.nonzero(mask)[1].mean(), np.nonzero(mask)[0].mean()])
    places = transforms[:, :, :2] @ centre + transforms[:, :, 2]
    travel = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    share = travel / max(float(travel[-1]), 1e-6)
    return first + share * (last - first)
