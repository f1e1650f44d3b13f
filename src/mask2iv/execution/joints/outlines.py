"""Outlines of points in the picture, and how well they overlay a mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.execution.camera import Array, PinholeCamera


def drawn(camera: PinholeCamera, points: Array, size: tuple[int, ...]) -> BoolArray:
    """Where points [N, 3] fall in the picture, with gaps closed: bool [H, W]."""
    mask: Any = np.zeros(size, dtype=np.uint8)
    if len(points):
        x, y = np.round(camera.project(points)[0]).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
        mask[y[inside], x[inside]] = 1
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    shown: BoolArray = mask > 0
    return shown


def seen_and_hidden(trajectory: Trajectory) -> tuple[BoolArray, BoolArray]:
    """Where each frame shows the object, and where something else may hide it: two of bool [T, H, W]."""
    masks = trajectory.labels == Label.OBJECT
    return masks, (trajectory.labels != Label.BACKGROUND) & ~masks


def overlap(shown: BoolArray, mask: BoolArray, hidden: BoolArray) -> float:
    """IoU of an outline and a mask, bool [H, W], where nothing hides them."""
    known = ~hidden
    either = int(((shown | mask) & known).sum())
    return int((shown & mask & known).sum()) / either if either else 0.0
