"""What a segmenter and a tracker are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mask2iv.contract import BoolArray, Trajectory, UInt8Array


class Segmenter(Protocol):
    """Finds one object in a picture."""

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
