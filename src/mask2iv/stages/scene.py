"""A scene: the picture, its masks and the instruction, read and checked once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mask2iv.contract import BoolArray, Fit, Label, Placement, UInt8Array
from mask2iv.errors import InputError, warn
from mask2iv.media.fitting import place, placed_image, placed_mask
from mask2iv.media.images import read_image
from mask2iv.trajectories.editing.path import ObjectPath
from mask2iv.trajectories.masks import load_mask

T = TypeVar("T")

_CUT_OFF = 0.05
"""If a mask of object or target loses more than this share, there is a warning."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One requested interaction. Made by :meth:`read`, then passed through both stages unchanged.

    Attributes:
        image: the first frame, uint8 [H, W, 3].
        object_mask: the object to be handled, bool [H, W], not empty.
        prompt: the instruction; "" for none.
        target_mask: where the object shall end, bool [H, W]; None for none.
        actor_mask: the actor where the image shows it, bool [H, W]; None if absent or not known.
        placement: which part of the picture this is, once :meth:`at` has been asked.
        object_path: where the object shall go, in the image's pixels; None: the predictor decides. Not every one takes
            it.
    """

    image: UInt8Array
    object_mask: BoolArray
    prompt: str = ""
    target_mask: BoolArray | None = None
    actor_mask: BoolArray | None = None
    placement: Placement | None = None
    object_path: ObjectPath | None = None

    @classmethod
    def read(
        cls,
        image: Any,
        object_mask: Any,
        prompt: str | None = None,
        target_mask: Any = None,
        actor_mask: Any = None,
        object_path: ObjectPath | None = None,
    ) -> Scene:
        """A scene from what :func:`check_image` and :func:`mask2iv.trajectories.masks.load_mask` read.

        Raises:
            InputError: an unusable image, or a mask that is empty, covers everything or is not of the image's size.
        """
        picture = check_image(image)
        size = (int(picture.shape[0]), int(picture.shape[1]))

        def mask(given: Any, field: str) -> BoolArray | None:
            return None if given is None else load_mask(given, size, field=field)

        target, actor = mask(target_mask, "target_mask"), mask(actor_mask, "actor_mask")
        thing = load_mask(object_mask, size, field="object_mask")
        return cls(picture, thing, prompt or "", target, actor, object_path=object_path)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    def at(self, size: tuple[int, int], fit: Fit = "crop", scale: float = 1.0) -> Scene:
        """The scene at another size (H, W).

        Args:
            size: of the result.
            fit, scale: how the picture gets this shape; see :func:`mask2iv.media.fitting.place`. A crop is placed
                around object, target and actor.

        Raises:
            InputError: a mask that vanishes at this size, or lies outside the part of the picture that is used.
        """
        if self.placement is not None and size == self.size:
            return self
        masks = {"object_mask": self.object_mask, "target_mask": self.target_mask, "actor_mask": self.actor_mask}
        given = {field: mask for field, mask in masks.items() if mask is not None}
        placement = place(self.size, size, fit, scale, list(given.values()))
        placed: dict[str, Any] = {field: _placed(mask, placement, field) for field, mask in given.items()}
        if self.object_path is not None:
            placed["object_path"] = self.object_path.placed(placement)
        return replace(self, image=placed_image(self.image, placement), placement=placement, **placed)

    @cached_property
    def labels(self) -> UInt8Array:
        """Labels of the first frame, uint8 [H, W]: the object over the actor."""
        labels = np.zeros(self.size, dtype=np.uint8)
        if self.actor_mask is not None:
            labels[self.actor_mask] = Label.ACTOR
        labels[self.object_mask] = Label.OBJECT
        return labels

    @cached_property
    def target_labels(self) -> UInt8Array | None:
        """Labels of the target position, uint8 [H, W]: the object only; None without a target."""
        return None if self.target_mask is None else self.target_mask * np.uint8(Label.OBJECT)

    def require_condition(self) -> None:
        """Raises InputError unless there is a prompt, a target or a path; or for a path beside a target."""
        if not self.prompt and self.target_mask is None and self.object_path is None:
            raise InputError("prompt", "there is no condition", "give a prompt, a target mask, or both")
        if self.target_mask is not None and self.object_path is not None:
            raise InputError("object_path", "there is a target, too", "leave one of them out: the path has an end")


def _placed(mask: BoolArray, placement: Placement, field: str) -> BoolArray:
    """A scene's mask in a result.

    Raises:
        InputError: nothing of it is left.
    """
    small: BoolArray = placed_mask(mask, placement)
    x, y, width, height = placement.seen
    # Whole pixels that are seen in part count as seen.
    kept = mask[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))].sum() / mask.sum()
    if not kept:
        raise InputError(
            field,
            f"it lies outside the part of the picture that is used (x={x:.0f} y={y:.0f} w={width:.0f} h={height:.0f})",
            "choose another fit: pad keeps the whole picture",
        )
    if not small.any():
        raise InputError(
            field,
            f"it covers {int(mask.sum())} pixels and vanishes at {placement.size[0]}x{placement.size[1]}",
            "use a larger size",
        )
    if 1 - kept > _CUT_OFF and field != "actor_mask":
        problem = f"{1 - kept:.0%} of it lies outside the part of the picture that is used"
        warn(field, problem, "the fit pad keeps the whole picture")
    return small


def read_scenes(
    image: Any,
    object_mask: Any,
    prompt: str | Sequence[str | None] | None,
    target_mask: Any,
    actor_mask: Any,
    size: tuple[int, int],
    fit: Fit,
    fit_scale: float,
    outputs: int,
    object_path: ObjectPath | Sequence[ObjectPath | None] | None = None,
) -> list[Scene]:
    """One scene per output at `size`, from one of each input or lists; the `outputs` of one image are neighbours.

    For `fit` and `fit_scale` see :func:`mask2iv.media.fitting.place`.

    Raises:
        InputError: an unusable input, lists of different lengths, or a number below 1.
    """
    if outputs < 1:
        raise InputError("num_videos_per_prompt", f"must be at least 1, found {outputs}")
    images = listed(image)
    columns = {
        "object_mask": object_mask,
        "prompt": prompt,
        "target_mask": target_mask,
        "actor_mask": actor_mask,
        "object_path": object_path,
    }
    lists = [as_list(value, len(images), field) for field, value in columns.items()]
    scenes = [Scene.read(*inputs).at(size, fit, fit_scale) for inputs in zip(images, *lists, strict=True)]
    return [scene for scene in scenes for _ in range(outputs)]


def check_image(image: Any) -> UInt8Array:
    """An image as uint8 [H, W, 3]: such an array, or what :func:`mask2iv.media.images.read_image` reads.

    Raises:
        InputError: none of these, or a file or Pillow image that cannot be read.
    """
    if isinstance(image, str | os.PathLike | Image.Image):
        return read_image(image, "image")
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError("image", f"must be a file, a PIL image or a uint8 array [H, W, 3], found {found}")


def listed(value: Any) -> list[Any]:
    """A list or tuple as a list; anything else as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def as_list(value: T | Sequence[T] | None, count: int, field: str) -> list[Any]:
    """`value` as a list of `count` entries; a single one is repeated.

    Raises:
        InputError: a list of another length.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise InputError(field, f"found {len(value)} entries for {count} images", "give one for each")
    return list(value)
