"""A pinhole camera, and the depth of a picture: measured, or assumed from a table plane.

Pixels are (x, y) with the centre of the top left one at (0, 0). World coordinates are metres with z up; the camera's
own are x right, y down, z forward (OpenCV). Depth is measured along the camera's z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mask2iv.contract import BoolArray
from mask2iv.errors import InputError

Array = NDArray[np.float64]
_DEEP = 0.8
"""How deep a block is that is assumed in place of an object, over its width."""


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """A camera without distortion.

    Attributes:
        matrix: float64 [3, 3], intrinsics in pixels.
        pose: float64 [4, 4], from the camera's coordinates to the world's.
        size: (H, W) of the picture.

    Raises:
        InputError: a matrix of another shape, or a pose that is no rigid motion.
    """

    matrix: Array
    pose: Array
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or self.pose.shape != (4, 4):
            raise InputError(
                "camera",
                f"needs intrinsics [3, 3] and a pose [4, 4], found {self.matrix.shape} and {self.pose.shape}",
            )
        if not np.allclose(self.pose[:3, :3] @ self.pose[:3, :3].T, np.eye(3), atol=1e-3):
            raise InputError("camera", "its pose is not a rotation and a translation")

    @staticmethod
    def from_mujoco(position: ArrayLike, rotation: ArrayLike, fovy: float, size: tuple[int, int]) -> PinholeCamera:
        """From MuJoCo's convention.

        Args:
            position: [3], metres.
            rotation: matrix [3, 3] with columns right, up, backward, or quaternion wxyz [4].
            fovy: vertical field of view in degrees.
            size: (H, W).
        """
        turn = np.asarray(rotation, dtype=np.float64)
        turn = _from_quaternion(turn) if turn.shape == (4,) else turn.reshape(3, 3)
        height, width = size
        focal = height / 2 / np.tan(np.radians(fovy) / 2)
        matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        pose = np.eye(4)
        pose[:3, :3] = turn @ np.diag([1.0, -1.0, -1.0])
        pose[:3, 3] = position
        return PinholeCamera(matrix, pose, size)

    @property
    def position(self) -> Array:
        """Its centre in the world, [3]."""
        return self.pose[:3, 3]

    def project(self, points: Array) -> tuple[Array, Array]:
        """World points [..., 3] as pixels (x, y) [..., 2] and depths [...]; those behind it count as 1 mm before it."""
        local = (points - self.position) @ self.pose[:3, :3]
        depth = np.maximum(local[..., 2], 1e-3)
        seen = local @ self.matrix.T
        return seen[..., :2] / depth[..., None], local[..., 2]

    def rays(self, pixels: Array) -> Array:
        """Directions from the camera through pixels (x, y) [..., 2] in the world, of depth 1 m, [..., 3]."""
        ones = np.ones((*pixels.shape[:-1], 1))
        local = np.concatenate([pixels, ones], axis=-1) @ np.linalg.inv(self.matrix).T
        return local @ self.pose[:3, :3].T

    def lift(self, pixels: Array, depth: Array) -> Array:
        """World points [..., 3] of pixels (x, y) [..., 2] at depths [...]."""
        return self.position + self.rays(pixels) * depth[..., None]

    def grid(self) -> Array:
        """(x, y) of all pixels, float64 [H, W, 2]."""
        height, width = self.size
        return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)

    def points(self, depth: Array) -> Array:
        """World points [H, W, 3] of a depth map [H, W]."""
        return self.lift(self.grid(), depth)


def table_depth(camera: PinholeCamera, object_mask: BoolArray, height: float = 0.0) -> Array:
    """The depth of a picture of which only the table's height is known, float64 [H, W] in metres.

    All but the object lies on the table. The object is a block that faces the camera, with its foot at the lowest point
    of its mask, 0.8 times as deep as the mask is wide, and as high as the mask then asks for. Rays that miss the table
    get a depth of 10 m.

    Raises:
        InputError: the mask is empty, or its lowest point is above the table's horizon.
    """
    if not object_mask.any():
        raise InputError("object_mask", "the mask is empty")
    rays = camera.rays(camera.grid())
    depth = _level_depth(camera, rays, height)
    rows, columns = np.nonzero(object_mask)
    low = rows >= np.quantile(rows, 0.97)
    foot = float(depth[rows[low], columns[low]].mean())
    if foot >= 10:
        raise InputError("object_mask", "its lowest point is not on the table", "give a depth map, or another height")
    way = rays[int(rows[low].mean()), int(columns[low].mean())]
    down = float(-way[2] / np.linalg.norm(way))
    level = way * [1, 1, 0] / max(float(np.linalg.norm(way[:2])), 1e-6)
    scale = foot / camera.matrix[0, 0]
    wide, tall = np.ptp(columns) * scale, np.ptp(rows) * scale
    # Seen from above at an angle, a mask shows the block's front and its top.
    high = max((tall - _DEEP * wide * down) / max(float(np.sqrt(1 - down**2)), 0.2), 0.008)
    across = rays @ level
    front = (way * foot) @ level / np.where(np.abs(across) < 1e-6, 1e-6, across)
    top = _level_depth(camera, rays, height + high)
    # The lower part of the mask is the front, whose rays meet the level of the top behind it.
    block = np.where(top < front, front, top)
    depth[object_mask] = np.clip(block, 0.05, 10)[object_mask]
    return depth


def _level_depth(camera: PinholeCamera, rays: Array, height: float) -> Array:
    """Depth at which rays meet a level plane, 10 m where they do not."""
    fall = rays[..., 2]
    depth = (height - camera.position[2]) / np.minimum(fall, -1e-6)
    return np.where((fall < -1e-6) & (depth > 0) & (depth < 10), depth, 10.0)


def _from_quaternion(wxyz: Sequence[float] | Array) -> Array:
    w, x, y, z = np.asarray(wxyz, dtype=np.float64) / np.linalg.norm(wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
