"""The smallest implementations of the stages, baselines that a model must beat: an object slides, and is pasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.stages.interfaces import SamplingOptions, VideoRequest
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.alignment import clean_plate, object_transforms, warp_image
from mask2iv.trajectories.measures import centroid


@dataclass(frozen=True)
class SlidingObject:
    """A predictor without weights: the object slides to its target, or rests where none is given; there is no actor."""

    num_frames: int = 16
    fps: float = 8.0
    size_multiple: int = 1

    def predict(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[Trajectory]:
        """See :class:`mask2iv.stages.interfaces.TrajectoryPredictor`. Seeds and options change nothing."""
        return [slide(scene.object_mask, scene.target_mask, self.num_frames, self.fps) for scene in scenes]


@dataclass(frozen=True)
class PastedObject:
    """A renderer without weights: the object cut out of the first frame and moved as its masks move."""

    size_multiple: int = 1
    takes_masks: bool = True
    takes_text: bool = False
    num_frames: int | None = None

    def render(
        self, requests: Sequence[VideoRequest], seeds: Sequence[int], options: SamplingOptions
    ) -> list[UInt8Array]:
        """See :class:`mask2iv.stages.interfaces.VideoRenderer`. Seeds and options change nothing."""
        videos = []
        for request in requests:
            assert request.trajectory is not None, "check_requests lets none pass"
            videos.append(pasted_object(request.image, request.trajectory))
        return videos


def slide(start: BoolArray, goal: BoolArray | None, frames: int, fps: float) -> Trajectory:
    """A mask slides evenly to where another has its centroid; no actor.

    Shifts are rounded to whole pixels; what leaves the picture is cut off.

    Args:
        start: bool [H, W].
        goal: bool [H, W]; None: it rests.
        frames: T.
        fps: frames per second.

    Raises:
        InputError: an empty mask.
    """
    here, there = centroid(start), centroid(start if goal is None else goal)
    if here is None or there is None:
        raise InputError("object_mask" if here is None else "target_mask", "the mask is empty")
    labels = np.zeros((frames, *start.shape), dtype=np.uint8)
    for index, share in enumerate(np.linspace(0, 1, frames)):
        down, right = (round(share * (end - begin)) for begin, end in zip(here, there, strict=True))
        labels[index][_shifted(start, down, right)] = Label.OBJECT
    return Trajectory(labels, fps)


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
        raise InputError("trajectory", "its first frame lacks the object")
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
