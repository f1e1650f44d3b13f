"""Reading, writing and resizing of images; the only module that opens image files."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, reason, require_file

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MAX_IMAGE_PIXELS = 64_000_000
"""Most pixels of an image or a video frame; a larger one is refused before it is decoded."""

# What Pillow's decoders raise on damaged files besides OSError.
_IMAGE_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def open_image(path: str | os.PathLike[str], field: str = "image") -> Image.Image:
    """A decoded image, turned upright by its EXIF orientation, in the file's Pillow mode.

    An animation gives its first frame. ``field`` names the input in messages.

    Raises:
        InputError: missing, empty, truncated, not an image, or above :data:`MAX_IMAGE_PIXELS`.
    """
    path = Path(path)
    require_file(path, field)
    if path.stat().st_size == 0:
        raise InputError(field, f"{path} is an empty file")
    try:
        with warnings.catch_warnings():
            # Our own bound is checked below, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                size = image.size
                if size[0] * size[1] <= MAX_IMAGE_PIXELS:
                    image.load()
                    return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise InputError(field, f"{path} is too large: {reason(error)}") from error
    except _IMAGE_FAULTS as error:
        raise InputError(field, f"{path} cannot be read as an image: {reason(error)}") from error
    raise InputError(
        field,
        f"{path} must have at most {MAX_IMAGE_PIXELS // 1_000_000} megapixels, found {size[0]}x{size[1]} pixels",
    )


def read_image(path: str | os.PathLike[str], field: str = "image") -> UInt8Array:
    """An image file as uint8 [H, W, 3], upright by its EXIF orientation; of an animation, the first frame.

    Transparent parts are blended onto white, as viewers do. 16-bit and float images are scaled to 8 bits by their range
    (65535; 1.0, or 255 where brighter).

    Raises:
        InputError: missing, empty, truncated, not an image, or above 64 megapixels.
    """
    image = open_image(path, field)
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled_to_bytes(np.asarray(image), field, path)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _scaled_to_bytes(values: NDArray[Any], field: str, path: str | os.PathLike[str]) -> UInt8Array:
    """Grey values [H, W] of more than 8 bits -> uint8 [H, W, 3]."""
    wide = values.astype(np.float64)
    lowest, highest = wide.min(), wide.max()
    if values.dtype.kind == "f":
        ranges: tuple[float, ...] = (1.0, 255.0)
    else:
        ranges = (65535.0,) if values.dtype.itemsize == 2 else (255.0, 65535.0)
    full = next((top for top in ranges if highest <= top), None)
    if full is None or lowest < 0 or not math.isfinite(lowest):
        raise InputError(field, f"{path} has values from {lowest:g} to {highest:g}", "save it with 8 bits per channel")
    return np.repeat(np.rint(wide * (255.0 / full)).astype(np.uint8)[..., None], 3, axis=-1)


def write_png(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Writes uint8 [H, W, 3], uint8 [H, W] or bool [H, W] (white on black) as PNG, atomically.

    Raises:
        InputError: another type or shape, or ``path`` cannot be written.
    """
    pixels = array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] == 3)):
        raise InputError("array", f"must be uint8 [H, W, 3] or [H, W], found {array.dtype} {list(array.shape)}")
    with atomic_write(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")


def resize_image(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Resizes uint8 [..., H, W, 3] to ``size`` (H, W), bicubic, antialiased when shrinking."""
    if image.shape[-3:-1] == tuple(size):
        return image
    frames = image.reshape(-1, *image.shape[-3:])
    resized = [Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC) for frame in frames]
    return np.stack([np.asarray(frame) for frame in resized]).reshape(*image.shape[:-3], *size, 3)


def resize_mask(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resizes labels or a mask, [..., H, W] of any type, to ``size`` (H, W), taking the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    resized: NDArray[Any] = mask[..., rows[:, None], columns[None, :]]
    return resized
