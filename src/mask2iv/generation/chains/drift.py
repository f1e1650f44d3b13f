"""How far a chain has drifted from the picture it began with, and a frame that goes back to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.trajectories.alignment import Transform, clean_plate, warp_image, warp_mask

MARGIN = 9
"""Side of the square by which masks are grown before what lies outside counts as background, in pixels."""
MOST_CHANGED = 8.0
"""Mean difference of the background from the first picture's, in 8-bit levels, from which a chain has drifted."""
MOST_UNLIKE = 25.0
"""The same of an object, laid over its look in the first picture."""
LEAST_SHARP, MOST_SHARP = 0.6, 1.6
"""Detail of background and object relative to the first picture's, beyond which a chain has drifted."""


@dataclass(frozen=True)
class Thing:
    """An object of a chain.

    Attributes:
        first: its mask in the first picture, bool [H, W].
        motion: from there to where it is, float64 [2, 3] in pixels.
    """

    first: BoolArray
    motion: Transform

    @property
    def now(self) -> BoolArray:
        """Where it is, whatever lies over it, bool [H, W]."""
        return warp_mask(self.first, self.motion)


@dataclass(frozen=True)
class Drift:
    """How a step's last frame differs from the first picture; None where there is nothing to compare.

    Attributes:
        background: mean absolute difference outside all that moves or has moved, in 8-bit levels.
        look: the same within the object, laid over where it was.
        sharpness: mean gradient of background and object, relative to the first picture's.
    """

    background: float | None
    look: float | None
    sharpness: float | None

    @property
    def problems(self) -> list[str]:
        """What is beyond the limits, in words."""
        found = []
        if self.background is not None and self.background > MOST_CHANGED:
            found.append(f"the background has changed by {self.background:.1f} of 255 (at most {MOST_CHANGED:g})")
        if self.look is not None and self.look > MOST_UNLIKE:
            found.append(f"the object looks {self.look:.1f} of 255 different (at most {MOST_UNLIKE:g})")
        if self.sharpness is not None and not LEAST_SHARP <= self.sharpness <= MOST_SHARP:
            found.append(
                f"the picture has {self.sharpness:.2f} of its detail (between {LEAST_SHARP:g} and {MOST_SHARP:g})"
            )
        return found

    @property
    def record(self) -> dict[str, float | None]:
        """For a manifest."""
        return {name: value if value is None else round(value, 3) for name, value in asdict(self).items()}


def drift(first: UInt8Array, now: UInt8Array, labels: UInt8Array, thing: Thing, moved: Sequence[BoolArray]) -> Drift:
    """The drift of a frame.

    Args:
        first: the picture that the chain began with, uint8 [H, W, 3].
        now: the frame, likewise.
        labels: what it shows, uint8 [H, W].
        thing: the object of the step.
        moved: where objects of the chain were and are, bool [H, W] each: no background to compare.
    """
    covered = np.logical_or.reduce([labels > 0, *moved])
    outside = ~_grown(covered)
    before = warp_image(first, thing.motion)
    inside = cv2.erode(thing.now.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0
    inside &= labels == Label.OBJECT
    difference = np.abs(now.astype(np.int16) - first).mean(axis=-1)
    unlike = np.abs(now.astype(np.int16) - before).mean(axis=-1)
    detail = [
        _gradient(one)[mask].sum() for one, mask in ((now, outside), (now, inside), (first, outside), (before, inside))
    ]
    was = float(detail[2] + detail[3])
    return Drift(
        float(difference[outside].mean()) if outside.any() else None,
        float(unlike[inside].mean()) if inside.any() else None,
        float(detail[0] + detail[1]) / was if was else None,
    )


def plate_of(first: UInt8Array, actor: BoolArray, things: Iterable[Thing], shown: Iterable[Thing]) -> UInt8Array:
    """The first picture without actor, its objects where they are by now.

    Args:
        first: uint8 [H, W, 3]; where its objects and its actor were, it is filled in from around.
        actor: where it shows an actor, bool [H, W].
        things: all objects.
        shown: those that are shown, later ones over earlier ones.
    """
    made = clean_plate(first, np.logical_or.reduce([actor, *(thing.first for thing in things)]))
    for thing in shown:
        made = laid_over(made, first, thing)
    return made


def laid_over(frame: UInt8Array, first: UInt8Array, thing: Thing) -> UInt8Array:
    """A frame with an object as the first picture shows it, where it is, over all else. Both uint8 [H, W, 3]."""
    made = frame.copy()
    made[thing.now] = warp_image(first, thing.motion)[thing.now]
    return made


def revealed(video: UInt8Array, labels: UInt8Array, plate: UInt8Array) -> UInt8Array:
    """A step's video with what actor and object hid in its first frame, and no longer hide, as it is known to be.

    A renderer knows the step's first frame alone, and can only guess there.

    Args:
        video, labels: of the step, uint8 [T, H, W, 3] and [T, H, W].
        plate: the scene without actor and object, uint8 [H, W, 3].
    """
    hidden = _grown(labels[0] > 0)
    shown = video.copy()
    for index in range(1, len(video)):
        # From nothing at the edge of what is there to all of it a margin away, so that no seam is seen.
        away = cv2.distanceTransform((labels[index] == 0).astype(np.uint8), cv2.DIST_L2, 3)
        share = np.clip((away - 1) / MARGIN, 0, 1) * cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 1.5)
        mixed = video[index] + share[..., None] * (plate.astype(np.float32) - video[index])
        shown[index] = np.rint(mixed)
    return shown


def _grown(mask: BoolArray) -> BoolArray:
    grown: BoolArray = cv2.dilate(mask.astype(np.uint8), np.ones((MARGIN, MARGIN), dtype=np.uint8)).astype(np.bool_)
    return grown


def joined(later: Transform, earlier: Transform) -> Transform:
    """One motion after another, float64 [2, 3]."""
    found: Transform = np.vstack([later, [0.0, 0.0, 1.0]])[:2] @ np.vstack([earlier, [0.0, 0.0, 1.0]])
    return found


def _gradient(image: UInt8Array) -> NDArray[np.float64]:
    """Absolute differences to the right and lower neighbour, summed, in 8-bit levels: [H, W]."""
    grey = image.astype(np.float64).mean(axis=-1)
    across = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    return np.asarray(across + np.abs(np.diff(grey, axis=0, append=grey[-1:])))
