"""The rigid motion of an object in space, from its masks.

The surface that the first frame shows is lifted to 3-D by its depth, moved, and splatted into each frame; of all
motions that a freedom allows, the one whose splat overlays the frame's mask best is taken. So that sides turn up which
the first frame hides, the surface is extruded downwards, as far as the first mask has room for it. Pixels of other
labels are unknown, since they may occlude a part. Masks hardly show what moves along the line of sight, or how a round
object turns: of equally good motions, the one nearest to the previous frame's is taken, and the whole is smoothed over
time.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.colours import Colours
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.support import lowest

Freedom = Literal["table", "turn", "carry", "lift", "tilt"]
"""What a motion may be: "table" (along the table, and about the vertical), "turn" (the same, by any angle from frame to
frame), "carry" (anywhere, and about the vertical), "lift" (the same, and rather up than away), "tilt" (anywhere, and
about the horizontal direction of view, as in pouring)."""
_CHOSEN: tuple[Freedom, ...] = ("table", "carry", "tilt")
"""Those from which one is chosen, the least first."""
_TURNS = (-1.2, -0.7, -0.35, 0.35, 0.7, 1.2)
"""Angles from the previous frame's from which a "turn" is searched, radians."""
_AXES: dict[str, tuple[int, ...]] = {
    "table": (0, 1, 3),
    "turn": (0, 1, 3),
    "carry": (0, 1, 2, 3),
    "lift": (0, 1, 2, 3),
    "tilt": (0, 1, 2, 4),
}
"""Parameters that are free: shift to the right, away, and up (m); turn about the vertical and about the view (rad)."""
_PENALTY = np.array([0.02, 0.02, 0.08, 0.03, 0.03])
_LIFTED = np.array([0.02, 0.08, 0.02, 0.03, 0.03])
"""Cost, in IoU, of a change since the previous frame, by a decimetre or a radian; the second of a "lift"."""
_COLOUR = 1.0
"""Weight of the colours' likeness beside the masks' IoU."""
_GAIN = 0.02
"""A richer freedom is chosen where it overlays the masks this much better (IoU)."""
_POINTS, _SIDES = 2000, 600
"""Largest numbers of points of a surface, and of what is below it. Where pixels of the surface are left out, what is
splatted has holes when it falls on the grid of pixels, as an object that rests does."""
_CELL = 0.006
"""Spacing of the points below a surface, metres."""


def surface(camera: PinholeCamera, mask: BoolArray, depth: Array) -> Array:
    """The world points [N, 3] of a mask's pixels that have a depth, without stray ones of its edge.

    Raises:
        InputError: another size than the camera's, or fewer than 8 such pixels.
    """
    if depth.shape != camera.size or mask.shape != camera.size:
        raise InputError("depth", f"must have the camera's size {camera.size}, found {depth.shape} and {mask.shape}")
    known = mask & np.isfinite(depth) & (depth > 0)
    if known.sum() < 8:
        raise InputError("depth", f"only {int(known.sum())} pixels of the object have a depth")
    rows, columns = np.nonzero(known)
    points = camera.lift(np.stack([columns, rows], axis=1).astype(np.float64), depth[known])
    off = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return points[off <= 4 * np.median(off) + 0.02]


def object_motion(
    trajectory: Trajectory,
    camera: PinholeCamera,
    depth: Array,
    freedom: Freedom | None = None,
    table: float | None = 0.0,
    video: UInt8Array | None = None,
) -> ObjectMotion:
    """The motion of a trajectory's object.

    Args:
        trajectory: T frames, true or predicted.
        camera: of the same size.
        depth: float64 [H, W] of the first frame, metres along the camera's z.
        freedom: what the motion may be; None: the least that explains the masks.
        table: height below which the object does not go, metres; None: there is none.
        video: uint8 [T, H, W, 3], the frames that the masks belong to: the object's pixels are aligned, too.

    Raises:
        InputError: sizes differ, an unknown freedom, or the first frame lacks the object.
    """
    if freedom is not None and freedom not in get_args(Freedom):
        raise InputError("freedom", f"must be one of {', '.join(get_args(Freedom))}, found {freedom!r}")
    if trajectory.size != camera.size:
        raise InputError("trajectory", f"must have the camera's size {camera.size}, found {trajectory.size}")
    points = surface(camera, trajectory.labels[0] == Label.OBJECT, depth)
    drop = -np.inf if table is None else min(table - lowest(points, table), 0.0)
    sides = _sides(camera, points, trajectory.labels[0] == Label.OBJECT)
    tried = [freedom] if freedom else _CHOSEN
    colours = None if video is None else Colours(camera, depth, points[:: _stride(points)], video)
    fits = [_fit(trajectory, camera, points, sides, one, drop, colours) for one in tried]
    best = fits[0]
    for fit in fits[1:]:
        if fit.overlap.mean() > best.overlap.mean() + _GAIN:
            best = fit
    return best


def _stride(points: Array) -> int:
    return -(-len(points) // _POINTS)


def _fit(
    trajectory: Trajectory,
    camera: PinholeCamera,
    points: Array,
    sides: Array,
    freedom: str,
    drop: float,
    colours: Colours | None,
) -> ObjectMotion:
    """The motion within a freedom; `drop` is the lowest shift upwards."""
    overlay = _Overlay(camera, points, sides, colours)
    axes, penalty = _AXES[freedom], _LIFTED if freedom == "lift" else _PENALTY
    turns = _TURNS if freedom == "turn" else ()
    found = [np.zeros(5)]
    for k, labels in enumerate(trajectory.labels[1:], 1):
        if not (labels == Label.OBJECT).any():
            found.append(found[-1])
            continue
        found.append(_search(overlay, _Target(overlay, labels, k), found[-1], axes, drop, turns, penalty))
    seen = [overlay.visible(p, f == Label.OBJECT) for p, f in zip(found, trajectory.labels, strict=True)]
    parameters = np.stack(found)
    if 2 in axes:
        parameters = _smooth(parameters, seen, overlay.sight)
        parameters[:, 2] = np.maximum(parameters[:, 2], drop)
    else:
        parameters = _quadratics(parameters, np.clip(seen, 0.05, 1.0), 2)
    overlap, visible = [], []
    for one, labels in zip(parameters, trajectory.labels, strict=True):
        mask = labels == Label.OBJECT
        overlap.append(_Target(overlay, labels, 0).iou(one) if mask.any() else 0.0)
        visible.append(overlay.visible(one, mask))
    transforms = np.stack([overlay.transform(one) for one in parameters])
    return ObjectMotion(points, transforms, np.array(overlap), np.array(visible), freedom)


def _sides(camera: PinholeCamera, points: Array, mask: BoolArray) -> Array:
    """Points [N, 3] below a surface, down to its foot, that the mask of the first frame has room for."""
    foot, top = np.quantile(points[:, 2], [0.02, 0.98])
    levels = np.arange(foot, top, _CELL)
    if not len(levels):
        return np.zeros((0, 3))
    flat = np.unique(np.round(points[:, :2] / _CELL).astype(int), axis=0, return_index=True)[1]
    below = np.repeat(points[flat][:, None], len(levels), axis=1)
    below[..., 2] = levels
    kept = below[below[..., 2] < points[flat][:, None, 2]]
    pixels = np.round(camera.project(kept)[0]).astype(int)
    inside = (pixels >= 0).all(axis=1) & (pixels < [mask.shape[1], mask.shape[0]]).all(axis=1)
    kept, pixels = kept[inside], pixels[inside]
    kept = kept[mask[pixels[:, 1], pixels[:, 0]]]
    return kept[:: -(-len(kept) // _SIDES) or 1]


class _Overlay:
    """Splats a moved surface into the picture."""

    def __init__(self, camera: PinholeCamera, points: Array, sides: Array, colours: Colours | None) -> None:
        self.camera, self.colours = camera, colours
        stride = _stride(points)
        self.points = np.concatenate([points[::stride], sides])
        self.seen = len(self.points) - len(sides)
        self.middle = points.mean(axis=0)
        forward = camera.pose[:3, 2] * [1, 1, 0]
        norm = float(np.linalg.norm(forward))
        # A camera that looks straight down has its "away" where its picture's top is.
        self.away = forward / norm if norm > 1e-3 else -camera.pose[:3, 1] * [1, 1, 0]
        self.right = np.cross(self.away, [0.0, 0.0, 1.0])
        sight = self.middle - camera.position
        self.sight = np.array([sight @ self.right, sight @ self.away, sight[2]]) / np.linalg.norm(sight)
        self.depth = camera.project(self.points)[1]
        # An object that rests falls on the grid of pixels; scattered, it overlays its mask no better than a moved one.
        self.scatter = np.random.default_rng(0).uniform(-0.5, 0.5, (len(self.points), 2))
        # Pixels that a point stands for in the first frame.
        self.weight = np.full(len(self.points), float(stride))
        self.weight[self.seen :] = 0.0
        if len(sides):
            scale = _CELL * camera.matrix[0, 0] / self.depth[-len(sides) :]
            self.weight[-len(sides) :] = scale**2

    def transform(self, parameters: Array) -> Array:
        """The motion [4, 4] that turns about the surface's middle, then shifts."""
        cos, sin = np.cos(parameters[3]), np.sin(parameters[3])
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]]) @ _about(self.away, parameters[4])
        result = np.eye(4)
        result[:3, :3] = turn
        shift = self.right * parameters[0] + self.away * parameters[1] + np.array([0, 0, parameters[2]])
        result[:3, 3] = self.middle + shift - turn @ self.middle
        return result

    def project(self, parameters: Array) -> tuple[Array, Array]:
        """Pixels (x, y) [N, 2] of the moved points, and how many pixels each stands for, [N]."""
        moved = self.transform(parameters)
        pixels, depth = self.camera.project(self.points @ moved[:3, :3].T + moved[:3, 3])
        return pixels + self.scatter, self.weight * (self.depth / np.maximum(depth, 1e-3)) ** 2

    def cover(self, parameters: Array, corner: tuple[int, int], size: tuple[int, int]) -> tuple[Array, float]:
        """How much of each pixel of a window the moved surface covers, [h, w] in [0, 1], and its pixels outside."""
        pixels, grown = self.project(parameters)
        height, width = size
        # One pixel of rim takes what falls outside.
        low = np.floor(pixels).astype(np.intp)
        part = pixels - low
        low -= np.array(corner) - 1
        x = np.minimum(np.maximum(np.concatenate([low[:, 0], low[:, 0] + 1]), 0), width + 1)
        y = np.minimum(np.maximum(np.concatenate([low[:, 1], low[:, 1] + 1]), 0), height + 1)
        count = len(pixels)
        left, right, above, below = x[:count], x[count:], y[:count] * (width + 2), y[count:] * (width + 2)
        u, v = part[:, 0], part[:, 1]
        places = np.concatenate([above + left, above + right, below + left, below + right])
        shares = np.concatenate([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]) * np.tile(grown, 4)
        flat = np.bincount(places, shares, (height + 2) * (width + 2)).reshape(height + 2, width + 2)
        inner = flat[1:-1, 1:-1]
        return np.minimum(inner, 1.0), float(flat.sum() - inner.sum())

    def likeness(self, frame: int, parameters: Array) -> float:
        """How alike the moved surface's colours are to a frame's, in [0, 1]; 0 without a video."""
        if self.colours is None:
            return 0.0
        moved = self.transform(parameters)
        points = self.points[: self.seen] @ moved[:3, :3].T + moved[:3, 3]
        return self.colours.likeness(frame, points, moved[:3, :3])

    def visible(self, parameters: Array, mask: BoolArray) -> float:
        """A mask's area over that of the moved surface."""
        cover, _ = self.cover(parameters, (0, 0), mask.shape)  # type: ignore[arg-type]
        return float(mask.sum() / max(cover.sum(), 1.0))


class _Target:
    """One frame's mask, in a window around it."""

    def __init__(self, overlay: _Overlay, labels: UInt8Array, frame: int) -> None:
        mask = labels == Label.OBJECT
        rows, columns = np.nonzero(mask)
        margin = 12 + int(0.3 * max(np.ptp(rows), np.ptp(columns)))
        top, left = max(int(rows.min()) - margin, 0), max(int(columns.min()) - margin, 0)
        window = (slice(top, int(rows.max()) + margin + 1), slice(left, int(columns.max()) + margin + 1))
        self.overlay, self.corner, self.frame = overlay, (left, top), frame
        self.mask = mask[window]
        self.known = self.mask | (labels[window] == Label.BACKGROUND)
        self.area = float(self.mask.sum())
        self.centre = np.array([columns.mean(), rows.mean()])

    def iou(self, parameters: Array) -> float:
        """IoU of the moved surface and the mask, over the pixels that no other label hides."""
        cover, outside = self.overlay.cover(parameters, self.corner, self.mask.shape)  # type: ignore[arg-type]
        both = float(cover[self.mask].sum())
        return both / (self.area + float(cover[self.known].sum()) + outside - both)


def _about(axis: Array, angle: float) -> Array:
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Array = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    return turned


def _search(
    overlay: _Overlay,
    target: _Target,
    before: Array,
    axes: tuple[int, ...],
    drop: float,
    turns: tuple[float, ...],
    penalty: Array,
) -> Array:
    """The parameters that overlay a mask best, by pattern search from the previous ones and from the centroids."""
    per = np.array([10.0, 10.0, 10.0, 1.0, 1.0])

    def score(parameters: Array) -> float:
        if parameters[2] < drop - 1e-9:
            return -np.inf
        alike = _COLOUR * overlay.likeness(target.frame, parameters)
        return target.iou(parameters) + alike - float(penalty @ np.abs((parameters - before) * per))

    starts = [before, _centred(overlay, target, before, axes)]
    if 2 in axes:
        starts.append(_centred(overlay, target, before, _AXES["table"]))
    starts += [starts[1] + np.array([0, 0, 0, turn, 0]) for turn in turns]
    scores = [score(one) for one in starts]
    best, value = starts[int(np.argmax(scores))].copy(), max(scores)
    # Along the line of sight the picture hardly changes: a direction of its own, or the search stalls.
    ways = list(np.eye(5)[list(axes)])
    if 2 in axes:
        ways.append(np.array([*overlay.sight, 0, 0]))
    step = 0.04
    while step > 0.0008:
        tried = [best + sign * step * way * np.where(way[3:].any(), 6.0, 1.0) for way in ways for sign in (1, -1)]
        scores = [score(one) for one in tried]
        if max(scores) > value + 1e-5:
            best, value = tried[int(np.argmax(scores))], max(scores)
        else:
            step /= 2
    return best


def _centred(overlay: _Overlay, target: _Target, before: Array, axes: tuple[int, ...]) -> Array:
    """The previous parameters, shifted so that the surface's centroid falls on the mask's."""
    pixels, grown = overlay.project(before)
    gap = target.centre - (pixels * grown[:, None]).sum(axis=0) / grown.sum()
    shift = overlay.transform(before)
    here = shift[:3, :3] @ overlay.middle + shift[:3, 3]
    pixel, _ = overlay.camera.project(here)
    columns_of = [overlay.right, np.array([0, 0, 1.0]) if 2 in axes else overlay.away]
    slope = np.stack([(overlay.camera.project(here + 0.005 * way)[0] - pixel) / 0.005 for way in columns_of], axis=1)
    if abs(np.linalg.det(slope)) < 1e-6:
        return before
    across, along = np.linalg.solve(slope, gap)
    moved = before.copy()
    moved[0] += across
    moved[2 if 2 in axes else 1] += along
    return moved


def _smooth(parameters: Array, weights: list[float], sight: Array) -> Array:
    """Parameters smoothed over time, weighted by how visible a frame is; the first frame's stay 0.

    The shift along the line of sight `sight` (right, away, up) is smoothed over nine frames, all else over five.
    """
    if len(parameters) < 5:
        return parameters
    weight = np.clip(weights, 0.05, 1.0)
    weight[0] = 3.0
    along = parameters[:, :3] @ sight
    across = parameters.copy()
    across[:, :3] -= along[:, None] * sight
    smooth = _quadratics(across, weight, 2)
    smooth[:, :3] += _quadratics(along[:, None], weight, 4) * sight
    smooth[0] = 0
    return smooth


def _quadratics(values: Array, weight: Array, reach: int) -> Array:
    """Values [T, N], each by a quadratic that is fitted to those up to `reach` frames away."""
    count = len(values)
    smooth = values.copy()
    for k in range(1, count):
        near = np.arange(max(0, k - reach), min(count, k + reach + 1))
        distance = near - k
        design = np.stack([np.ones(len(near)), distance, distance**2], axis=1)
        w = np.sqrt(weight[near] * (1 - (np.abs(distance) / (reach + 1.5)) ** 2))[:, None]
        smooth[k] = np.linalg.lstsq(design * w, values[near] * w, rcond=None)[0][0]
    return smooth
