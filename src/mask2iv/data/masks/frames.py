"""Masks of a video's frames as labels, from any form of storage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import resize_mask
from mask2iv.media.videos import VideoInfo

FIELD = "masks"
Numbers = tuple[int, int] | None
"""What actor and object are called in masks of numbers; None where the numbers are those of labels."""


@dataclass(frozen=True)
class MaskFrames:
    """Masks of a video.

    Attributes:
        total: number of frames.
        read: gives the labels, uint8 [H, W], of the frames with the given rising indices, one by one.
    """

    total: int
    read: Callable[[Sequence[int]], Iterator[UInt8Array]]


def read_masks(masks: MaskFrames, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
    """Labels of some frames of a video, resized as they are read.

    Args:
        masks: of the video.
        indices: of the frames, rising.
        info: the video's.
        size: (H, W) of the result.

    Returns:
        uint8 [len(indices), H, W].

    Raises:
        InputError: another number of masks than frames, or masks that have neither the video's size in square pixels
            nor that of its stored ones.
    """
    if not masks.total:
        raise InputError(FIELD, "there are none in the file", "give one for each frame of the video")
    if masks.total != len(info.times):
        labels = next(masks.read([0]))
        raise _other_extent(masks.total, labels.shape, info)
    kept = np.empty((len(indices), *size), dtype=np.uint8)
    for row, labels in enumerate(masks.read(indices)):
        if labels.shape not in (info.size, info.stored_size):
            raise _other_extent(masks.total, labels.shape, info)
        if int(labels.max()) > max(Label):
            raise InputError(FIELD, f"frame {indices[row]} holds the value {labels.max()}, which is no label")
        kept[row] = resize_mask(labels, size)
    return kept


def _other_extent(total: int, size: tuple[int, ...], info: VideoInfo) -> InputError:
    return InputError(
        FIELD,
        f"found {_extent(total, size)} for a video of {_extent(len(info.times), info.size)}",
        "give one mask of the video's size for each of its frames",
    )


def _extent(total: int, size: tuple[int, ...]) -> str:
    """Number and size (H, W) of frames, in words."""
    return f"{total} frames of {size[1]}x{size[0]} pixels"


def is_number(name: str) -> bool:
    """Whether a name is the number of an instance."""
    return re.fullmatch("[0-9]{1,9}", name) is not None


def labelled(values: NDArray[Any], numbers: Numbers, place: str) -> UInt8Array:
    """Labels of a mask of numbers or truth values, [H, W] -> uint8 [H, W].

    Truth values alone are the object. Without ``numbers``, integers are labels; larger ones are refused later on.

    Raises:
        InputError: not of rank 2, fractions, or negative or huge numbers without ``numbers``.
    """
    if values.ndim != 2 or values.dtype.kind not in "biu":
        remedy = "threshold it" if values.dtype.kind == "f" else ""
        raise InputError(
            FIELD, f"{place} must be bool or integers [H, W], found {values.dtype} {list(values.shape)}", remedy
        )
    if numbers is not None:
        return combined({number: values == number for number in numbers}, numbers, place)
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(Label.OBJECT), np.uint8(Label.BACKGROUND))
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:
        raise InputError(FIELD, f"{place} holds the value {values.min() if values.min() < 0 else values.max()}")
    return values.astype(np.uint8)


def combined(instances: Mapping[int, NDArray[Any]], numbers: Numbers, place: str) -> UInt8Array:
    """Labels of the masks of several instances, bool [H, W] each, by number; where they overlap, the object is kept.

    Args:
        instances: the masks.
        numbers: which are actor and object; None where the numbers are labels (1 actor, 2 object, 3 second actor).
        place: their name in messages.

    Raises:
        InputError: masks of several sizes, none at all, or a number without a meaning.
    """
    if not instances:
        raise InputError(FIELD, f"{place} holds no mask")
    roles = {int(label): label for label in Label if label != Label.BACKGROUND}
    if numbers is not None:
        roles = {numbers[0]: Label.ACTOR, numbers[1]: Label.OBJECT}
    elif strange := [number for number in instances if number not in roles]:
        problem = f"{place} holds the number {strange[0]}, which is no label"
        raise InputError(FIELD, problem, "say which numbers are actor and object (actor_index, object_index)")
    shapes = {mask.shape for mask in instances.values()}
    if len(shapes) > 1:
        raise InputError(FIELD, f"the masks of {place} are not of one size")
    labels = np.zeros(shapes.pop(), dtype=np.uint8)
    for number in sorted(
        (number for number in instances if number in roles), key=lambda one: roles[one] == Label.OBJECT
    ):
        labels[np.asarray(instances[number], dtype=np.bool_)] = roles[number]
    return labels
