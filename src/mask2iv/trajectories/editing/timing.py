"""When things happen: a speed curve, frames held, and played backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.motion import Interpolation, checked_frames, interpolated
from mask2iv.trajectories.editing.parts import Frames, Front, Part, centre, edited, frame_range, layers, relaid

Between = Literal["blend", "nearest"]
"""What is shown between two frames: a shape between their shapes, or the nearer frame."""

MOST_FRAMES = 4096
"""Most frames of a retimed trajectory."""
_STILL = 1e-6


@dataclass(frozen=True)
class TimeKey:
    """A point of a speed curve.

    Attributes:
        frame: of the result, from 0.
        source: what it shows, a frame of the original; may lie between two.

    Raises:
        InputError: one of them is negative.
    """

    frame: int
    source: float

    def __post_init__(self) -> None:
        if self.frame < 0 or not self.source >= 0:
            raise InputError("curve", f"frames must be 0 or more, found {self.frame} showing {self.source:g}")


def retime(
    trajectory: Trajectory,
    curve: Sequence[TimeKey],
    interpolation: Interpolation = "linear",
    part: Part = "all",
    between: Between = "blend",
    length: int | None = None,
    front: Front = "object",
) -> Trajectory:
    """A trajectory played by a speed curve: faster, slower, still, backwards.

    Args:
        trajectory: not modified.
        curve: which frame each frame shows; before its first point and after its last it stays.
        interpolation: between the points.
        part: what is retimed; the rest keeps its time.
        between: what is shown between two frames.
        length: frames of the result; None: as many as before. Models render a fixed number.
        front: see :mod:`mask2iv.trajectories.editing.parts`.

    Raises:
        InputError: a curve that is empty, does not rise in the result's frames or leaves the trajectory; another length
            for a part alone.
    """
    count = trajectory.num_frames if length is None else length
    if not 1 <= count <= MOST_FRAMES:
        raise InputError("length", f"must be between 1 and {MOST_FRAMES}, found {count}")
    if count != trajectory.num_frames and part != "all":
        raise InputError("length", "a part cannot have another length than the rest", "retime all parts")
    checked_frames([key.frame for key in curve], count, "curve")
    latest = max(key.source for key in curve)
    if latest > trajectory.num_frames - 1:
        raise InputError("curve", f"the original's last frame is {trajectory.num_frames - 1}, found {latest:g}")
    sources = np.array([[key.source] for key in curve], dtype=np.float64)
    return _played(
        trajectory, interpolated([k.frame for k in curve], sources, count, interpolation)[:, 0], part, between, front
    )


def hold(trajectory: Trajectory, frame: int, count: int, part: Part = "all", front: Front = "object") -> Trajectory:
    """One frame shown `count` frames longer; what follows comes later, and what no longer fits is cut off.

    Raises:
        InputError: a frame that is not there, or no count.
    """
    frame_range((frame, frame), trajectory.num_frames, "frame")
    if count < 1:
        raise InputError("count", f"must be 1 or more, found {count}")
    times = np.arange(trajectory.num_frames, dtype=np.float64)
    return _played(trajectory, np.where(times > frame, np.maximum(times - count, frame), times), part, "nearest", front)


def reverse(
    trajectory: Trajectory, frames: Frames = (0, None), part: Part = "all", front: Front = "object"
) -> Trajectory:
    """Frames shown backwards. Raises InputError for frames that are not there."""
    chosen = frame_range(frames, trajectory.num_frames)
    times = np.arange(trajectory.num_frames, dtype=np.float64)
    times[chosen.start : chosen.stop] = times[chosen.start : chosen.stop][::-1]
    return _played(trajectory, times, part, "nearest", front)


def blended(one: BoolArray, other: BoolArray, share: float) -> BoolArray:
    """A shape between two, bool [H, W]: their signed distances, laid over each other at the place between, averaged.

    Args:
        one, other: masks; if one is empty, the nearer one is taken.
        share: of the other, in [0, 1].
    """
    here, there = centre(one), centre(other)
    if here is None or there is None:
        return one if share < 0.5 else other
    way = np.subtract(there, here)
    distances = [_laid(_signed(mask), shift) for mask, shift in ((one, share * way), (other, (share - 1) * way))]
    found: BoolArray = (1 - share) * distances[0] + share * distances[1] > 0
    return found


def _played(
    trajectory: Trajectory, times: NDArray[np.float64], part: Part, between: Between, front: Front
) -> Trajectory:
    """A part, in each frame as it was at a time [T] of the original."""
    labels = trajectory.labels
    nearest = np.floor(times + 0.5).astype(int)
    if between == "nearest" or (np.abs(times - nearest) < _STILL).all():
        if part == "all":
            return edited(trajectory, labels[nearest])
        moved = {label: masks[nearest] for label, masks in layers(labels, part).items()}
        return edited(trajectory, _kept_where_still(labels, relaid(labels, moved, front), times))
    moved = {}
    for label, masks in layers(labels, part).items():
        moved[label] = np.stack([_at(masks, time) for time in times])
    if part != "all":
        return edited(trajectory, _kept_where_still(labels, relaid(labels, moved, front), times))
    whole = _stacked(moved, front)
    exact = np.abs(times - nearest) < _STILL
    whole[exact] = labels[nearest[exact]]
    return edited(trajectory, whole)


def _kept_where_still(labels: UInt8Array, laid: UInt8Array, times: NDArray[np.float64]) -> UInt8Array:
    """Frames whose time does not change stay as they are to the pixel."""
    still = np.abs(times - np.arange(len(times))) < _STILL
    laid[still] = labels[still]
    return laid


def _stacked(moved: dict[Label, BoolArray], front: Front) -> UInt8Array:
    shape = next(iter(moved.values())).shape
    return relaid(np.zeros(shape, dtype=np.uint8), moved, front, "background")


def _at(masks: BoolArray, time: float) -> BoolArray:
    before = int(np.floor(time + _STILL))
    share = time - before
    if share < _STILL or before + 1 >= len(masks):
        nearest: BoolArray = masks[before]
        return nearest
    return blended(masks[before], masks[before + 1], share)


def _signed(mask: BoolArray) -> NDArray[np.float32]:
    """Distance to the edge in pixels, positive inside, float32 [H, W]."""
    inside = mask.astype(np.uint8)
    return np.asarray(
        cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5),
        dtype=np.float32,
    )


def _laid(distances: NDArray[np.float32], shift: NDArray[np.float64]) -> NDArray[np.float32]:
    height, width = distances.shape
    motion = np.column_stack([np.eye(2), shift])
    return np.asarray(
        cv2.warpAffine(distances, motion, (width, height), borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )
