"""Rigid poses, easing and small meshes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
UP: Array = np.array([0.0, 0.0, 1.0])


def vec(*values: float) -> Array:
    """A float64 vector [len(values)]."""
    return np.array(values, dtype=np.float64)


def unit(v: ArrayLike) -> Array:
    """v [N] scaled to length 1."""
    a = np.asarray(v, dtype=np.float64)
    scaled: Array = a / max(math.sqrt(a.dot(a)), 1e-12)
    return scaled


def cross(a: Array, b: Array) -> Array:
    """The cross product of two vectors [3]; ten times as fast as np.cross."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def rotation(axis: ArrayLike, angle: float) -> Array:
    """Rotation matrix [3, 3] by angle (radians) about axis."""
    x, y, z = unit(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Array = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    return turned


def yaw(angle: float) -> Array:
    """Rotation about the vertical, [3, 3]."""
    return rotation(UP, angle)


def frame(x: ArrayLike, z: ArrayLike) -> Array:
    """Rotation [3, 3] whose first column is x and whose third is z made orthogonal to it."""
    ex = unit(x)
    ez = np.asarray(z, dtype=np.float64)
    ez = unit(ez - ex * float(ez @ ex))
    return np.stack([ex, cross(ez, ex), ez], axis=1)


def frame_z(z: ArrayLike) -> Array:
    """Any rotation [3, 3] whose third column is z, for shapes symmetric about their axis."""
    ez = unit(z)
    helper = vec(1, 0, 0) if abs(ez[0]) < 0.9 else vec(0, 1, 0)
    return frame(helper - ez * float(helper @ ez), ez)


def rotation_vector(r: Array) -> tuple[Array, float]:
    """(axis, angle) of a rotation matrix, angle in [0, pi]."""
    q = to_quaternion(r)
    s = float(np.linalg.norm(q[1:]))
    return (q[1:] / s if s > 1e-9 else UP.copy()), 2 * float(np.arctan2(s, q[0]))


def slerp(a: Array, b: Array, s: float) -> Array:
    """Rotation [3, 3] between rotations a (s = 0) and b (s = 1) along the shortest arc."""
    axis, angle = rotation_vector(a.T @ b)
    return a @ rotation(axis, angle * s)


def to_quaternion(r: Array) -> Array:
    """Quaternion wxyz [4], w >= 0, of a rotation matrix [3, 3]."""
    m = r
    choices = np.array([m[0, 0] + m[1, 1] + m[2, 2], m[0, 0], m[1, 1], m[2, 2]])
    i = int(np.argmax(choices))
    if i == 0:
        q = vec(1 + choices[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1])
    elif i == 1:
        q = vec(m[2, 1] - m[1, 2], 1 + 2 * m[0, 0] - choices[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0])
    elif i == 2:
        q = vec(m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], 1 + 2 * m[1, 1] - choices[0], m[1, 2] + m[2, 1])
    else:
        q = vec(m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 + 2 * m[2, 2] - choices[0])
    q = unit(q)
    return q if q[0] >= 0 else -q


@dataclass(frozen=True, eq=False)
class Pose:
    """A rigid pose: position p in metres [3], rotation matrix r [3, 3]. ``a @ b`` is b given in the frame of a."""

    p: Array
    r: Array

    def __matmul__(self, other: Pose) -> Pose:
        return Pose(self.p + self.r @ other.p, self.r @ other.r)

    def inverse(self) -> Pose:
        """The world's pose in this frame."""
        return Pose(-self.r.T @ self.p, self.r.T)

    def at(self, local: ArrayLike) -> Array:
        """World position [3] of a point [3] of this frame, metres."""
        moved: Array = self.p + self.r @ np.asarray(local, dtype=np.float64)
        return moved

    def shifted(self, offset: ArrayLike) -> Pose:
        """The pose moved by metres [3] of the world, not turned."""
        return Pose(self.p + np.asarray(offset, dtype=np.float64), self.r)


IDENTITY = Pose(np.zeros(3), np.eye(3))


def blend(a: Pose, b: Pose, s: float, via: Array | None = None) -> Pose:
    """The pose at s in [0, 1] between a and b; `via` [3] is a quadratic Bezier control point for the position."""
    middle = (a.p + b.p) / 2 if via is None else via
    p = (1 - s) ** 2 * a.p + 2 * s * (1 - s) * middle + s**2 * b.p
    return Pose(p, slerp(a.r, b.r, s))


def min_jerk(s: float) -> float:
    """Minimum-jerk easing of s, clipped to [0, 1]."""
    s = min(max(s, 0.0), 1.0)
    return s**3 * (10 - 15 * s + 6 * s**2)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangle mesh: vertices [N, 3] metres, faces [M, 3]."""

    vertices: Array
    faces: NDArray[np.int32]


def lathe(profile: list[tuple[float, float]], segments: int = 20) -> Mesh:
    """Surface of revolution about z of (radius, height) points, closed where the radius is 0."""
    angles = np.arange(segments) * (2 * np.pi / segments)
    vertices: list[Any] = []
    rings = []
    for radius, height in profile:
        start = len(vertices)
        if radius == 0:
            vertices.append((0.0, 0.0, height))
            rings.append([start] * segments)
        else:
            vertices += [(radius * np.cos(a), radius * np.sin(a), height) for a in angles]
            rings.append(list(range(start, start + segments)))
    faces = []
    for low, high in pairwise(rings):
        for i in range(segments):
            j = (i + 1) % segments
            if low[i] != low[j]:
                faces.append((low[i], low[j], high[j]))
            if high[i] != high[j]:
                faces.append((low[i], high[j], high[i]))
    return Mesh(np.array(vertices, dtype=np.float64), np.array(faces, dtype=np.int32))
