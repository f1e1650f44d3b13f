"""Poses of a tool, float64 [4, 4]: its origin lies between the jaws' tips, z along the approach, x across the jaws."""

from __future__ import annotations

import cv2
import numpy as np

from mask2iv.execution.camera import Array


def straight_down(across: Array) -> Array:
    """The rotation [3, 3] of a tool that looks straight down, its jaws across a level unit vector [3]."""
    return np.stack([across, np.cross([0, 0, -1.0], across), np.array([0, 0, -1.0])], axis=1)


def turn_about(origin: Array, axis: Array, angle: float) -> Array:
    """The motion [4, 4] that turns by an angle (radians) about an axis, unit vector [3], through a point [3]."""
    motion = np.eye(4)
    motion[:3, :3], _ = cv2.Rodrigues(axis * angle)
    motion[:3, 3] = origin - motion[:3, :3] @ origin
    return motion
