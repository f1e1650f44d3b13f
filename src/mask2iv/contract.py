"""The typed data that all modules of the package exchange.

Shape legend, used in all docstrings:

    B batch   T frames   C channels   H, W pixel rows and columns   h, w latent rows and columns
    L tokens  D token width

Value ranges: images and videos are uint8 in [0, 255] as NumPy arrays (channels last, RGB) and float in [-1, 1] as torch
tensors (channels first). Masks are bool. Labels are uint8 with the values of :class:`Label`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from mask2iv.errors import InputError

if TYPE_CHECKING:  # for types alone: an unreadable file is reported before torch has loaded
    import torch

UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


class Label(IntEnum):
    """Meaning of a pixel in a trajectory frame (paper, section 3.2: actor green, object red, background black)."""

    BACKGROUND = 0
    ACTOR = 1
    OBJECT = 2
    SECOND_ACTOR = 3


@overload
def is_actor(labels: UInt8Array) -> BoolArray: ...
@overload
def is_actor(labels: torch.Tensor) -> torch.Tensor: ...
def is_actor(labels: Any) -> Any:
    """Where labels of any shape show the first or the second actor: bool of the same shape and array type."""
    return (labels == Label.ACTOR) | (labels == Label.SECOND_ACTOR)


LABEL_COLOURS: UInt8Array = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)
"""RGB colour of each label, uint8 [4, 3]. The second actor (a left hand beside a right one) is blue, an extension."""


def channels_to_labels(rgb: UInt8Array) -> UInt8Array:
    """Labels from the official models' colours, uint8 [..., 3] -> uint8 [...]: a channel is on from 128.

    Red or blue is the object (blue a second part of it), green the actor. Where both are, the object is kept, as where
    a first frame's masks overlap.
    """
    on = rgb >= 128
    labels = np.where(on[..., 1], np.uint8(Label.ACTOR), np.uint8(Label.BACKGROUND))
    labels[on[..., 0] | on[..., 2]] = Label.OBJECT
    return labels


Fit = Literal["crop", "pad", "stretch", "centre"]
"""How a picture of another shape gets a result's: see :func:`mask2iv.media.fitting.place`."""


@dataclass(frozen=True)
class Placement:
    """Which part of a picture a result shows, and where. Made by :func:`mask2iv.media.fitting.place`.

    Attributes:
        fit: how the picture got the result's shape.
        source: (H, W) of the picture.
        box: (top, left, height, width) of the part of it that is taken, in its pixels.
        scaled: (H, W) to which that part is resized.
        offset: (top, left) of the resized part in the result. What lies outside is cut off, what is not covered black.
        size: (H, W) of the result.

    Raises:
        InputError: the box is not within the picture, or does not meet the result.
    """

    fit: Fit
    source: tuple[int, int]
    box: tuple[int, int, int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise InputError("fit", f"must be one of {', '.join(get_args(Fit))}, found {self.fit!r}")
        for start, length, source, scaled, offset, size in zip(
            self.box[:2], self.box[2:], self.source, self.scaled, self.offset, self.size, strict=True
        ):
            if not (0 <= start < start + length <= source and min(scaled, size) >= 1 and -scaled < offset < size):
                raise InputError("placement", f"no part of a picture: {self}")

    @property
    def unchanged(self) -> bool:
        """Whether the result shows the picture as it is."""
        return (self.box, self.scaled, self.offset) == ((0, 0, *self.source), self.source, (0, 0)) and (
            self.size == self.source
        )

    @property
    def placed(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of what of the result shows the picture, in the result's pixels."""
        top, left = (max(start, 0) for start in self.offset)
        bottom, right = (
            min(start + length, end) for start, length, end in zip(self.offset, self.scaled, self.size, strict=True)
        )
        return left, top, right - left, bottom - top

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) of what of the picture is seen, in the picture's pixels."""
        x, y, width, height = self.placed
        across, down = self.box[3] / self.scaled[1], self.box[2] / self.scaled[0]
        left, top = (x - self.offset[1]) * across, (y - self.offset[0]) * down
        return self.box[1] + left, self.box[0] + top, width * across, height * down

    @property
    def record(self) -> dict[str, Any]:
        """For a manifest: the fit, sizes, and the boxes X, Y, W, H of what is seen, in the picture and the result."""
        return {
            "fit": self.fit,
            "picture": [self.source[1], self.source[0]],
            "box": [round(number, 2) if number % 1 else int(number) for number in self.seen],
            "placed": list(self.placed),
        }


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A mask trajectory: where actor and object are in each frame.

    Attributes:
        labels: uint8 [T, H, W] with values of :class:`Label`.
        fps: frames per second, > 0.
        painted: uint8 [T, H, W, 3], each channel 0 or 255: the colours that an official stage 1 painted, where the
            labels cannot express them (actor and object in one pixel, a second part of the object). An official stage
            2 follows these; all else, measures too, knows the labels, which are their :func:`channels_to_labels`. None
            where the label colours are all there is.
        placement: which part of the picture the frames show, where that is known.

    Raises:
        InputError: wrong dtype or rank, no frames, an unknown label, a frame rate that is not positive, or colours that
            do not belong to the labels.
    """

    labels: UInt8Array
    fps: float = 8.0
    painted: UInt8Array | None = None
    placement: Placement | None = None

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8 or self.labels.ndim != 3:
            raise InputError(
                "Trajectory.labels", f"must be uint8 [T, H, W], found {self.labels.dtype} {list(self.labels.shape)}"
            )
        if 0 in self.labels.shape:
            raise InputError("Trajectory.labels", f"must not be empty, found shape {list(self.labels.shape)}")
        if int(self.labels.max()) >= len(LABEL_COLOURS):
            raise InputError(
                "Trajectory.labels",
                "must be 0 (background), 1 (actor), 2 (object) or 3 (second actor), found the value "
                f"{int(self.labels.max())}",
            )
        if not self.fps > 0:
            raise InputError("Trajectory.fps", f"must be positive, found {self.fps}")
        if self.painted is not None:
            self._check_painted(self.painted)

    def _check_painted(self, painted: UInt8Array) -> None:
        wanted = (*self.labels.shape, 3)
        if painted.dtype != np.uint8 or painted.shape != wanted or ((painted > 0) & (painted < 255)).any():
            raise InputError(
                "Trajectory.painted",
                f"must be uint8 {list(wanted)} of 0 and 255, found {painted.dtype} {list(painted.shape)}",
            )
        if (channels_to_labels(painted) != self.labels).any():
            raise InputError("Trajectory.painted", "these colours are not those of the labels", "leave it out")

    @property
    def num_frames(self) -> int:
        return int(self.labels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.labels.shape[1]), int(self.labels.shape[2])

    @property
    def actor(self) -> BoolArray:
        """bool [T, H, W]: the first or the second actor."""
        return is_actor(self.labels)

    @property
    def object(self) -> BoolArray:
        """bool [T, H, W]: the target object."""
        mask: BoolArray = self.labels == Label.OBJECT
        return mask


@dataclass(frozen=True, eq=False)
class Clip:
    """One interaction: a video, its exact trajectory and a description.

    Attributes:
        clip_id: name, unique in its clip set; letters, digits, ``-`` and ``_``.
        video: uint8 [T, H, W, 3].
        trajectory: labels of the same T, H, W and fps.
        caption: the instruction, e.g. "a hand picking up a kettle".
        verb: the action, e.g. "picking up".
        object_name: the target object's category, e.g. "kettle".
        actor: "hand", "hands" (two; the left one is the second actor) or "robot".
        contact: bool [T], whether actor and object touch; None where unknown.
        metadata: JSON-serialisable extras (object pose, camera, seed, ...).

    Raises:
        InputError: shapes disagree, naming the field.
    """

    clip_id: str
    video: UInt8Array
    trajectory: Trajectory
    caption: str
    verb: str
    object_name: str
    actor: str
    contact: BoolArray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.video.dtype != np.uint8 or self.video.ndim != 4 or self.video.shape[-1] != 3:
            raise InputError(
                "Clip.video", f"must be uint8 [T, H, W, 3], found {self.video.dtype} {list(self.video.shape)}"
            )
        if self.video.shape[:3] != self.trajectory.labels.shape:
            raise InputError(
                "Clip.trajectory",
                f"must share T, H, W with Clip.video, {list(self.video.shape[:3])}, found "
                f"{list(self.trajectory.labels.shape)}",
            )
        if self.contact is not None and self.contact.shape != (self.video.shape[0],):
            raise InputError(
                "Clip.contact", f"must be bool [T={self.video.shape[0]}], found {list(self.contact.shape)}"
            )

    @property
    def fps(self) -> float:
        return self.trajectory.fps

    @property
    def image(self) -> UInt8Array:
        """First frame, uint8 [H, W, 3]."""
        first: UInt8Array = self.video[0]
        return first

    @property
    def object_mask(self) -> BoolArray:
        """The object in the first frame, bool [H, W]."""
        mask: BoolArray = self.trajectory.object[0]
        return mask

    @property
    def target_mask(self) -> BoolArray:
        """The object in the last frame, bool [H, W]: the target position of the paper's PT-Gen."""
        mask: BoolArray = self.trajectory.object[-1]
        return mask


@dataclass
class Batch:
    """A training batch of clips.

    Attributes:
        clip_ids: B names.
        video: float [B, 3, T, H, W] in [-1, 1].
        labels: uint8 [B, T, H, W].
        captions: B strings.
        fps: float [B].
    """

    clip_ids: Sequence[str]
    video: torch.Tensor
    labels: torch.Tensor
    captions: Sequence[str]
    fps: torch.Tensor

    def __post_init__(self) -> None:
        b, t, h, w = self.labels.shape
        if tuple(self.video.shape) != (b, 3, t, h, w):
            raise InputError(
                "Batch.video",
                f"must be [B, 3, T, H, W] = {[b, 3, t, h, w]} to match Batch.labels, found {list(self.video.shape)}",
            )
        if not len(self.clip_ids) == len(self.captions) == len(self.fps) == b:
            counts = [len(self.clip_ids), len(self.captions), len(self.fps)]
            raise InputError("Batch.clip_ids, captions and fps", f"must each have {b} entries, found {counts}")

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.clip_ids, self.video.to(device), self.labels.to(device), self.captions, self.fps.to(device))

    @property
    def first_frame(self) -> torch.Tensor:
        """float [B, 3, H, W] in [-1, 1]."""
        return self.video[:, :, 0]
