"""Masks and trajectories of boxes, whose measures can be worked out by hand."""

import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory

HEIGHT, WIDTH = 60, 80
DIAGONAL = 100.0

Corners = list[tuple[int, int] | None]


def boxes(objects: Corners, actors: Corners | None = None) -> Trajectory:
    """Frames with an object of 10x10 and an actor of 6x6 pixels whose top left corners (y, x) are given."""
    labels = np.zeros((len(objects), HEIGHT, WIDTH), dtype=np.uint8)
    for frame, actor, corner in zip(labels, actors or [None] * len(objects), objects, strict=True):
        if actor is not None:
            frame[actor[0] : actor[0] + 6, actor[1] : actor[1] + 6] = Label.ACTOR
        if corner is not None:
            frame[corner[0] : corner[0] + 10, corner[1] : corner[1] + 10] = Label.OBJECT
    return Trajectory(labels)


def square(size: int, top: int, left: int, side: int) -> BoolArray:
    """A mask [size, size] of a square whose top left corner is given."""
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask
