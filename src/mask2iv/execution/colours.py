"""How well a moved surface wears the colours of a video's frame: what masks do not show, such as a kettle's turn."""

from __future__ import annotations

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array, PinholeCamera

_FAR = 0.25
"""Distance of two colours from which on they count as wholly different."""
_SHADING = 0.3
"""Weight of brightness, which changes as a surface turns in the light, beside hue and saturation."""
_FACING = 0.15
"""Least cosine between a surface's normal and the direction to the camera at which it is taken to be seen."""


class Colours:
    """The colours of a surface in the first picture, compared with those of other frames.

    Args:
        camera: that sees it.
        depth: float64 [H, W] of the first frame.
        points: float64 [N, 3], the surface, world metres.
        video: uint8 [T, H, W, 3].

    Raises:
        InputError: the video has another size than the camera's.
    """

    def __init__(self, camera: PinholeCamera, depth: Array, points: Array, video: UInt8Array) -> None:
        if video.ndim != 4 or video.shape[1:] != (*camera.size, 3):
            raise InputError("video", f"must be uint8 [T, {camera.size[0]}, {camera.size[1]}, 3], found {video.shape}")
        self._frames = [_features(frame) for frame in video]
        self._camera = camera
        x, y = self._pixels(points)
        self._worn = self._frames[0][y, x]
        self._normals = _normals(camera, depth)[y, x]

    def likeness(self, frame: int, moved: Array, turn: Array) -> float:
        """How alike the moved surface and a frame are, in [0, 1]: the mean over the points that face the camera.

        Args:
            frame: index of the frame.
            moved: float64 [N, 3], the points after the motion.
            turn: float64 [3, 3], the motion's rotation.
        """
        sight = self._camera.position - moved
        facing = np.einsum("ij,ij->i", self._normals @ turn.T, sight) / np.linalg.norm(sight, axis=1)
        weight = np.where(facing > _FACING, facing, 0.0)
        if not weight.any():
            return 0.0
        x, y = self._pixels(moved)
        apart = np.abs(self._frames[frame][y, x] - self._worn).sum(axis=1)
        return float(weight @ (1 - np.minimum(apart / _FAR, 1.0)) / weight.sum())

    def _pixels(self, points: Array) -> tuple[Array, Array]:
        height, width = self._camera.size
        x, y = np.round(self._camera.project(points)[0]).astype(np.intp).T
        return np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)


def _features(picture: UInt8Array) -> Array:
    """Two opponent colours relative to the brightness, and the brightness itself, [H, W, 3]."""
    red, green, blue = np.moveaxis(picture.astype(np.float64) / 255, -1, 0)
    light = (red + green + blue) / 3
    scale = light + 0.1
    features: Array = np.stack(
        [(red - green) / scale, (blue - (red + green) / 2) / scale, _SHADING * np.log(scale)], axis=-1
    )
    return features


def _normals(camera: PinholeCamera, depth: Array) -> Array:
    """Normals of a depth map that point to the camera, [H, W, 3]; at edges they are of little use."""
    points = camera.points(np.where(np.isfinite(depth), depth, 10.0))
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    away = np.einsum("ijk,ijk->ij", normal, camera.position - points) < 0
    normal[away] *= -1
    turned: Array = normal
    return turned
