"""A scene: what the picture shows and what shall happen in it, read and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import resize_image, resize_mask
from mask2iv.trajectories.masks import load_mask

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Scene:
    """One interaction that is asked for. Made by :meth:`read`; then it travels through both stages as it is.

    Attributes:
        image: the first frame, uint8 [H, W, 3].
        object_mask: the object to be handled, bool [H, W], not empty.
        prompt: the instruction; "" for none.
        target_mask: where the object shall end, bool [H, W]; None for none.
        actor_mask: the actor where the image shows it, bool [H, W]; None if absent or not known.
    """

    image: UInt8Array
    object_mask: BoolArray
    prompt: str = ""
    target_mask: BoolArray | None = None
    actor_mask: BoolArray | None = None

    @classmethod
    def read(
        cls, image: Any, object_mask: Any, prompt: str | None = None, target_mask: Any = None, actor_mask: Any = None
    ) -> Scene:
        """A scene from whatever :func:`check_image` and :func:`mask2iv.trajectories.masks.load_mask` read.

        Raises:
            InputError: an unusable image, or a mask that is empty, covers everything or is not of the image's size.
        """
        picture = check_image(image)
        size = (int(picture.shape[0]), int(picture.shape[1]))

        def mask(given: Any, field: str) -> BoolArray | None:
            return None if given is None else load_mask(given, size, field=field)

        target, actor = mask(target_mask, "target_mask"), mask(actor_mask, "actor_mask")
        return cls(picture, load_mask(object_mask, size, field="object_mask"), prompt or "", target, actor)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    def at(self, size: tuple[int, int]) -> Scene:
        """The scene at another size (H, W); the aspect ratio is not kept, as in the original.

        Raises:
            InputError: a mask that vanishes at this size.
        """
        if size == self.size:
            return self

        def resized(mask: BoolArray | None, field: str) -> BoolArray | None:
            if mask is None:
                return None
            small: BoolArray = resize_mask(mask, size)
            if not small.any():
                raise InputError(
                    field,
                    f"it covers {int(mask.sum())} pixels and vanishes at {size[0]}x{size[1]}",
                    "use a larger size",
                )
            return small

        actor, thing = resized(self.actor_mask, "actor_mask"), resized(self.object_mask, "object_mask")
        assert thing is not None
        return Scene(
            np.ascontiguousarray(resize_image(self.image, size)),
            thing,
            self.prompt,
            resized(self.target_mask, "target_mask"),
            actor,
        )

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
        """Raises InputError unless there is a prompt or a target."""
        if not self.prompt and self.target_mask is None:
            raise InputError("prompt", "there is no condition", "give a prompt, a target mask, or both")


def read_scenes(
    image: Any,
    object_mask: Any,
    prompt: str | Sequence[str | None] | None,
    target_mask: Any,
    actor_mask: Any,
    size: tuple[int, int],
    outputs: int,
) -> list[Scene]:
    """One scene per output at `size`, from one of each input or lists; the `outputs` of one image are neighbours.

    Raises:
        InputError: an unusable input, lists of different lengths, or a number below 1.
    """
    if outputs < 1:
        raise InputError("num_videos_per_prompt", f"must be at least 1, found {outputs}")
    images = listed(image)
    columns = {"object_mask": object_mask, "prompt": prompt, "target_mask": target_mask, "actor_mask": actor_mask}
    lists = [as_list(value, len(images), field) for field, value in columns.items()]
    scenes = [Scene.read(*inputs).at(size) for inputs in zip(images, *lists, strict=True)]
    return [scene for scene in scenes for _ in range(outputs)]


def check_image(image: Any) -> UInt8Array:
    """An image as uint8 [H, W, 3].

    Raises:
        InputError: neither a PIL image nor such an array.
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError("image", f"must be a PIL image or a uint8 array [H, W, 3], found {found}")


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
