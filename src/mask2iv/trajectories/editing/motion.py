"""Parts moved, scaled and rotated: over a range of frames with easing, by keyframes, or along a path.

Places are (x, y) in pixels of the trajectory, angles in degrees, clockwise as seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.alignment import Transform, similarity, warp_mask
from mask2iv.trajectories.editing.parts import (
    Frames,
    Front,
    Part,
    Uncovered,
    centre,
    edited,
    frame_range,
    labels_of,
    layers,
    relaid,
)
from mask2iv.trajectories.measures import centroids

Easing = Literal["step", "linear", "ease-in", "ease-out", "ease-in-out"]
"""How a change grows over its frames: at once, evenly, slowly at first, slowly at last, or both."""
Interpolation = Literal["step", "linear", "ease-in", "ease-out", "ease-in-out", "smooth"]
"""Between keyframes: an easing on each stretch, or "smooth", a cubic through all that does not overshoot (PCHIP)."""
After = Literal["stay", "end"]
"""What follows a change: it stays, or the frames after it are as they were."""
Point = tuple[float, float]
Array = NDArray[np.float64]

MOST_SCALE = 20.0
"""Scales are between 1 by this and this."""


@dataclass(frozen=True)
class Keyframe:
    """A change of a part in one frame, relative to where it was there.

    Attributes:
        frame: from 0.
        move: (x, y) in pixels.
        scale: factor.
        rotate: degrees, clockwise.

    Raises:
        InputError: a negative frame, or a scale beyond :data:`MOST_SCALE`.
    """

    frame: int
    move: Point = (0.0, 0.0)
    scale: float = 1.0
    rotate: float = 0.0

    def __post_init__(self) -> None:
        _check_frame_and_scale(self.frame, self.scale)


@dataclass(frozen=True)
class Place:
    """Where the object is in one frame.

    Attributes:
        frame: from 0.
        x, y: its centroid, in pixels.
        scale: relative to the first frame.
        rotate: degrees since the first frame, clockwise.

    Raises:
        InputError: a negative frame, or a scale beyond :data:`MOST_SCALE`.
    """

    frame: int
    x: float
    y: float
    scale: float = 1.0
    rotate: float = 0.0

    def __post_init__(self) -> None:
        _check_frame_and_scale(self.frame, self.scale)


def eased(share: Array, easing: Easing) -> Array:
    """How far a change has come, in [0, 1], where `share` of its time has passed, float64 in [0, 1]."""
    match easing:
        case "step":
            return np.ones_like(share)
        case "ease-in":
            return share**2
        case "ease-out":
            return 1 - (1 - share) ** 2
        case "ease-in-out":
            return share * share * (3 - 2 * share)
        case _:
            return share


def interpolated(frames: Sequence[int], values: Array, count: int, interpolation: Interpolation) -> Array:
    """Values of keyframes for all frames; before the first and after the last they stay.

    Args:
        frames: N different frames in rising order.
        values: float64 [N, K].
        count: of frames.
        interpolation: between them; "step" takes the keyframe before.

    Returns:
        float64 [count, K].
    """
    times, known = np.arange(count, dtype=np.float64), np.asarray(frames, dtype=np.float64)
    if len(known) == 1:
        return np.repeat(values[:1], count, axis=0)
    after = np.clip(np.searchsorted(known, times, side="right"), 1, len(known) - 1)
    begin, end = known[after - 1], known[after]
    share = np.clip((times - begin) / (end - begin), 0, 1)
    if interpolation == "smooth":
        return _hermite(share[:, None], (end - begin)[:, None], after, values, _slopes(known, values))
    grown = np.floor(share) if interpolation == "step" else eased(share, interpolation)
    return np.asarray(values[after - 1] + grown[:, None] * (values[after] - values[after - 1]))


def transform(
    trajectory: Trajectory,
    part: Part = "object",
    frames: Frames = (0, None),
    move: Point = (0.0, 0.0),
    scale: float = 1.0,
    rotate: float = 0.0,
    easing: Easing = "ease-in-out",
    after: After = "stay",
    pivot: Point | None = None,
    front: Front = "object",
    uncovered: Uncovered = "complete",
) -> Trajectory:
    """A part moved, scaled and rotated: nothing in the first of the frames, all of it in the last (but see easing).

    Args:
        trajectory: not modified.
        part: what changes.
        frames: the first and the last frame; after the last the change stays, or ends (`after`).
        move: (x, y) in pixels.
        scale, rotate: factor, and degrees clockwise, about the pivot.
        easing: how the change grows; "step": it is there from the first frame on.
        after: see `frames`.
        pivot: (x, y); None: the centroid in each frame, of the object where it is part of what changes.
        front, uncovered: see :mod:`mask2iv.trajectories.editing.parts`.

    Raises:
        InputError: frames that are not there, or a scale beyond :data:`MOST_SCALE`.
    """
    chosen = frame_range(frames, trajectory.num_frames)
    last = Keyframe(chosen[-1], move, scale, rotate)
    share = np.zeros(trajectory.num_frames)
    share[chosen.start : chosen.stop] = np.linspace(0, 1, len(chosen)) if len(chosen) > 1 else 1.0
    grown = eased(share, easing)
    grown[: chosen.start] = 0.0
    grown[chosen.stop :] = float(after == "stay")
    return _moved(trajectory, part, grown[:, None] * _numbers(last), pivot, front, uncovered)


def keyframes(
    trajectory: Trajectory,
    keys: Sequence[Keyframe],
    part: Part = "object",
    interpolation: Interpolation = "smooth",
    pivot: Point | None = None,
    front: Front = "object",
    uncovered: Uncovered = "complete",
) -> Trajectory:
    """A part changed by keyframes, which add to where it was; other arguments as of :func:`transform`.

    Raises:
        InputError: no keyframes, not in rising order, or beyond the last frame.
    """
    checked_frames([key.frame for key in keys], trajectory.num_frames)
    values = np.stack([_numbers(key) for key in keys])
    numbers = interpolated([key.frame for key in keys], values, trajectory.num_frames, interpolation)
    return _moved(trajectory, part, numbers, pivot, front, uncovered)


def track(places: Sequence[Place], start: BoolArray, count: int, interpolation: Interpolation = "smooth") -> Transform:
    """The object's motion along a path drawn by hand, from the first frame to each, float64 [T, 2, 3] in pixels.

    A path that does not begin in the first frame begins there where the object is.

    Args:
        places: in rising order of frames.
        start: the object in the first frame, bool [H, W].
        count: T.
        interpolation: between places.

    Raises:
        InputError: an empty mask, no places, not in rising order, or beyond the last frame.
    """
    begin = centre(start)
    if begin is None:
        raise InputError("object_mask", "the mask is empty")
    numbers = pose_numbers(places, begin, count, interpolation)
    return np.stack([similarity(begin, n[:2], float(n[2]), float(n[3])) for n in numbers])


def pose_numbers(places: Sequence[Place], begin: Point, count: int, interpolation: Interpolation) -> Array:
    """Shift (x, y) in pixels, log scale and angle in radians since the first frame, float64 [T, 4].

    Args:
        places, count, interpolation: as of :func:`track`.
        begin: the object's centroid in the first frame.

    Raises:
        InputError: as :func:`track`.
    """
    checked_frames([place.frame for place in places], count)
    known = list(places)
    if known[0].frame > 0:
        known.insert(0, Place(0, *begin))
    values = [[p.x - begin[0], p.y - begin[1], np.log(p.scale), np.radians(p.rotate)] for p in known]
    return interpolated([place.frame for place in known], np.array(values), count, interpolation)


def along_path(
    trajectory: Trajectory,
    places: Sequence[Place],
    interpolation: Interpolation = "smooth",
    actors: Literal["stay", "follow"] = "follow",
    front: Front = "object",
    uncovered: Uncovered = "complete",
) -> Trajectory:
    """The object as the first frame shows it, laid along a path.

    Args:
        trajectory: not modified; its first frame shows the object.
        places: where the object is; between them it is interpolated, see :func:`track`.
        interpolation: between places.
        actors: "follow": they are shifted as the object is, so that what touches it still does.
        front, uncovered: see :mod:`mask2iv.trajectories.editing.parts`.

    Raises:
        InputError: the first frame lacks the object, or as :func:`track`.
    """
    first = trajectory.object[0]
    if not first.any():
        raise InputError("trajectory", "its first frame lacks the object")
    motions = track(places, first, trajectory.num_frames, interpolation)
    moved = {Label.OBJECT: np.stack([warp_mask(first, motion) for motion in motions])}
    if actors == "follow":
        before = centroids(trajectory, Label.OBJECT)[:, ::-1]
        point = np.array(centre(first))
        now = motions[:, :, :2] @ point + motions[:, :, 2]
        shifts = np.nan_to_num(now - before)  # a frame without the object: the actors stay
        for label, masks in layers(trajectory.labels, "actors").items():
            shifted = [_shifted(mask, shift) for mask, shift in zip(masks, shifts, strict=True)]
            moved[label] = np.stack(shifted)
    return edited(trajectory, relaid(trajectory.labels, moved, front, uncovered))


def checked_frames(frames: Sequence[int], count: int, field: str = "keyframes") -> None:
    """Raises InputError unless there are frames, in rising order and within `count`."""
    if not frames:
        raise InputError(field, "there are none", "give one or more")
    if any(one >= other for one, other in pairwise(frames)):
        raise InputError(field, f"their frames must rise, found {list(frames)}")
    if frames[-1] >= count:
        raise InputError(field, f"the last frame is {count - 1}, found {frames[-1]}")


def _check_frame_and_scale(frame: int, scale: float) -> None:
    if frame < 0:
        raise InputError("frame", f"must be 0 or more, found {frame}")
    if not 1 / MOST_SCALE <= scale <= MOST_SCALE:
        raise InputError("scale", f"must be between {1 / MOST_SCALE:g} and {MOST_SCALE:g}, found {scale:g}")


def _numbers(key: Keyframe) -> Array:
    """Shift (x, y), log scale, angle in radians."""
    return np.array([*key.move, np.log(key.scale), np.radians(key.rotate)])


def _moved(
    trajectory: Trajectory, part: Part, numbers: Array, pivot: Point | None, front: Front, uncovered: Uncovered
) -> Trajectory:
    """A part changed by numbers [T, 4], see :func:`_numbers`; frames with zeros stay as they are."""
    labels = trajectory.labels.copy()
    changed = np.flatnonzero(np.any(numbers != 0, axis=1))
    if not len(changed):
        return edited(trajectory, labels)
    moved = layers(labels, part)
    for index in changed:
        about = pivot or _pivot(labels[index], part)
        if about is None:
            continue
        motion = similarity(about, numbers[index, :2], float(numbers[index, 2]), float(numbers[index, 3]))
        for label, masks in moved.items():
            if masks[index].any():
                masks[index] = warp_mask(masks[index], motion, extended=label != Label.OBJECT)
    # Frames that do not change keep what lies over what.
    laid = relaid(labels, moved, front, uncovered)
    labels[changed] = laid[changed]
    return edited(trajectory, labels)


def _pivot(labels: NDArray[np.uint8], part: Part) -> Point | None:
    """The centroid that a part turns about in one frame, uint8 [H, W]: the object's if it belongs to the part."""
    found = centre(labels == Label.OBJECT) if Label.OBJECT in labels_of(part) else None
    return found or centre(np.isin(labels, [int(label) for label in labels_of(part)]))


def _shifted(mask: BoolArray, shift: Array) -> BoolArray:
    if not mask.any() or not shift.any():
        return mask
    return warp_mask(mask, np.column_stack([np.eye(2), shift]), extended=True)


def _slopes(known: Array, values: Array) -> Array:
    """Slopes of the monotone cubic through keyframes, float64 [N, K] (Fritsch and Carlson, 1980, by harmonic means).

    At rest where the values turn, so that nothing overshoots, and at both ends.
    """
    steps = np.diff(known)[:, None]
    slopes = np.zeros_like(values)
    rises = np.diff(values, axis=0) / steps
    left, right = rises[:-1], rises[1:]
    one, other = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    same = left * right > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes[1:-1] = np.where(same, (one + other) / (one / left + other / right), 0.0)
    return slopes


def _hermite(share: Array, width: Array, after: NDArray[np.int64], values: Array, slopes: Array) -> Array:
    """The cubic between two keyframes each, at `share` of the way."""
    start, end = values[after - 1], values[after]
    leave, arrive = width * slopes[after - 1], width * slopes[after]
    square, cube = share**2, share**3
    return np.asarray(
        (2 * cube - 3 * square + 1) * start
        + (cube - 2 * square + share) * leave
        + (3 * square - 2 * cube) * end
        + (cube - square) * arrive
    )
