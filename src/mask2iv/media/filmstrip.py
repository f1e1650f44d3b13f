"""Filmstrips of several videos, with captions, and labels painted over frames."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mask2iv.contract import LABEL_COLOURS, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import resize_image

_GAP = 4
_CAPTION_HEIGHT = 18
_FONT_SIZE = 13
_PAPER, _INK = (24, 24, 24), (235, 235, 235)


def filmstrip(rows: Sequence[tuple[str, UInt8Array]], max_columns: int = 8) -> UInt8Array:
    """A picture of several videos, one per row.

    Args:
        rows: (caption, uint8 [T, H, W, 3]); T and H, W may differ, frames are resized to the first row's.
        max_columns: frames per row; a longer video gives evenly spaced ones from the first to the last.

    Returns:
        uint8 [H', W', 3]. Each caption is above its row, shortened to the row's width.

    Raises:
        InputError: no rows, a row that is not a video, or no columns.
    """
    if not rows or max_columns < 1:
        raise InputError("rows", f"at least one row and one column are needed, found {len(rows)} and {max_columns}")
    for caption, video in rows:
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
            raise InputError(f"row {caption!r}", f"must be uint8 [T, H, W, 3], found {video.dtype} {list(video.shape)}")
    height, width = rows[0][1].shape[1:3]
    columns = min(max_columns, max(len(video) for _, video in rows))
    row_height = _CAPTION_HEIGHT + height + _GAP
    page = Image.new("RGB", (_GAP + columns * (width + _GAP), len(rows) * row_height), _PAPER)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(_FONT_SIZE)
    for index, (caption, video) in enumerate(rows):
        top = index * row_height
        draw.text((_GAP, top + 1), _shortened(caption, page.width - 2 * _GAP, font), fill=_INK, font=font)
        chosen = np.rint(np.linspace(0, len(video) - 1, min(columns, len(video)))).astype(int)
        for column, frame in enumerate(resize_image(video[chosen], (height, width))):
            page.paste(Image.fromarray(frame), (_GAP + column * (width + _GAP), top + _CAPTION_HEIGHT))
    return np.array(page)


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``text`` on one line of at most ``width`` pixels."""
    text = " ".join(text.split())
    # Of a text with more letters than there are pixels, the rest is not even measured.
    longest = min(len(text), width)
    if longest == len(text) and font.getlength(text) <= width:
        return text
    fits = bisect.bisect_left(
        range(longest), True, key=lambda count: bool(font.getlength(text[: count + 1] + "...") > width)
    )
    return text[:fits] + "..."


def overlay(video: UInt8Array, labels: UInt8Array, alpha: float = 0.5) -> UInt8Array:
    """Paints the label colours over a video; the background is unchanged.

    Args:
        video: uint8 [T, H, W, 3].
        labels: uint8 [T, H, W].
        alpha: share of the label colour, 0 to 1.

    Returns:
        uint8 [T, H, W, 3].
    """
    if video.shape[:3] != labels.shape:
        raise InputError("labels", f"must have the video's shape {list(video.shape[:3])}, found {list(labels.shape)}")
    painted = video.copy()
    on = labels > 0
    painted[on] = np.rint((1 - alpha) * video[on] + alpha * LABEL_COLOURS[labels[on]])
    return painted
