"""Trivial answers: what a model must beat."""

from __future__ import annotations

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Clip, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.trajectories.alignment import clean_plate, object_transforms, warp_image
from mask2iv.trajectories.measures import centroid


def object_stays(clip: Clip) -> Trajectory:
    """The object rests where it is; no actor."""
    frame = np.where(clip.object_mask, np.uint8(Label.OBJECT), np.uint8(Label.BACKGROUND))
    return Trajectory(np.repeat(frame[None], clip.trajectory.num_frames, axis=0), clip.fps)


def object_slides(clip: Clip) -> Trajectory:
    """The object's first mask slides evenly to where its last one has its centroid; no actor.

    Shifts are rounded to whole pixels; what leaves the picture is cut off.

    Raises:
        InputError: the object is not in the first or not in the last frame.
    """
    start, goal = centroid(clip.object_mask), centroid(clip.target_mask)
    if start is None or goal is None:
        raise InputError(f"clip {clip.clip_id}: the object must be visible in the first and in the last frame")
    count = clip.trajectory.num_frames
    labels = np.zeros_like(clip.trajectory.labels)
    for index, share in enumerate(np.linspace(0, 1, count)):
        down, right = (round(share * (end - begin)) for begin, end in zip(start, goal, strict=True))
        labels[index][_shifted(clip.object_mask, down, right)] = Label.OBJECT
    return Trajectory(labels, clip.fps)


def repeat_first_frame(clip: Clip) -> UInt8Array:
    """A still: the first frame T times, uint8 [T, H, W, 3]."""
    return np.repeat(clip.video[:1], len(clip.video), axis=0)


def pasted_object(image: UInt8Array, trajectory: Trajectory) -> UInt8Array:
    """The object cut out of the first frame and moved as its masks move; no actor is drawn that was not there.

    Where it was, the picture is filled in from around. The moved object is shown where the frame's object mask is; of
    pixels there which it does not reach, the colour is that of its nearest pixel.

    Args:
        image: uint8 [H, W, 3], the first frame.
        trajectory: T frames, the first of them with the object.

    Returns:
        uint8 [T, H, W, 3]; the first frame is the image.

    Raises:
        InputError: the trajectory's first frame lacks the object.
    """
    masks = trajectory.object
    if not masks[0].any():
        raise InputError("pasted_object needs a trajectory whose first frame shows the object")
    room, thing = clean_plate(image, masks[0]), _spread(image, masks[0])
    video = np.repeat(room[None], len(masks), axis=0)
    for frame, mask, transform in zip(video, masks, object_transforms(trajectory.labels), strict=True):
        frame[mask] = warp_image(thing, transform)[mask]
    video[0] = image
    return video


def _spread(image: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Each pixel's colour is that of the nearest pixel in the mask, which is not empty."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(nearest.max()) + 1, 3), dtype=np.uint8)
    colours[nearest[mask]] = image[mask]
    spread: UInt8Array = colours[nearest]
    return spread


def _shifted(mask: BoolArray, down: int, right: int) -> BoolArray:
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved = np.zeros_like(mask)
    moved[rows[inside], columns[inside]] = True
    return moved
