"""An interaction as a few numbers per frame: where the object goes, and how the actor reaches for it.

A plan lies between a prompt and masks. It can be read off any mask trajectory, of a real clip or a simulated one; a
painter turns it back into masks; a person can drag its points, and a robot can follow them.

Coordinates are (x, y) in units of the picture's height, from the centre of the top left pixel: y runs from 0 to 1, x
from 0 to (W - 1) / (H - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.alignment import Transform, object_transforms, similarity, warp_mask

Array = NDArray[np.float64]
Numbers = TypeVar("Numbers", Array, torch.Tensor)

OBJECT_NUMBERS, ACTOR_NUMBERS, ACTORS = 4, 9, 2
NUMBERS = OBJECT_NUMBERS + ACTORS * ACTOR_NUMBERS
"""How many numbers a frame has in :meth:`InteractionPlan.to_array`."""
_SLOTS = (Label.ACTOR, Label.SECOND_ACTOR)


def actor_numbers(numbers: Numbers, slot: int) -> Numbers:
    """A view of one actor's numbers, [..., ACTOR_NUMBERS], in the numbers of plans, [..., NUMBERS]."""
    return numbers[..., OBJECT_NUMBERS + slot * ACTOR_NUMBERS :][..., :ACTOR_NUMBERS]


@dataclass(frozen=True, eq=False)
class ActorPlan:
    """Position of one actor (a hand with its arm, or a robot arm) in the picture, for T frames.

    Attributes:
        present: bool [T], whether it is in the picture; if not, the numbers below are 0.
        tip: float64 [T, 2], (x, y) of the point that touches the object, or is nearest to it, relative to the object's
            centroid.
        entry: float64 [T, 2], (x, y) where it enters the picture: the mean of the border pixels it covers; for an actor
            that does not reach the border, the end farthest from the tip.
        width: float64 [T], length of the border that it covers, 0 if none.
        centre: float64 [T, 2], centroid (x, y) of its mask.
        size: float64 [T], square root of its mask's area.
    """

    present: BoolArray
    tip: Array
    entry: Array
    width: Array
    centre: Array
    size: Array


@dataclass(frozen=True, eq=False)
class InteractionPlan:
    """A plan of T frames.

    Attributes:
        start: (x, y), the object's centroid in the first frame.
        shift: float64 [T, 2], displacement (x, y) of the object's centroid since the first frame.
        log_scale: float64 [T], natural logarithm of its size relative to the first frame.
        angle: float64 [T], its rotation in the picture since the first frame in radians, positive from x to y
            (clockwise as seen).
        actors: the right or only actor, then the left one.

    Raises:
        InputError: fields of different lengths, or not two actors.
    """

    start: tuple[float, float]
    shift: Array
    log_scale: Array
    angle: Array
    actors: tuple[ActorPlan, ActorPlan]

    def __post_init__(self) -> None:
        lengths = {len(self.shift), len(self.log_scale), len(self.angle)}
        lengths |= {len(value) for actor in self.actors for value in vars(actor).values()}
        if len(lengths) != 1 or len(self.actors) != ACTORS:
            raise InputError(
                "InteractionPlan",
                f"all fields must have one length and there must be {ACTORS} actors, found lengths {sorted(lengths)} "
                f"and {len(self.actors)} actors",
            )

    @property
    def num_frames(self) -> int:
        return len(self.shift)

    def to_array(self) -> Array:
        """The plan as float64 [T, NUMBERS]: shift, log_scale, angle, then for each actor present (1 or 0), tip, entry,
        width, centre, size."""
        parts = [self.shift, self.log_scale[:, None], self.angle[:, None]]
        for actor in self.actors:
            parts += [actor.present[:, None].astype(np.float64), actor.tip, actor.entry, actor.width[:, None]]
            parts += [actor.centre, actor.size[:, None]]
        return np.concatenate(parts, axis=1)

    @staticmethod
    def from_array(values: Array, start: tuple[float, float]) -> InteractionPlan:
        """The inverse of :meth:`to_array`; an actor is present where its first number is above 0.5.

        Raises:
            InputError: `values` has another shape.
        """
        if values.ndim != 2 or values.shape[1] != NUMBERS:
            raise InputError("values", f"must be [T, {NUMBERS}], found {list(values.shape)}")
        actors = []
        for slot in range(ACTORS):
            a = actor_numbers(values, slot)
            present = a[:, 0] > 0.5
            a = a * present[:, None]
            actors.append(ActorPlan(present, a[:, 1:3], a[:, 3:5], a[:, 5], a[:, 6:8], a[:, 8]))
        return InteractionPlan(start, values[:, :2], values[:, 2], values[:, 3], (actors[0], actors[1]))

    def transforms(self, height: int) -> Transform:
        """The object's motion from the first frame to each, float64 [T, 2, 3], in pixels of a picture of this height.

        See :func:`mask2iv.trajectories.alignment.object_transforms`.
        """
        centre = np.array(self.start) * (height - 1)
        poses = zip((height - 1) * self.shift, self.log_scale, self.angle, strict=True)
        return np.stack([similarity(centre, *pose) for pose in poses])


def plan_of(labels: UInt8Array) -> InteractionPlan:
    """The plan of a trajectory.

    Args:
        labels: uint8 [T, H, W].

    Raises:
        InputError: the first frame lacks the object.
    """
    first = labels[0] == Label.OBJECT
    if not first.any():
        raise InputError("labels", "the first frame lacks the object, so the clip has no plan")
    unit = labels.shape[1] - 1
    transforms = object_transforms(labels)
    start = np.flip(np.argwhere(first).mean(axis=0))
    places = np.einsum("tij,j->ti", transforms[:, :, :2], start) + transforms[:, :, 2]
    moved = [warp_mask(first, transform) for transform in transforms]
    actors = [_actor_plan(labels == slot, moved, places, unit) for slot in _SLOTS]
    return InteractionPlan(
        start=(float(start[0] / unit), float(start[1] / unit)),
        shift=(places - start) / unit,
        log_scale=np.log(np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])),
        angle=np.unwrap(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0])),
        actors=(actors[0], actors[1]),
    )


def _actor_plan(masks: BoolArray, objects: list[BoolArray], places: Array, unit: int) -> ActorPlan:
    rows = [
        _reach(mask, target, place) if mask.any() else np.zeros(ACTOR_NUMBERS)
        for mask, target, place in zip(masks, objects, places, strict=True)
    ]
    values = np.stack(rows)
    values[:, 1:] /= unit
    return ActorPlan(values[:, 0] > 0.5, values[:, 1:3], values[:, 3:5], values[:, 5], values[:, 6:8], values[:, 8])


def _reach(mask: BoolArray, target: BoolArray, place: Array) -> Array:
    """One actor's numbers in one frame, in pixels, from its mask, the moved object's mask and that one's centroid."""
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    if target.any():
        away = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 3)[rows, columns]
    else:
        away = np.linalg.norm(points - place, axis=1)
    tip = points[away <= away.min() + 1.5].mean(axis=0)
    height, width = mask.shape
    border = (rows == 0) | (rows == height - 1) | (columns == 0) | (columns == width - 1)
    if border.any():
        entry, covered = points[border].mean(axis=0), float(border.sum())
    else:
        far = np.linalg.norm(points - tip, axis=1)
        entry, covered = points[far >= np.quantile(far, 0.95)].mean(axis=0), 0.0
    return np.array([1.0, *(tip - place), *entry, covered, *points.mean(axis=0), np.sqrt(len(points))])
