"""Pure measures of one trajectory or video against the true one, and their means with intervals.

Distances are shares of the image diagonal. The first frame is an input of both stages, so overlap and picture
measures leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from mask2iv.contract import BoolArray, Clip, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import centroid, centroids, iou
from mask2iv.trajectories.morphology import contact_map_tensor, dilate

MOVING_SHARE = 0.01
"""An object moves in a frame when its centroid is farther than this from its place in the previous frame."""
TOUCH_KERNEL = 7
"""Side of the dilation of the contact map, in pixels (paper, section 3.4)."""
WAY_SHARE = 0.02
"""Shortest displacement that counts as a movement in a direction."""
ELONGATED = 2.0
"""Smallest ratio of its principal axes at which an object's rotation shows in its mask."""
LEAST_TURN = 0.2
"""Smallest rotation that counts, in radians."""
CHANGED_ABOVE = 10
"""A pixel changes when a channel (0 to 255) differs by more than this from the first frame."""
CHANGED_KERNEL = 7
"""Side of the dilation of the changed pixels."""
PSNR_LIMIT = 100.0
"""PSNR of identical pictures, in dB, and the upper limit for any pair."""
RESAMPLES = 2000
BOOTSTRAP_SEED = 0

Array = NDArray[np.float64]


# --- trajectories


def final_distance(trajectory: Trajectory, target: BoolArray, start: BoolArray) -> tuple[float, bool]:
    """How far from the target the object ends, and whether it has vanished by then.

    If the last frame lacks the object, the last place where it was seen counts; if it was never seen, the start.

    Args:
        trajectory: T frames.
        target: bool [H, W], where the object should end; not empty.
        start: bool [H, W], the object in the image; not empty.

    Returns:
        Distance between the centroids as a share of the diagonal, and whether the last frame lacks the object.

    Raises:
        InputError: an empty target or start.
    """
    goal, origin = centroid(target), centroid(start)
    if goal is None or origin is None:
        raise InputError("target" if goal is None else "start", "the mask is empty")
    found = centroids(trajectory, Label.OBJECT)
    seen = found[~np.isnan(found[:, 0])]
    last = seen[-1] if len(seen) else origin
    distance = math.dist(last, goal) / _diagonal(trajectory.size)
    return distance, bool(np.isnan(found[-1, 0]))


def object_iou(predicted: Trajectory, true: Trajectory) -> float:
    """Mean IoU of the object over the frames after the first, in [0, 1]; a frame where both lack it counts 1."""
    return _mean_iou(predicted.object, true.object)


def actor_iou(predicted: Trajectory, true: Trajectory) -> float:
    """Mean IoU of all actors over the frames after the first, in [0, 1]; a frame where both lack one counts 1."""
    return _mean_iou(predicted.actor, true.actor)


def _mean_iou(a: BoolArray, b: BoolArray) -> float:
    if a.shape != b.shape or len(a) < 2:
        raise InputError(
            "predicted",
            f"must have the true trajectory's shape and 2 frames or more, found {list(a.shape)} and {list(b.shape)}",
        )
    return float(np.mean([iou(x, y) for x, y in zip(a[1:], b[1:], strict=True)]))


def moving_and_touching(trajectory: Trajectory) -> tuple[int, int]:
    """In how many frames the object moves, and in how many of those it touches an actor.

    A frame counts as moving when the object is seen in it and in the previous one, more than :data:`MOVING_SHARE` of
    the diagonal apart; as touching when the contact map of :data:`TOUCH_KERNEL` pixels is not empty.
    """
    steps = np.linalg.norm(np.diff(centroids(trajectory, Label.OBJECT), axis=0), axis=1)
    moving = steps > MOVING_SHARE * _diagonal(trajectory.size)  # false where a centroid is NaN
    contact = contact_map_tensor(torch.from_numpy(trajectory.labels[1:]), TOUCH_KERNEL).flatten(1).any(dim=1).numpy()
    return int(moving.sum()), int((moving & contact).sum())


def _diagonal(size: tuple[int, int]) -> float:
    return math.hypot(*size)


# --- the movement that a caption describes


_OF_DIRECTION = {
    "left": "left",
    "right": "right",
    "forward": "up",
    "backward": "down",
    "clockwise": "clockwise",
    "counterclockwise": "counterclockwise",
}
_OF_VERB = {"picking up": "up", "putting down": "down"}
_OPENS = {"drawer": "down", "laptop": "up", "lidded box": "up"}
_OPPOSITE = {"up": "down", "down": "up"}
CHANCE = {"left": 0.25, "right": 0.25, "up": 0.25, "down": 0.25, "clockwise": 0.5, "counterclockwise": 0.5}
"""How often an object that moves one of four ways, or turns one of two, at random is right. One at rest never is."""


@dataclass(frozen=True)
class Way:
    """How the object moves in the picture according to the caption.

    Attributes:
        group: it is reported under: "left", "right", "forward", "backward", or the verb.
        movement: a key of :data:`CHANCE`.
    """

    group: str
    movement: str


def way_of(clip: Clip) -> Way | None:
    """The movement that a clip's verb and ``metadata["direction"]`` describe, or None where masks do not show it.

    Away from the camera ("forward") is up in the picture. Masks show the rotation of objects that are elongated in the
    first frame (:data:`ELONGATED`), and the opening and closing of known objects only.
    """
    direction = str(clip.metadata.get("direction", ""))
    if direction in ("clockwise", "counterclockwise"):
        axes = _principal_axis(clip.object_mask)
        return Way(clip.verb, direction) if axes is not None and axes[1] >= ELONGATED else None
    if direction in _OF_DIRECTION:
        return Way(direction, _OF_DIRECTION[direction])
    if clip.verb in _OF_VERB:
        return Way(clip.verb, _OF_VERB[clip.verb])
    if clip.verb in ("opening", "closing") and clip.object_name in _OPENS:
        opens = _OPENS[clip.object_name]
        return Way(clip.verb, opens if clip.verb == "opening" else _OPPOSITE[opens])
    return None


def goes(trajectory: Trajectory, movement: str) -> bool:
    """Whether the object makes a movement, from the first to the last frame that shows it.

    Left, right, up, down: its centroid goes that way by :data:`WAY_SHARE` of the diagonal or more, and less far along
    the other axis. Clockwise, counterclockwise: the principal axis of its mask, tracked from frame to frame, turns by
    :data:`LEAST_TURN` or more.

    Args:
        trajectory: T frames.
        movement: a key of :data:`CHANCE`.
    """
    if movement in ("clockwise", "counterclockwise"):
        turn = _turn(trajectory)
        return (turn if movement == "counterclockwise" else -turn) >= LEAST_TURN
    found = centroids(trajectory, Label.OBJECT)
    seen = found[~np.isnan(found[:, 0])]
    if len(seen) < 2:
        return False
    down, right = (seen[-1] - seen[0]) / _diagonal(trajectory.size)
    along, across = (right, down) if movement in ("left", "right") else (down, right)
    forth = along if movement in ("right", "down") else -along
    return bool(forth >= WAY_SHARE and forth > abs(across))


def _principal_axis(mask: BoolArray) -> tuple[float, float] | None:
    """Angle of a mask's longer axis, counterclockwise from the right in [-pi/2, pi/2], and the ratio of both axes.

    None for masks of fewer than three pixels.
    """
    y, x = np.nonzero(mask)
    if len(y) < 3:
        return None
    spread, axes = np.linalg.eigh(np.cov(np.stack([x, -y])))
    angle = math.atan2(axes[1, 1], axes[0, 1])
    ratio = math.sqrt(max(spread[1], 0.0) / spread[0]) if spread[0] > 0 else math.inf
    return (angle + math.pi / 2) % math.pi - math.pi / 2, ratio


def _turn(trajectory: Trajectory) -> float:
    """How far the object's longer axis turns over all frames, in radians, counterclockwise."""
    found = [_principal_axis(mask) for mask in trajectory.object]
    angles = np.array([axes[0] for axes in found if axes is not None])
    # An axis has no direction: of two readings half a turn apart, take the nearer.
    return float(((np.diff(angles) + math.pi / 2) % math.pi - math.pi / 2).sum())


# --- pictures


def changed_pixels(video: UInt8Array) -> BoolArray:
    """Pixels of a video uint8 [T, H, W, 3] that change (:data:`CHANGED_ABOVE`), dilated: bool [T-1, H, W]."""
    difference = np.abs(video[1:].astype(np.int16) - video[:1].astype(np.int16)).max(axis=-1)
    grown: BoolArray = dilate(torch.from_numpy(difference > CHANGED_ABOVE), CHANGED_KERNEL).numpy()
    return grown


def psnr(predicted: UInt8Array, true: UInt8Array, where: BoolArray | None = None) -> float | None:
    """Peak signal-to-noise ratio of a video in dB, from its mean squared error over the frames after the first.

    Args:
        predicted, true: uint8 [T, H, W, 3].
        where: bool [T-1, H, W], the pixels that count; None for all.

    Returns:
        At most :data:`PSNR_LIMIT`; None where no pixel counts.
    """
    _check_pair(predicted, true)
    squares = np.square(predicted[1:].astype(np.float64) - true[1:])
    counted = squares if where is None else squares[where]
    if not counted.size:
        return None
    error = counted.mean()
    return PSNR_LIMIT if error == 0 else min(PSNR_LIMIT, float(10 * np.log10(255.0**2 / error)))


def ssim(predicted: UInt8Array, true: UInt8Array) -> float:
    """Structural similarity of a video, mean over the frames after the first and the colour channels.

    As defined by Wang et al. (2004): Gaussian window of 11 x 11 pixels and standard deviation 1.5, K1 = 0.01,
    K2 = 0.03, population variances; windows that reach beyond the picture are left out.

    Args:
        predicted, true: uint8 [T, H, W, 3], H and W at least 11.

    Returns:
        At most 1, for identical pictures.
    """
    _check_pair(predicted, true)
    if min(true.shape[1:3]) < 11:
        raise InputError("true", f"ssim needs pictures of at least 11x11 pixels, found {true.shape[1]}x{true.shape[2]}")
    a, b = _planes(predicted), _planes(true)
    mean_a, mean_b = _gaussian(a), _gaussian(b)
    variance_a, variance_b = _gaussian(a * a) - mean_a**2, _gaussian(b * b) - mean_b**2
    covariance = _gaussian(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean())


def _planes(video: UInt8Array) -> torch.Tensor:
    """The frames after the first, uint8 [T, H, W, 3] -> float64 [3 (T-1), 1, H, W]."""
    return torch.from_numpy(video[1:]).permute(0, 3, 1, 2).flatten(0, 1).unsqueeze(1).double()


def _gaussian(planes: torch.Tensor) -> torch.Tensor:
    """[N, 1, H, W] -> [N, 1, H-10, W-10], smoothed."""
    weights = torch.exp(-(torch.arange(-5, 6, dtype=planes.dtype) ** 2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(planes, weights.view(1, 1, 11, 1)), weights.view(1, 1, 1, 11))


def _check_pair(predicted: UInt8Array, true: UInt8Array) -> None:
    if predicted.shape != true.shape or true.ndim != 4 or len(true) < 2:
        raise InputError(
            "predicted",
            "must have the T, H and W of the true video and 2 frames or more, found "
            f"{list(predicted.shape)} and {list(true.shape)}",
        )


# --- means with intervals


@dataclass(frozen=True)
class Figure:
    """A statistic over clips with its 95 % bootstrap interval.

    Attributes:
        value, low, high: None where no clip counts.
        clips: how many count.
    """

    value: float | None
    low: float | None
    high: float | None
    clips: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def mean_figure(values: ArrayLike) -> Figure:
    """Mean over clips; NaN and None entries are left out."""
    return _figure(_column(values), lambda sample: sample[..., 0].mean(axis=-1))


def median_figure(values: ArrayLike) -> Figure:
    """Median over clips; NaN and None entries are left out."""
    return _figure(_column(values), lambda sample: np.median(sample[..., 0], axis=-1))


def share_figure(parts: ArrayLike, wholes: ArrayLike) -> Figure:
    """Sum of the parts over the sum of the wholes; clips whose whole is 0 are left out."""
    pairs = np.stack([np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)], axis=-1)
    return _figure(pairs[pairs[:, 1] > 0], lambda sample: sample[..., 0].sum(axis=-1) / sample[..., 1].sum(axis=-1))


def ratio_figure(parts: ArrayLike, wholes: ArrayLike) -> Figure:
    """Sum of the parts over the sum of the wholes; all clips count, since a clip's part may exceed its whole."""
    pairs = np.stack([np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)], axis=-1)
    if not pairs[:, 1].sum():
        return Figure(None, None, None, 0)

    def statistic(sample: Array) -> Any:
        part, whole = sample[..., 0].sum(axis=-1), sample[..., 1].sum(axis=-1)
        return part / np.where(whole > 0, whole, np.nan)  # a resample whose wholes are all 0 has no ratio

    return _figure(pairs, statistic)


def share_difference(parts: ArrayLike, wholes: ArrayLike, other_parts: ArrayLike, other_wholes: ArrayLike) -> Figure:
    """How much larger one share of sums is than another over the same clips; all clips count."""
    columns = [np.asarray(column, dtype=np.float64) for column in (parts, wholes, other_parts, other_wholes)]
    rows = np.stack(columns, axis=-1)
    if not (rows[:, 1].sum() and rows[:, 3].sum()):
        return Figure(None, None, None, 0)

    def statistic(sample: Array) -> Any:
        part, whole, other_part, other_whole = (sample[..., i].sum(axis=-1) for i in range(4))
        with np.errstate(invalid="ignore"):
            return part / whole - other_part / other_whole  # NaN where no object of a resample moves

    return _figure(rows, statistic)


def _column(values: ArrayLike) -> Array:
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return column[~np.isnan(column[:, 0])]


def _figure(rows: Array, statistic: Callable[[Array], Any]) -> Figure:
    """Percentile bootstrap over the rows [N, K], with a fixed seed: same rows, same interval."""
    # scipy.stats.bootstrap draws the same resamples, but is slower, refuses a single clip and stumbles over NaN.
    if not len(rows):
        return Figure(None, None, None, 0)
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(len(rows), size=(RESAMPLES, len(rows)))
    low, high = np.nanquantile(statistic(rows[picks]), [0.025, 0.975])
    return Figure(float(statistic(rows)), float(low), float(high), len(rows))
