"""Masks tracked through a rendered video by colour and motion, from the first frame's masks alone.

Made for simulated clips and their renderings, whose camera is static: what differs from the first frame has moved, and
the first frame shows the colours of object and actor. The requested trajectory is never used, so the result can measure
how well a video follows it. The tracker's own error is reported beside every use, on the ground-truth videos.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array, is_actor
from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Tracker

DIFFERS = 11.0
"""A pixel has moved when it differs from the background by more than this, in Lab with lightness at half weight, which
makes shadows differ less than objects."""
SHADE, EVEN = (0.35, 2.2), 0.12
"""A shadow multiplies all channels by a factor in this range, equal to within this share of it."""
BINS = 16
"""Bins of a colour histogram along each axis of Lab."""
REACH = 0.08
"""How far an object's outline may move between two frames, as a share of the diagonal."""
SPECK = 0.1
"""Components below this share of the largest one, or of the object's first area, are noise."""
_UNKNOWN = 1.0 / BINS**2
"""Likelihood of any colour under an actor that has not been seen yet."""

Float = NDArray[np.float32]


class MotionTracker(Tracker):
    """Tracking by colour and motion: :func:`resegment`."""

    def __call__(self, video: UInt8Array, first: UInt8Array, fps: float = 8.0) -> Trajectory:
        return resegment(video, first, fps)


def resegment(video: UInt8Array, first: UInt8Array, fps: float = 8.0) -> Trajectory:
    """Find the object and the actor in each frame.

    The first frame keeps its labels. In later frames a pixel is foreground if it differs from the background (the first
    frame, inpainted under its masks) or still shows what was under a mask. Foreground pixels go to the object or the
    actor, whichever colours fit better; to the object only near its previous position.

    Args:
        video: uint8 [T, H, W, 3], from a static camera.
        first: uint8 [H, W], labels of the first frame; it shows the object.
        fps: frame rate of the result.

    Returns:
        T frames of background, actor and object.

    Raises:
        InputError: other shapes, or no object in the first frame.
    """
    if video.ndim != 4 or video.shape[1:3] != first.shape:
        raise InputError("first", f"must be labels of the video's size, found {first.shape} for a video {video.shape}")
    shown, actor = first == Label.OBJECT, is_actor(first)
    if not shown.any():
        raise InputError("first", "must show the object, found none")
    lab = [_lab(frame) for frame in video]
    room = _room(video[0], shown | actor)
    background = _lab(room)
    bins = [_bins(frame) for frame in lab]
    of_object, of_room = (_histogram(_counts(bins[0][where])) for where in (shown, ~(shown | actor)))
    seen = _counts(bins[0][actor])
    of_actor = _histogram(seen) if actor.any() else None
    labels = np.zeros(video.shape[:3], dtype=np.uint8)
    labels[0] = np.where(shown, Label.OBJECT, np.where(actor, Label.ACTOR, Label.BACKGROUND))
    reach = max(3, round(REACH * float(np.hypot(*first.shape))))
    previous = shown
    for t in range(1, len(video)):
        like_object = _smooth(of_object[bins[t]])
        like_room = _smooth(of_room[bins[t]])
        like_actor = _smooth(of_actor[bins[t]]) if of_actor is not None else np.full(first.shape, _UNKNOWN, np.float32)
        shaded = _shaded(video[t], room) & (like_object <= 2 * like_room)
        moved = (_distance(lab[t], background) > DIFFERS) & ~shaded
        unchanged = _distance(lab[t], lab[0]) < DIFFERS
        near = _grown(previous, reach)
        is_object = moved & near & (like_object > like_actor) & (like_object > 0.05 * like_room) | (shown & unchanged)
        found = _pieces(_closed(is_object), SPECK * shown.sum())
        others = _pieces(_closed(moved & ~found | (actor & unchanged)), 0.02 * shown.sum()) & ~found
        labels[t][others] = Label.ACTOR
        labels[t][found] = Label.OBJECT
        if not actor.any() and (others & ~near).sum() > 50:
            # The actor entered later: pixels that move far from the object show its colours.
            seen += _counts(bins[t][others & ~near])
            of_actor = _histogram(seen)
        previous = found if found.any() else previous
    return Trajectory(labels, fps)


def _lab(frame: UInt8Array) -> Float:
    """A frame in 8-bit Lab, [H, W, 3]."""
    lab: Float = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2Lab).astype(np.float32)
    return lab


def _room(first: UInt8Array, foreground: BoolArray) -> UInt8Array:
    """The first frame [H, W, 3], inpainted under a slightly dilated foreground mask."""
    hole = _grown(foreground, 2).astype(np.uint8)
    return np.asarray(cv2.inpaint(np.ascontiguousarray(first), hole, 3, cv2.INPAINT_TELEA), dtype=np.uint8)


def _shaded(frame: UInt8Array, room: UInt8Array) -> BoolArray:
    """Where a frame is the room in a new shadow or light: one factor on all three channels, bool [H, W]."""
    now, then = (cv2.GaussianBlur(x, (5, 5), 0).astype(np.float32) + 4.0 for x in (frame, room))
    ratio = now / then
    factor = ratio.mean(axis=-1)
    spread = ratio.max(axis=-1) - ratio.min(axis=-1)
    shaded: BoolArray = (spread < EVEN * factor) & (factor > SHADE[0]) & (factor < SHADE[1])
    return shaded


def _distance(lab: Float, other: Float) -> Float:
    difference = lab - other
    difference[..., 0] *= 0.5
    found: Float = np.linalg.norm(difference, axis=-1)
    return found


def _bins(lab: Float) -> NDArray[np.intp]:
    """Each pixel's histogram bin, [H, W]."""
    index = np.clip(lab * (BINS / 256.0), 0, BINS - 1).astype(np.intp)
    return (index[..., 0] * BINS + index[..., 1]) * BINS + index[..., 2]


def _counts(bins: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of pixels in each bin, [BINS^3]."""
    return np.bincount(bins, minlength=BINS**3)


def _histogram(counted: NDArray[np.intp]) -> Float:
    """Share of pixels per bin, smoothed over neighbouring bins, [BINS^3]."""
    counts = counted.astype(np.float32).reshape(BINS, BINS, BINS)
    kernel = (0.25, 0.5, 0.25)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        counts = np.sum([w * np.take(padded, range(i, i + BINS), axis=axis) for i, w in enumerate(kernel)], axis=0)
    flat: Float = (counts / max(counts.sum(), 1.0)).ravel().astype(np.float32)
    return flat


def _smooth(likelihood: Float) -> Float:
    return np.asarray(cv2.GaussianBlur(likelihood.astype(np.float32), (3, 3), 0), dtype=np.float32)


def _grown(mask: BoolArray, by: int) -> BoolArray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    grown: BoolArray = cv2.dilate(mask.astype(np.uint8), kernel).astype(np.bool_)
    return grown


def _closed(mask: BoolArray) -> BoolArray:
    """The mask with small gaps filled and thin lines removed."""
    kernel = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    opened: BoolArray = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel).astype(np.bool_)
    return opened


def _pieces(mask: BoolArray, least: float) -> BoolArray:
    """The connected components of at least `least` pixels and :data:`SPECK` of the largest."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    sizes[0] = 0
    kept: BoolArray = np.isin(pieces, np.flatnonzero((sizes >= least) & (sizes >= SPECK * sizes.max()) & (sizes > 0)))
    return kept
