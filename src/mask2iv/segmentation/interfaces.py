"""What a segmenter, a tracker, a detector and a segmenter of videos are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.errors import InputError

Box = tuple[float, float, float, float]
"""x, y, w, h in pixels, from the picture's upper left corner."""
Prompt = tuple[float, ...]
"""A box around a thing or a point (x, y) on it, in pixels."""


class Segmenter(Protocol):
    """Finds one object in a picture.

    Attributes:
        name: "grabcut" or "mobile-sam".
    """

    name: str

    def __call__(self, image: UInt8Array, prompt: Sequence[float], field: str = "prompt") -> BoolArray:
        """The mask of the object in a box or under a point.

        Args:
            image: uint8 [H, W, 3].
            prompt: a box (x, y, w, h) around the object or a point (x, y) on it, in pixels.
            field: name of the prompt in messages.

        Returns:
            bool [H, W].

        Raises:
            InputError: the prompt is neither a box nor a point, lies outside the image, or nothing is found there.
        """
        ...


class Tracker(Protocol):
    """Follows the object and the actor through a video."""

    def __call__(self, video: UInt8Array, first: UInt8Array, fps: float = 8.0) -> Trajectory:
        """The masks of all frames from those of the first.

        Args:
            video: uint8 [T, H, W, 3].
            first: uint8 [H, W], labels of the first frame; it shows the object.
            fps: frame rate of the result.

        Returns:
            T frames of background, actor and object.

        Raises:
            InputError: video and labels differ in size, or the first frame lacks the object.
        """
        ...


@dataclass(frozen=True)
class Detection:
    """Something that a detector found.

    Attributes:
        box: around it, within the picture.
        score: how sure the detector is, 0 to 1.
        phrase: what it is, in the words that were asked for; "" where the detector knows no words.
    """

    box: Box
    score: float
    phrase: str


class Detector(Protocol):
    """Finds things in the first frames of videos.

    Attributes:
        quality: "grounding-dino" or "motion": goes into each clip's provenance.
    """

    quality: str

    def __call__(self, videos: Sequence[UInt8Array], phrases: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """Boxes in the first frame of each video.

        Args:
            videos: uint8 [T, H, W, 3] each; sizes may differ.
            phrases: of each video, what to look for: "can", "robot gripper".

        Returns:
            For each video what was found, the best first; possibly nothing.

        Raises:
            InputError: as many videos as lists of phrases are needed.
        """
        ...


class VideoSegmenter(Protocol):
    """Follows things in the first frame through a video.

    Attributes:
        quality: "sam2", "mobile-sam+flow" or "grabcut+flow": goes into each clip's provenance.
    """

    quality: str

    def __call__(self, video: UInt8Array, prompts: Sequence[Prompt]) -> BoolArray:
        """One track per prompt.

        Args:
            video: uint8 [T, H, W, 3].
            prompts: boxes, of which what lies outside the first frame is cut off, or points within it.

        Returns:
            bool [N, T, H, W]; tracks may overlap; all false where nothing was found.

        Raises:
            InputError: a box that does not meet the picture, or a point outside it.
        """
        ...


def clipped(box: Prompt, height: int, width: int) -> Box:
    """The part of a box that is within a picture of that size.

    Raises:
        InputError: less than one pixel of it, or not four finite numbers.
    """
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise InputError("boxes", f"expected x, y, w, h, found {list(box)}")
    x, y, w, h = box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if right - left < 1 or bottom - top < 1:
        raise InputError("boxes", f"x={x:g} y={y:g} w={w:g} h={h:g} does not meet the picture of {width}x{height}")
    return left, top, right - left, bottom - top


def within_picture(prompt: Prompt, height: int, width: int) -> Prompt:
    """A prompt for a picture of that size: of a box the part that is in it.

    Raises:
        InputError: a box that does not meet it, a point outside it, or neither box nor point.
    """
    if len(prompt) != 2:
        return clipped(prompt, height, width)
    x, y = prompt
    if not (0 <= x < width and 0 <= y < height):
        raise InputError("points", f"x={x:g} y={y:g} lies outside the picture of {width}x{height}")
    return prompt
