"""Shapes changed: painted, simplified, removed, or taken from another trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.alignment import warp_mask
from mask2iv.trajectories.editing.motion import Point
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
from mask2iv.trajectories.measures import without_islands
from mask2iv.trajectories.runlength import rle_decode

Brush = Literal["background", "actor", "object", "second_actor"]
_PAINTS: Mapping[Brush, Label] = {
    "background": Label.BACKGROUND,
    "actor": Label.ACTOR,
    "object": Label.OBJECT,
    "second_actor": Label.SECOND_ACTOR,
}
_MOST = 32767
"""Places that OpenCV draws at lie within this, in pixels."""


@dataclass(frozen=True)
class Stroke:
    """A brush stroke: a line through points (x, y) with round ends.

    Attributes:
        points: one or more, in pixels.
        width: in pixels.

    Raises:
        InputError: no points, one too far away, or a width out of 1 to 1000.
    """

    points: tuple[Point, ...]
    width: int = 9

    def __post_init__(self) -> None:
        _check_points(self.points, 1)
        if not 1 <= self.width <= 1000:
            raise InputError("width", f"must be between 1 and 1000 pixels, found {self.width}")


@dataclass(frozen=True)
class Polygon:
    """A filled polygon with corners (x, y), in pixels.

    Raises:
        InputError: fewer than three corners, or one too far away.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        _check_points(self.points, 3)


@dataclass(frozen=True)
class RunLengths:
    """A mask in COCO's uncompressed form, see :func:`mask2iv.trajectories.runlength.rle_encode`."""

    size: tuple[int, int]
    counts: tuple[int, ...]


def paint(
    trajectory: Trajectory,
    label: Brush,
    frames: Frames = (0, None),
    strokes: Sequence[Stroke] = (),
    polygons: Sequence[Polygon] = (),
    masks: Sequence[RunLengths] = (),
) -> Trajectory:
    """Strokes, polygons and masks painted over whatever is there, in each of the frames.

    Raises:
        InputError: frames that are not there, nothing to paint, or a mask of another size.
    """
    shapes: list[Stroke | Polygon | RunLengths] = [*strokes, *polygons, *masks]
    if not shapes:
        raise InputError("strokes", "there is nothing to paint", "give strokes, polygons or masks")
    chosen = frame_range(frames, trajectory.num_frames)
    where = np.logical_or.reduce([_filled(shape, trajectory.size) for shape in shapes])
    labels = trajectory.labels.copy()
    labels[chosen.start : chosen.stop, where] = _PAINTS[label]
    return edited(trajectory, labels)


def remove(
    trajectory: Trajectory, part: Part, frames: Frames = (0, None), uncovered: Uncovered = "complete"
) -> Trajectory:
    """A part taken away. Raises InputError for frames that are not there."""
    chosen = frame_range(frames, trajectory.num_frames)
    gone = {label: np.zeros(trajectory.labels.shape, dtype=np.bool_) for label in labels_of(part)}
    labels = trajectory.labels.copy()
    here = slice(chosen.start, chosen.stop)
    labels[here] = relaid(labels, gone, "object", uncovered)[here]
    return edited(trajectory, labels)


def simplify(
    trajectory: Trajectory,
    part: Part = "all",
    frames: Frames = (0, None),
    islands: float = 0.1,
    holes: float = 0.1,
    outline: float = 0.0,
    path: float = 0.0,
) -> Trajectory:
    """Cleaner shapes and a steadier way.

    Args:
        trajectory: not modified.
        part, frames: what is simplified, and when.
        islands: pieces of a mask below this share of its largest piece are dropped; 0 keeps all.
        holes: background holes in a mask below this share of its area are filled; 0 fills none.
        outline: smoothing of outlines, standard deviation in pixels.
        path: smoothing of the way over time, standard deviation in frames: each mask is shifted to its smoothed
            centroid. The first and the last frame keep their place.

    Raises:
        InputError: frames that are not there, or a number out of range.
    """
    for name, value, most in (
        ("islands", islands, 1),
        ("holes", holes, 1),
        ("outline", outline, 50),
        ("path", path, 50),
    ):
        if not 0 <= value <= most:
            raise InputError(name, f"must be between 0 and {most}, found {value:g}")
    chosen = frame_range(frames, trajectory.num_frames)
    background = trajectory.labels == Label.BACKGROUND
    moved = {}
    for label, masks in layers(trajectory.labels, part).items():
        shaped = masks.copy()
        for index in chosen:
            if masks[index].any():
                shaped[index] = _simple(masks[index], background[index], islands, holes, outline)
        moved[label] = _steadied(shaped, chosen, path, label != Label.OBJECT) if path else shaped
    labels = trajectory.labels.copy()
    here = slice(chosen.start, chosen.stop)
    labels[here] = relaid(trajectory.labels, moved, "object", "background" if not path else "complete")[here]
    return edited(trajectory, labels)


def compose(
    trajectory: Trajectory,
    source: Trajectory,
    part: Part = "actors",
    frames: Frames = (0, None),
    front: Front = "object",
    uncovered: Uncovered = "complete",
) -> Trajectory:
    """A part taken from another trajectory; the rest stays.

    Args:
        trajectory: not modified.
        source: of the same size and number of frames.
        part: what is taken from it, in place of the trajectory's own.
        frames: when.
        front, uncovered: see :mod:`mask2iv.trajectories.editing.parts`.

    Raises:
        InputError: a source of another size or length, or frames that are not there.
    """
    if source.labels.shape != trajectory.labels.shape:
        raise InputError(
            "source",
            f"must have the trajectory's T, H, W, {list(trajectory.labels.shape)}, found {list(source.labels.shape)}",
            "retime it, or predict it at this size",
        )
    chosen = frame_range(frames, trajectory.num_frames)
    labels = trajectory.labels.copy()
    here = slice(chosen.start, chosen.stop)
    labels[here] = relaid(labels, layers(source.labels, part), front, uncovered)[here]
    return edited(trajectory, labels)


def _check_points(points: Sequence[Point], least: int) -> None:
    if len(points) < least:
        raise InputError("points", f"at least {least} needed, found {len(points)}")
    if max(abs(value) for point in points for value in point) > _MOST:
        raise InputError("points", f"must lie within {_MOST} pixels")


def _filled(shape: Stroke | Polygon | RunLengths, size: tuple[int, int]) -> BoolArray:
    if isinstance(shape, RunLengths):
        if tuple(shape.size) != size:
            raise InputError("masks", f"must be of the trajectory's size {list(size)}, found {list(shape.size)}")
        return rle_decode({"size": list(shape.size), "counts": list(shape.counts)})
    canvas = np.zeros(size, dtype=np.uint8)
    points = np.rint(np.array(shape.points)).astype(np.int32)
    if isinstance(shape, Polygon):
        cv2.fillPoly(canvas, [points], 1)
    elif len(points) == 1:
        cv2.circle(canvas, points[0].tolist(), shape.width // 2, 1, cv2.FILLED)
    else:
        cv2.polylines(canvas, [points], False, 1, shape.width)
    filled: BoolArray = canvas.astype(np.bool_)
    return filled


def _simple(mask: BoolArray, background: BoolArray, islands: float, holes: float, outline: float) -> BoolArray:
    if islands:
        mask = without_islands(mask, islands)
    if holes:
        count, pieces, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
        edges = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
        small = stats[:, cv2.CC_STAT_AREA] < holes * mask.sum()
        small[0] = False
        small[np.unique(edges)] = False
        # What another part fills is no hole.
        mask = mask | (small[pieces] & background) if count > 1 else mask
    if outline:
        smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), outline, borderType=cv2.BORDER_REPLICATE) > 0.5
        mask = smooth if smooth.any() else mask
    return mask


def _steadied(masks: BoolArray, chosen: range, sigma: float, extended: bool) -> BoolArray:
    """Masks [T, H, W] shifted to the smoothed way of their centroids over the chosen frames that show them."""
    seen = [(index, found) for index in chosen if (found := centre(masks[index])) is not None]
    if len(seen) < 3:
        return masks
    way = np.array([point for _, point in seen])
    steadied = masks.copy()
    for (index, _), shift in zip(seen, _smoothed(way, sigma) - way, strict=True):
        if shift.any():
            steadied[index] = warp_mask(masks[index], np.column_stack([np.eye(2), shift]), extended)
    return steadied


def _smoothed(way: NDArray[np.float64], sigma: float) -> NDArray[Any]:
    """Gaussian means over time [N, 2] of what differs from the straight line between the ends, which stay."""
    line = np.linspace(way[0], way[-1], len(way))
    times = np.arange(len(way))
    # Mirrored with the sign turned, so that both ends stay at zero.
    odd = np.concatenate([-(way - line)[:0:-1], way - line, -(way - line)[-2::-1]])
    places = np.arange(len(odd)) - (len(way) - 1)
    weights = np.exp(-0.5 * ((times[:, None] - places[None]) / sigma) ** 2)
    return np.asarray(line + (weights / weights.sum(axis=1, keepdims=True)) @ odd)
