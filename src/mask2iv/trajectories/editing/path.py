"""A path drawn by hand for the object, as a file: places at frames, or a line that is followed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mask2iv.config import read_config
from mask2iv.contract import Placement
from mask2iv.errors import InputError
from mask2iv.trajectories.editing.motion import Easing, Interpolation, Place, Point, eased, pose_numbers
from mask2iv.trajectories.editing.parts import Frames, frame_range


@dataclass(frozen=True)
class ObjectPath:
    """Where the object shall go: one of `places` and `points`.

    Attributes:
        version: 1.
        places: where its centroid is in some frames, how large it is and how it is turned, in rising order of frames.
        interpolation: between places.
        points: a line (x, y) that its centroid follows from where it is, in pixels.
        frames: when it follows the line; before it rests, afterwards it stays.
        easing: how fast.

    Raises:
        InputError: both or neither.
    """

    version: Literal[1]
    places: tuple[Place, ...] = ()
    interpolation: Interpolation = "smooth"
    points: tuple[Point, ...] = ()
    frames: Frames = (0, None)
    easing: Easing = "ease-in-out"

    def __post_init__(self) -> None:
        if bool(self.places) == bool(self.points):
            raise InputError("places", "must be given, or points in place of them", "give one of them")

    def placed(self, placement: Placement) -> ObjectPath:
        """The path of a picture in a result that shows a part of it. A stretched picture scales the object by the mean
        of both sides' factors, which is what is left of a stretch in a similarity."""
        (top, left, height, width), (down, right) = placement.box, placement.offset
        across, along = placement.scaled[1] / width, placement.scaled[0] / height

        def at(x: float, y: float) -> Point:
            # Pixels are counted from their centres.
            return (x + 0.5 - left) * across + right - 0.5, (y + 0.5 - top) * along + down - 0.5

        places = []
        for place in self.places:
            x, y = at(place.x, place.y)
            places.append(replace(place, x=x, y=y))
        return replace(self, places=tuple(places), points=tuple(at(*point) for point in self.points))

    def numbers(self, begin: Point, count: int) -> NDArray[np.float64]:
        """Shift (x, y) in pixels, log scale and angle in radians since the first frame, float64 [T, 4].

        Args:
            begin: the object's centroid in the first frame.
            count: T.

        Raises:
            InputError: frames that are not there, or not in rising order.
        """
        if self.places:
            return pose_numbers(self.places, begin, count, self.interpolation)
        chosen = frame_range(self.frames, count)
        line = np.array([begin, *self.points])
        lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        share = np.zeros(count)
        share[chosen.start : chosen.stop] = eased(np.linspace(0, 1, len(chosen)), self.easing)
        share[chosen.stop :] = 1.0
        gone = share * lengths[-1]
        numbers = np.zeros((count, 4))
        for axis in (0, 1):
            numbers[:, axis] = np.interp(gone, lengths, line[:, axis]) - begin[axis]
        return numbers


def read_path(path: str | os.PathLike[str]) -> ObjectPath:
    """A path from a JSON file.

    Raises:
        InputError: no such file, another version, an unknown key, or a value out of range; names the file and the key.
    """
    return read_config(path, ObjectPath)
