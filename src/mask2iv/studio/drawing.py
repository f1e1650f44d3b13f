"""The picture, the object in it, an actor that is seen there already, and where the object shall end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import IMAGE_SUFFIXES, read_image, resize_image
from mask2iv.media.streams import VIDEO_SUFFIXES
from mask2iv.media.videos import read_video
from mask2iv.samples import sample_folder, sample_prompt
from mask2iv.segmentation.interfaces import Segmenter
from mask2iv.trajectories.alignment import similarity, warp_mask
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import centroid

Marked = Literal["object", "actor"]
"""What a selection marks: the object to be handled, or the hand or robot arm that the picture shows already."""

SUFFIXES = (*sorted(IMAGE_SUFFIXES | {".gif", ".avif", ".ppm"}), *VIDEO_SUFFIXES)
"""Of files that are accepted."""
MOST_BYTES = 64_000_000
"""Of an uploaded file."""
MOST_SIDE = 1536
"""The longer side of a picture that is worked on; a larger one is reduced when it is loaded."""
_MOST_STEPS_BACK = 50
_MOST_SCALE = 8.0


@dataclass(frozen=True)
class Pose:
    """A change of the object's place.

    Attributes:
        right, down: in pixels of the picture.
        scale: factor about the object's centroid, 0.125 to 8.
        rotate: degrees about it, clockwise.

    Raises:
        InputError: a number that is not finite, or a scale out of its range.
    """

    right: float = 0.0
    down: float = 0.0
    scale: float = 1.0
    rotate: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite([self.right, self.down, self.scale, self.rotate]).all():
            raise InputError("target", f"must be finite numbers, found {self}")
        if not 1 / _MOST_SCALE <= self.scale <= _MOST_SCALE:
            raise InputError("target", f"its size must be {1 / _MOST_SCALE:g} to {_MOST_SCALE:g}, found {self.scale:g}")

    @property
    def is_rest(self) -> bool:
        """Whether nothing changes."""
        return self == Pose()


@dataclass
class Drawing:
    """What stage 1 is given besides words. Each change of a selection may be undone.

    Attributes:
        name: of the picture, for people.
        picture: uint8 [H, W, 3].
        pose: where the object shall end, relative to where it is; None for no target.
        given_target: a target mask that came with a sample, bool [H, W]; a pose takes its place.
        prompt: what a sample suggests.
    """

    name: str
    picture: UInt8Array
    pose: Pose | None = None
    given_target: BoolArray | None = None
    prompt: str = ""
    _masks: list[dict[Marked, BoolArray]] = field(default_factory=lambda: [{}])

    @classmethod
    def read(cls, path: Path) -> Drawing:
        """A picture, or the first frame of a video, from a file of a user.

        Raises:
            InputError: too large, of another type, or it cannot be read.
        """
        if path.suffix.lower() not in SUFFIXES:
            raise InputError("picture", f"{path.name} is neither picture nor video", f"choose {', '.join(SUFFIXES)}")
        if path.stat().st_size > MOST_BYTES:
            size = path.stat().st_size / 1e6
            raise InputError("picture", f"{path.name} has {size:.0f} MB", f"at most {MOST_BYTES / 1e6:.0f} are taken")
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                picture = read_video(path, max_frames=1, field="picture").frames[0]
            else:
                picture = read_image(path, "picture")
        except InputError as error:
            # Where the server keeps its files is nobody's business.
            raise InputError("picture", error.problem.replace(str(path), path.name), error.remedy) from error
        return cls.of(path.stem, picture)

    @classmethod
    def of(cls, name: str, picture: UInt8Array) -> Drawing:
        """A picture uint8 [H, W, 3], reduced where it is larger than :data:`MOST_SIDE`.

        Raises:
            InputError: a side below 16 pixels.
        """
        height, width = picture.shape[:2]
        if min(height, width) < 16:
            raise InputError("picture", f"has {width}x{height} pixels", "choose a larger one")
        share = min(1.0, MOST_SIDE / max(height, width))
        size = max(1, round(height * share)), max(1, round(width * share))
        return cls(name, np.ascontiguousarray(resize_image(picture, size)))

    @classmethod
    def sample(cls, name: str) -> Drawing:
        """A shipped sample, with its object selected and its target set.

        Raises:
            InputError: there is none of this name.
        """
        folder = sample_folder(name)
        drawing = cls.of(name, read_image(folder / "image.png", "sample"))
        masks: dict[Marked, BoolArray] = {"object": load_mask(folder / "object_mask.png", drawing.size, "sample")}
        if (folder / "actor_mask.png").is_file():
            masks["actor"] = load_mask(folder / "actor_mask.png", drawing.size, "sample")
        drawing._masks = [masks]
        drawing.given_target = load_mask(folder / "target_mask.png", drawing.size, "sample")
        drawing.prompt = sample_prompt(name)
        return drawing

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.picture.shape[0]), int(self.picture.shape[1])

    def mask(self, marked: Marked = "object") -> BoolArray | None:
        """What is selected, bool [H, W]; None for nothing."""
        return self._masks[-1].get(marked)

    @property
    def target(self) -> BoolArray | None:
        """Where the object shall end, bool [H, W]; None for no target.

        Raises:
            InputError: no object is selected, or the target lies outside the picture.
        """
        if self.pose is None:
            return self.given_target
        mask = self.mask()
        if mask is None:
            raise InputError("target", "no object is selected that could be put there", "select it first")
        target = posed(mask, self.pose)
        if not target.any():
            raise InputError("target", "the object would end outside the picture", "drag it back, or reset the target")
        return target

    def place(self, pose: Pose | None) -> None:
        """Sets where the object shall end; None for no target."""
        self.pose, self.given_target = pose, None

    def segment(self, prompt: Sequence[float], segmenter: Segmenter, marked: Marked = "object") -> None:
        """Selects what is in a box (x, y, w, h) or under a point (x, y), in pixels.

        Raises:
            InputError: nothing is found there.
        """
        height, width = self.size
        if len(prompt) == 4:
            x, y, w, h = prompt
            right, bottom = min(x + w, width), min(y + h, height)
            x, y = max(0.0, x), max(0.0, y)
            prompt = (x, y, right - x, bottom - y)
        self._select(segmenter(self.picture, prompt, "selection"), marked)

    def paint(
        self, points: Sequence[tuple[float, float]], width: float, add: bool = True, marked: Marked = "object"
    ) -> None:
        """Adds a brush stroke to a selection, or takes it away.

        Args:
            points: (x, y) in pixels, one or more.
            width: of the brush, in pixels.
            add: or erase.
            marked: which selection.

        Raises:
            InputError: no points, or one that is not finite.
        """
        stroke = brushed(points, width, self.size)
        before = self.mask(marked)
        if before is None:
            before = np.zeros(self.size, dtype=np.bool_)
        self._select(before | stroke if add else before & ~stroke, marked)

    def select_mask(self, mask: BoolArray, marked: Marked = "object") -> None:
        """Selects a mask bool [H, W] as it is. Raises InputError for another size."""
        if mask.shape != self.size:
            raise InputError("mask", f"must be of the picture's size {list(self.size)}, found {list(mask.shape)}")
        self._select(mask, marked)

    def clear(self, marked: Marked = "object") -> None:
        """Selects nothing."""
        self._select(np.zeros(self.size, dtype=np.bool_), marked)

    def undo(self) -> None:
        """Takes the last change of a selection back; without one, nothing happens."""
        if len(self._masks) > 1:
            self._masks.pop()

    def _select(self, mask: BoolArray, marked: Marked) -> None:
        masks = dict(self._masks[-1])
        masks.pop(marked, None)
        if mask.any():
            masks[marked] = mask
        self._masks = [*self._masks, masks][-_MOST_STEPS_BACK:]
        if marked == "object":
            # It belonged to another object.
            self.given_target = None


def posed(mask: BoolArray, pose: Pose) -> BoolArray:
    """A mask bool [H, W] moved, scaled and rotated; what leaves the picture is cut off."""
    middle = centroid(mask)
    if middle is None:
        return mask
    shift = (pose.right, pose.down)
    return warp_mask(mask, similarity(middle[::-1], shift, float(np.log(pose.scale)), float(np.radians(pose.rotate))))


def brushed(points: Sequence[tuple[float, float]], width: float, size: tuple[int, int]) -> BoolArray:
    """A brush stroke, bool (H, W).

    Raises:
        InputError: no points, or a number that is not finite.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite([*array.flat, width]).all():
        raise InputError("stroke", "must have points (x, y)", "draw it again")
    whole = np.clip(array, -10_000, 10_000).round().astype(np.int32)
    canvas = np.zeros(size, dtype=np.uint8)
    radius = max(1, min(round(width / 2), max(size)))
    if len(whole) > 1:
        cv2.polylines(canvas, [whole], False, 1, 2 * radius)
    for x, y in (whole[0], whole[-1]):
        cv2.circle(canvas, (int(x), int(y)), radius, 1, cv2.FILLED)
    stroke: BoolArray = canvas.astype(np.bool_)
    return stroke
