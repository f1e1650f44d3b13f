"""Masks supplied by users: of the object, the actor or a target position."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mask2iv.contract import BoolArray
from mask2iv.errors import InputError
from mask2iv.media.images import open_image


def load_mask(
    source: str | os.PathLike[str] | NDArray[Any] | Image.Image, size: tuple[int, int], field: str = "mask"
) -> BoolArray:
    """A user's mask of one object or actor, bool [H, W].

    Greyscale images are true where brighter than half of their range (1, 255 or 65535, judged by the brightest pixel);
    coloured ones where any channel is; palette images with colours where the index is not 0; images with varying
    transparency where more than half opaque, whatever their colours.

    Args:
        source: a file, a Pillow image, or an array (bool, integer or float in [0, 1]; [H, W] or [H, W, 1, 3 or 4]).
        size: (H, W) of the image the mask belongs to.
        field: name of the input in messages.

    Raises:
        InputError: unreadable, of another size, empty, or covering the whole image.
    """
    if isinstance(source, Image.Image):
        mask = _mask_from_image(ImageOps.exif_transpose(source), field)
    elif isinstance(source, str | os.PathLike):
        mask = _mask_from_image(open_image(source, field), field)
    else:
        mask = _mask_from_array(np.asarray(source), field)
    if mask.shape != tuple(size):
        raise InputError(
            field,
            f"the mask is {size_text(mask.shape)} but the image is {size_text(tuple(size))}",
            "both must have one size",
        )
    if not mask.any():
        raise InputError(field, "the mask is empty", "paint what it marks in white on black")
    if mask.all():
        raise InputError(field, "the mask covers the whole image", "paint what it marks in white on black")
    return mask


def _mask_from_image(image: Image.Image, field: str) -> BoolArray:
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() != alpha.max():
            return _bright(alpha)
    if image.mode == "P":
        indices = np.asarray(image)
        palette = np.asarray(image.convert("RGB"))
        coloured = (palette.min(axis=-1) != palette.max(axis=-1)).any()
        return indices != 0 if coloured else _bright(palette[..., 0])
    if image.mode in ("RGB", "RGBA", "L", "LA", "1", "F") or image.mode.startswith("I"):
        return _mask_from_array(np.asarray(image), field)
    return _mask_from_array(np.asarray(image.convert("RGB")), field)


def _mask_from_array(array: NDArray[Any], field: str) -> BoolArray:
    if array.size == 0:
        raise InputError(field, f"the mask has no pixels, its shape is {list(array.shape)}")
    if array.ndim == 3 and array.shape[-1] in (2, 4) and array[..., -1].min() != array[..., -1].max():
        array = array[..., -1]
    elif array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4):
        array = array[..., : 3 if array.shape[-1] >= 3 else 1].max(axis=-1)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise InputError(field, f"the mask must be [H, W], found {array.dtype} {list(array.shape)}")
    return _bright(array)


def _bright(values: NDArray[Any]) -> BoolArray:
    """Where values [H, W] exceed half of their range, which the brightest value tells."""
    brightest = values.max()
    full = next((top for top in (1, 255) if brightest <= top), 65535)
    bright: BoolArray = values > full / 2
    return bright


def size_text(shape: tuple[int, ...]) -> str:
    """Width and height of an array [H, W, ...], in words."""
    return f"{shape[1]}x{shape[0]} pixels"
