"""Reading, writing and resizing of images; the only module that opens image files."""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError, warn
from mask2iv.files import atomic_write, reason, require_file

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MAX_IMAGE_PIXELS = 64_000_000
"""Most pixels of an image or a video frame; a larger one is refused before it is decoded."""
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", *(("AVIF",) if features.check("avif") else ()))
"""The formats that are opened. Pillow knows others, and hands some (EPS) to programs that run what is in them."""

# Brands of ISO media files that are pictures.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_ORIENTATION = 0x0112
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}

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


def open_image(
    source: str | os.PathLike[str] | Image.Image, field: str = "image", content: bytes | None = None
) -> Image.Image:
    """A decoded image, turned upright by its EXIF orientation, in its Pillow mode.

    Args:
        source: a file of one of :data:`FORMATS`, or a Pillow image. An animation gives its first frame.
        field: name of the input in messages.
        content: the file's bytes, where they lie within another file; ``source`` only names them then.

    Raises:
        InputError: missing, empty, truncated, not an image, of another format, or above :data:`MAX_IMAGE_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            # Our own bound is checked below, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return _upright(source, field, source)
            if content is None:
                require_file(Path(source), field)
                if Path(source).stat().st_size == 0:
                    raise InputError(field, f"{source} is an empty file")
            with Image.open(source if content is None else io.BytesIO(content), formats=FORMATS) as image:
                return _upright(image, field, source)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise _unknown_format(Path(str(source)), field, content) from error
    except Image.DecompressionBombError as error:
        raise InputError(field, f"{source} is too large: {reason(error)}") from error
    except _IMAGE_FAULTS as error:
        raise InputError(field, f"{_named(source)} cannot be read as an image: {reason(error)}") from error


def picture_size(path: str | os.PathLike[str], field: str = "image") -> tuple[int, int]:
    """(H, W) of an image file, upright. Only its header is read: what is damaged behind it is not seen.

    Raises:
        InputError: missing, empty, not an image, or of another format than :data:`FORMATS`.
    """
    require_file(Path(path), field)
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except UnidentifiedImageError as error:
        raise _unknown_format(Path(path), field) from error
    except _IMAGE_FAULTS as error:
        raise InputError(field, f"{path} cannot be read as an image: {reason(error)}") from error


def _named(source: str | os.PathLike[str] | Image.Image) -> str:
    """A picture's name in messages."""
    return "the Pillow image" if isinstance(source, Image.Image) else str(source)


def _upright(image: Image.Image, field: str, source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise InputError(
            field,
            f"{_named(source)} must have at most {MAX_IMAGE_PIXELS // 1_000_000} megapixels, found "
            f"{image.width}x{image.height} pixels",
        )
    image.load()
    return ImageOps.exif_transpose(image)


def _unknown_format(path: Path, field: str, content: bytes | None = None) -> InputError:
    if content is None:
        with path.open("rb") as file:
            start = file.read(12)
    else:
        start = content[:12]
    brand = _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    if brand is not None:
        remedy = "save it as JPEG or PNG"
        return InputError(
            field, f"{path} cannot be read as an image: it is {brand}, which needs another reader", remedy
        )
    known = f"it is none of {', '.join(FORMATS)}, or its start is damaged"
    return InputError(field, f"{path} cannot be read as an image: {known}", "save it as PNG or JPEG")


def read_image(
    source: str | os.PathLike[str] | Image.Image, field: str = "image", content: bytes | None = None
) -> UInt8Array:
    """An image file, or a Pillow image, as uint8 [H, W, 3]: upright by its EXIF orientation; of an animation, the first
    frame.

    Colours are converted to sRGB by the image's colour profile; one that cannot be used is ignored, with a warning.
    Transparent parts are blended onto white, as viewers do. 16-bit and float images are scaled to 8 bits by their range
    (65535; 1.0, or 255 where brighter).

    Args:
        source, field, content: see :func:`open_image`.

    Raises:
        InputError: as :func:`open_image`, or values beyond these ranges.
    """
    image, alpha = split_alpha(open_image(source, field, content))
    if image.mode == "F" or image.mode.startswith("I"):
        profile = image.info.get("icc_profile")
        image = Image.fromarray(_scaled_to_bytes(np.asarray(image), field, source))
        image.info["icc_profile"] = profile
    colours = _in_srgb(image, field, source)
    if alpha is not None:
        colours = Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)
    return np.array(colours, dtype=np.uint8)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours of an image, in a mode without alpha, and its alpha, mode L; None where the mode and file have none.

    16-bit and float images count as opaque.
    """
    if not image.has_transparency_data or image.mode[0] in "IF":
        return image, None
    both = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
    return both.convert(both.mode[:-1]), both.getchannel("A")


def _in_srgb(image: Image.Image, field: str, source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """Mode RGB in sRGB. An image without a profile is taken as sRGB."""
    data = image.info.get("icc_profile")
    if not data and image.mode != "LAB":
        return image.convert("RGB")
    srgb = ImageCms.createProfile("sRGB")
    try:
        if data:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            space = profile.profile.xcolor_space.strip()
        else:
            profile, space = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "Lab"
        mode = _PROFILE_MODES.get(space, space)
        # A grey picture may have a profile of RGB. The other way round, and with CMYK, one of them is wrong.
        if image.mode != mode and (mode != "RGB" or image.mode in ("CMYK", "LAB")):
            raise ImageCms.PyCMSError(f"it is for {space}, the picture is {image.mode}")
        found = ImageCms.profileToProfile(image.convert(mode), profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        if image.mode == "LAB":
            raise InputError(field, f"{_named(source)} cannot be read: {reason(error)}", "save it as RGB") from error
        problem = f"the colour profile of {_named(source)} cannot be used: {reason(error)}"
        warn(field, problem, "its colours are taken as sRGB")
        return image.convert("RGB")
    assert found is not None
    return found


def _scaled_to_bytes(values: NDArray[Any], field: str, source: str | os.PathLike[str] | Image.Image) -> UInt8Array:
    """Grey values [H, W] of more than 8 bits -> uint8 [H, W]."""
    wide = values.astype(np.float64)
    lowest, highest = wide.min(), wide.max()
    if values.dtype.kind == "f":
        ranges: tuple[float, ...] = (1.0, 255.0)
    else:
        ranges = (65535.0,) if values.dtype.itemsize == 2 else (255.0, 65535.0)
    full = next((top for top in ranges if highest <= top), None)
    if full is None or lowest < 0 or not math.isfinite(lowest):
        raise InputError(
            field, f"{_named(source)} has values from {lowest:g} to {highest:g}", "save it with 8 bits per channel"
        )
    scaled: UInt8Array = np.rint(wide * (255.0 / full)).astype(np.uint8)
    return scaled


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


def encode_jpeg(image: UInt8Array, quality: int = 85) -> bytes:
    """A picture uint8 [H, W, 3] as JPEG, to be looked at; same picture, same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    return buffer.getvalue()


def resize_image(
    image: UInt8Array, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BICUBIC
) -> UInt8Array:
    """Resizes uint8 [..., H, W, 3] to ``size`` (H, W), bicubic by default, antialiased when shrinking."""
    if image.shape[-3:-1] == tuple(size):
        return image
    frames = image.reshape(-1, *image.shape[-3:])
    resized = [Image.fromarray(frame).resize((size[1], size[0]), resample) for frame in frames]
    return np.stack([np.asarray(frame) for frame in resized]).reshape(*image.shape[:-3], *size, 3)


def resize_mask(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resizes labels or a mask, [..., H, W] of any type, to ``size`` (H, W), taking the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    resized: NDArray[Any] = mask[..., rows[:, None], columns[None, :]]
    return resized
