"""When and where an actor handles the object, from masks and the object's motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mask2iv.contract import Label, Trajectory, UInt8Array, is_actor
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.support import STANDS

STILL = 0.008
"""An object that has moved less than this, metres, rests."""
KEPT = ("picking up", "lifting", "pouring")
"""Verbs after which the object is still held."""
_NEAR = 5.0
"""Actor and object may touch where their masks are closer than this, pixels at 256 columns."""


@dataclass(frozen=True, eq=False)
class Contact:
    """The time and place of handling.

    Attributes:
        touch: the frame from which the object is handled; 0 where it is from the start.
        release: the last frame in which it is.
        held: whether it is held in the first frame.
        kept: whether it is still held in the last frame.
        point: [3], where the actor touches the object, on its surface in the first frame, world metres.
        confidence: in [0, 1], share of the frames in between in which the actor's mask is near the object's.
    """

    touch: int
    release: int
    held: bool
    kept: bool
    point: Array
    confidence: float


def find_contact(
    trajectory: Trajectory, camera: PinholeCamera, motion: ObjectMotion, verb: str = "", table: float = 0.0
) -> Contact | None:
    """The contact of a trajectory; None where the object does not move.

    An object near the actor that starts above the table is held; one that ends there is kept, or, where the verb is
    known, one that is picked up or poured from.

    Without an actor in the masks the object is taken by its middle while it moves, with confidence 0.
    """
    travel, count = motion.travel, trajectory.num_frames
    if travel.max() < STILL:
        return None
    gaps = np.array([_gap(labels) for labels in trajectory.labels])
    near = gaps <= _NEAR * trajectory.size[1] / 256
    moving = np.flatnonzero(travel > STILL)
    touch = max(int(moving[0]) - 1, 0)
    # The object rests again from the first frame on that is where the last one is.
    last = motion.path(motion.centre)[-1]
    away = np.linalg.norm(motion.path(motion.centre) - last, axis=1) + np.abs(travel - travel[-1])
    release = min(int(np.flatnonzero(away > STILL)[-1]) + 1, count - 1) if (away > STILL).any() else count - 1
    above = [_foot(motion, k) - table for k in (0, -1)]
    held = verb == "putting down" or (not verb and bool(near[0]) and above[0] > STANDS)
    kept = verb in KEPT or (not verb and bool(near[-1]) and above[1] > STANDS)
    touch = 0 if held else touch
    release = count - 1 if kept else min(max(release, touch + 1), count - 1)
    share = float(near[touch : release + 1].mean())
    point = _point(trajectory, camera, motion, range(touch, min(touch + 3, count)))
    return Contact(touch, release, held, kept, point, share)


def _foot(motion: ObjectMotion, frame: int) -> float:
    """Height of the lowest seen point in a frame."""
    turn, shift = motion.transforms[frame, :3, :3], motion.transforms[frame, :3, 3]
    return float(np.quantile((motion.points @ turn.T + shift)[:, 2], 0.02))


def _gap(labels: UInt8Array) -> float:
    """Distance between actor and object in pixels; infinite where one is absent."""
    actor, thing = is_actor(labels), labels == Label.OBJECT
    if not actor.any() or not thing.any():
        return float("inf")
    return float(cv2.distanceTransform((~thing).astype(np.uint8), cv2.DIST_L2, 3)[actor].min())


def _point(trajectory: Trajectory, camera: PinholeCamera, motion: ObjectMotion, frames: range) -> Array:
    """The surface point nearest to the actor's tip, averaged over frames."""
    found = []
    for k in frames:
        labels = trajectory.labels[k]
        actor, thing = is_actor(labels), labels == Label.OBJECT
        if not actor.any() or not thing.any():
            continue
        rows, columns = np.nonzero(actor)
        away = cv2.distanceTransform((~thing).astype(np.uint8), cv2.DIST_L2, 3)[rows, columns]
        tip = np.stack([columns, rows], axis=1)[away <= away.min() + 1.5].mean(axis=0)
        moved = motion.points @ motion.transforms[k, :3, :3].T + motion.transforms[k, :3, 3]
        pixels, _ = camera.project(moved)
        nearest = np.argsort(np.linalg.norm(pixels - tip, axis=1))[:8]
        found.append(motion.points[nearest].mean(axis=0))
    return np.mean(found, axis=0) if found else motion.centre
