"""What of a trajectory an edit is about, and what becomes of pixels where parts meet or move away.

A trajectory knows what is seen, not what is hidden, so two rules decide:

- Where parts meet, the object lies over the actors and the first actor over the second, as where a first frame's masks
  overlap; with the ``front`` "actor", the actors lie over the object.
- What a part uncovers is completed with what is known to be there: the object as the first frame shows it, moved as it
  moves; an actor within the convex hull of what is seen of it. With the ``uncovered`` "background" it is background.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.alignment import object_transforms, warp_mask
from mask2iv.trajectories.measures import centroid

Part = Literal["object", "actor", "second_actor", "actors", "all"]
"""A part of a trajectory: "actor" is the first or only one, "actors" both, "all" these and the object."""
Front = Literal["object", "actor"]
"""What lies over what where object and actors meet."""
Uncovered = Literal["complete", "background"]
"""What becomes of pixels that a part moves away from."""
Frames = tuple[int, int | None]
"""The first and the last frame, both included, from 0; None for a trajectory's last."""

_LABELS: Mapping[Part, tuple[Label, ...]] = {
    "object": (Label.OBJECT,),
    "actor": (Label.ACTOR,),
    "second_actor": (Label.SECOND_ACTOR,),
    "actors": (Label.ACTOR, Label.SECOND_ACTOR),
    "all": (Label.OBJECT, Label.ACTOR, Label.SECOND_ACTOR),
}
_UPWARDS: Mapping[Front, tuple[Label, ...]] = {
    "object": (Label.SECOND_ACTOR, Label.ACTOR, Label.OBJECT),
    "actor": (Label.OBJECT, Label.SECOND_ACTOR, Label.ACTOR),
}

Layers = dict[Label, BoolArray]
"""Masks of labels, bool [T, H, W] each."""


def labels_of(part: Part) -> tuple[Label, ...]:
    """The labels of a part."""
    return _LABELS[part]


def frame_range(frames: Frames, count: int, field: str = "frames") -> range:
    """The frames of a trajectory of `count` frames.

    Raises:
        InputError: they do not lie within it, or end before they begin.
    """
    first, last = frames[0], count - 1 if frames[1] is None else frames[1]
    if not 0 <= first <= last < count:
        raise InputError(
            field, f"must lie within 0 and {count - 1}, the first before the last, found {first} to {last}"
        )
    return range(first, last + 1)


def layers(labels: UInt8Array, part: Part) -> Layers:
    """What is seen of a part, of labels uint8 [T, H, W]."""
    return {label: labels == label for label in labels_of(part)}


def relaid(labels: UInt8Array, moved: Layers, front: Front = "object", uncovered: Uncovered = "complete") -> UInt8Array:
    """Labels with other masks for some of them; the rules are the module's.

    Args:
        labels: uint8 [T, H, W]; not modified.
        moved: the labels that change, and their new masks.
        front, uncovered: see the module.
    """
    before = np.isin(labels, [int(label) for label in moved])
    rest = {label: labels == label for label in _UPWARDS[front] if label not in moved}
    if uncovered == "complete":
        for label, mask in rest.items():
            if mask.any():
                rest[label] = mask | (before & _whole(labels, label, before))
    laid = np.zeros_like(labels)
    for label in _UPWARDS[front]:
        laid[moved[label] if label in moved else rest[label]] = label
    return laid


def edited(trajectory: Trajectory, labels: UInt8Array) -> Trajectory:
    """A trajectory with other labels. It has no painted colours: they say what is hidden, which an edit does not."""
    return Trajectory(labels, trajectory.fps, None, trajectory.placement)


def centre(mask: BoolArray) -> tuple[float, float] | None:
    """Centroid (x, y) of a mask bool [H, W]; None where it is empty."""
    found = centroid(mask)
    return None if found is None else (found[1], found[0])


def _whole(labels: UInt8Array, label: Label, hidden: BoolArray) -> BoolArray:
    """Where a label may be that something hides, bool [T, H, W]; frames in which nothing is hidden are left out."""
    found = np.zeros(labels.shape, dtype=np.bool_)
    frames = [index for index in range(len(labels)) if hidden[index].any() and (labels[index] == label).any()]
    if label == Label.OBJECT:
        if frames:
            motions = object_transforms(labels)
            for index in frames:
                found[index] = warp_mask(labels[0] == label, motions[index])
        return found
    for index in frames:
        points = np.argwhere(labels[index] == label)[:, ::-1].astype(np.int32)
        hull = np.zeros(labels.shape[1:], dtype=np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
        found[index] = hull.astype(np.bool_)
    return found
