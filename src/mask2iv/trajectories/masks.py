"""Masks supplied by users: of the object, the actor or a target position."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2iv.contract import BoolArray
from mask2iv.errors import InputError, warn
from mask2iv.media.images import open_image, read_image, split_alpha

INVERTED = 0.5
"""A mask of more than this share of the picture is warned of."""
_STRAY = 0.01
"""An alpha channel of which less is transparent is no mask; a colour of which there is less is noise."""
_LISTED = 12
_COLOURS = ("black", "blue", "green", "cyan", "red", "magenta", "yellow", "white")


def load_mask(
    source: str | os.PathLike[str] | NDArray[Any] | Image.Image,
    size: tuple[int, int],
    field: str = "mask",
    index: int | None = None,
) -> BoolArray:
    """A user's mask of one object or actor, bool [H, W].

    What is marked, by the kind of image:

    - grey: of two values, one of them 0, the other one (0/1, 0/2, 0/255, ...); else brighter than half of the range
      (1, 255 or 65535, judged by the brightest pixel), so that soft edges are cut in their middle. Several values
      are numbers of objects and need ``index`` where none is that bright, or where there are up to 12 and two or more
      of them, near black and white apart, fill 3x3 pixels somewhere;
    - coloured: where any channel is; several colours are refused;
    - palette with colours: the one index that is not 0; several need ``index``. A palette of greys is read as grey;
    - with an alpha channel (or a transparent colour): what is opaque, whatever its colours, as in a cut-out; alpha is
      read like grey. Two cases are read by their colours as above: where less than 1 % of the pixels is transparent
      (stray pixels), and where what is opaque is itself a mask in black and white (then transparent is not marked).

    A mask of more than half of the picture is warned of: it may be inverted.

    Args:
        source: a file, a Pillow image, or an array (bool, integer or float in [0, 1]; [H, W] or [H, W, 1, 3 or 4]). A
            file's name may end in "#2" to choose the ``index`` 2.
        size: (H, W) of the image the mask belongs to.
        field: name of the input in messages.
        index: which object of an image of object numbers (a palette, grey values, integers).

    Raises:
        InputError: unreadable, of another size, several objects without a choice, an index that is not there, empty, or
            covering the whole image.
    """
    if isinstance(source, str | os.PathLike):
        source, chosen = split_index(source)
        index = chosen if index is None else index
    if isinstance(source, Path | Image.Image):
        mask = _mask_from_image(open_image(source, field), field, index)
    else:
        mask = _mask_from_array(np.asarray(source), field, index)
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
    if mask.mean() > INVERTED:
        problem = f"the mask covers {mask.mean():.0%} of the picture and may be inverted"
        warn(field, problem, "what it marks must be white, all else black")
    return mask


def split_index(source: str | os.PathLike[str]) -> tuple[Path, int | None]:
    """A mask's file and the index that its name chooses: "mask.png#2" is object 2 of mask.png.

    A file whose own name ends like that is that file.
    """
    path = Path(source)
    found = re.fullmatch(r"(.+)#(\d{1,9})", path.name)
    if found is None or path.exists():
        return path, None
    return path.with_name(found[1]), int(found[2])


def _mask_from_image(image: Image.Image, field: str, index: int | None) -> BoolArray:
    numbered = image.mode in ("P", "1", "L") or image.mode.startswith("I")
    if index is not None and not numbered:
        raise InputError(field, f"an image of mode {image.mode} has no object numbers", "leave the index out")
    if index is not None:
        return _of_index(np.asarray(image), index, field)
    colours, alpha = split_alpha(image)
    if alpha is None:
        return _mask_of_colours(image, field)
    rgb = np.asarray(colours.convert("RGB"))
    return _judged(np.asarray(alpha), rgb, lambda: _mask_of_colours(image if numbered else colours, field))


def _mask_from_array(array: NDArray[Any], field: str, index: int | None) -> BoolArray:
    if array.size == 0:
        raise InputError(field, f"the mask has no pixels, its shape is {list(array.shape)}")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    channels = array.shape[-1] if array.ndim == 3 and index is None else 1
    if array.dtype.kind not in "buif" or array.ndim != (2 if channels == 1 else 3) or channels > 4:
        raise InputError(field, f"the mask must be [H, W], found {array.dtype} {list(array.shape)}")
    if index is not None:
        return _of_index(array, index, field)
    if channels == 1:
        return _mask_of_grey(array, field)
    if channels == 3:
        return _mask_of_rgb(array, field)
    alpha, colours = array[..., -1], array[..., :-1]
    return _judged(alpha, colours, lambda: _mask_from_array(colours, field, None))


def _judged(alpha: NDArray[Any], colours: NDArray[Any], by_colours: Callable[[], BoolArray]) -> BoolArray:
    """The mask of an image with an alpha channel [H, W]; :func:`load_mask` states the rule."""
    opaque = _marked(alpha)
    if np.mean(~opaque) < _STRAY:
        return by_colours()
    shown, full = colours[opaque], _full(colours)
    black, white = (shown < full / 8).all(axis=-1), (shown > full * 7 / 8).all(axis=-1)
    if black.any() and white.any() and np.mean(black | white) > 1 - _STRAY:
        return opaque & by_colours()
    return opaque


def _mask_of_colours(image: Image.Image, field: str) -> BoolArray:
    """The mask that an image shows by its colours."""
    if image.mode == "P":
        indices, palette = np.asarray(image), np.asarray(image.convert("RGB"))
        if (palette.min(axis=-1) == palette.max(axis=-1)).all():
            return _mask_of_grey(palette[..., 0], field)
        if len(_numbers(indices)) > 1:
            raise _several(indices, field)
        marked: BoolArray = indices != 0
        return marked
    if image.mode in ("L", "1", "F") or image.mode.startswith("I"):
        return _mask_of_grey(np.asarray(image), field)
    return _mask_of_rgb(read_image(image, field), field)


def _mask_of_rgb(colours: NDArray[Any], field: str) -> BoolArray:
    """The mask of colours [H, W, 3], which must be shades of one."""
    # Channel by channel: reductions over an axis of three are ten times slower.
    red, green, blue = (colours[..., channel] for channel in range(3))
    half = _full(colours) / 2
    kinds = (red > half) * np.uint8(4) + (green > half) * np.uint8(2) + (blue > half)
    counts = np.bincount(kinds.ravel(), minlength=len(_COLOURS))
    counts[0] = 0
    found = [name for name, count in zip(_COLOURS, counts, strict=True) if count > _STRAY * counts.sum()]
    if len(found) > 1:
        problem = f"the mask holds several colours ({', '.join(found)})"
        raise InputError(field, problem, "save what it marks alone, in white on black")
    return _mask_of_grey(np.maximum(np.maximum(red, green), blue), field)


def _mask_of_grey(values: NDArray[Any], field: str) -> BoolArray:
    marked, numbers = _marked(values), _numbers(values)
    if values.dtype.kind == "f" or len(numbers) < 2:
        return marked
    if not marked.any() or (len(numbers) <= _LISTED and _has_shades(values, numbers)):
        raise _several(values, field)
    return marked


def _has_shades(values: NDArray[Any], numbers: NDArray[Any]) -> bool:
    """Whether several values beside a darkest one have areas. What lossy formats make of black and white is one."""
    if len(numbers) == 2 and (values != 0).all():
        return False
    noise = _full(values) / 32
    white = numbers >= _full(values) - noise
    shades = [number for number in numbers[~white] if number > noise and _has_area(values == number)]
    return len(shades) + int(white.any()) > 1


def _has_area(region: BoolArray) -> bool:
    """Whether a region [H, W] holds 3x3 pixels somewhere, as soft edges do not."""
    return bool(cv2.erode(region.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)).any())


def _of_index(numbers: NDArray[Any], index: int, field: str) -> BoolArray:
    marked: BoolArray = numbers == index
    if not marked.any():
        raise InputError(field, f"nothing in the mask has the index {index}", f"found {_listed(numbers)}")
    return marked


def _several(values: NDArray[Any], field: str) -> InputError:
    problem = f"the mask holds several objects, with the indices {_listed(values)}"
    example = f"mask.png#{int(_numbers(values)[0])}"
    return InputError(field, problem, f"choose one by adding its index to the file's name, for example {example}")


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    """The distinct values but 0, in order."""
    found: NDArray[Any] = np.unique(values)
    numbers: NDArray[Any] = found[found != 0]
    return numbers


def _listed(values: NDArray[Any]) -> str:
    numbers = [str(int(number)) for number in _numbers(values)]
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return ", ".join(numbers[:_LISTED]) + more


def _marked(values: NDArray[Any]) -> BoolArray:
    """Of two values [H, W], one of them 0, the other one; else what exceeds half of their range."""
    two = len(_numbers(values)) == 1 and (values == 0).any()
    marked: BoolArray = values != 0 if two else values > _full(values) / 2
    return marked


def _full(values: NDArray[Any]) -> int:
    """The upper end of the range of values, which the brightest one tells."""
    brightest = values.max()
    return next((top for top in (1, 255) if brightest <= top), 65535)


def size_text(shape: tuple[int, ...]) -> str:
    """Width and height of an array [H, W, ...], in words."""
    return f"{shape[1]}x{shape[0]} pixels"
