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
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mask2iv.errors import InputError

if TYPE_CHECKING:  # for types alone: a file that cannot be read is said before torch has loaded
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


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A mask trajectory: where actor and object are in each frame.

    Attributes:
        labels: uint8 [T, H, W] with values of :class:`Label`.
        fps: frames per second, > 0.

    Raises:
        InputError: wrong dtype or rank, no frames, an unknown label, or a frame rate that is not positive.
    """

    labels: UInt8Array
    fps: float = 8.0

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
