"""Videos as cameras and programs write them: with times, shapes, turns, colours and streams of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mask2iv.contract import UInt8Array

UNSAID = 2
"""The number of H.273 for what a file does not say."""


@dataclass(frozen=True)
class Tags:
    """Colour tags by their numbers in H.273; ``sws_matrix`` is the matrix that is really used, by those of swscale."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False
    sws_matrix: int = 1


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    times: Sequence[float] | None = None,
    rate: int = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv444p",
    tags: Tags | None = None,
    pixel_aspect: Fraction | None = None,
    display_matrix: Sequence[float] | None = None,
    cover: UInt8Array | None = None,
) -> Path:
    """Writes a video.

    Args:
        path: its name says the container.
        frames: [T, H, W, 3], uint8 or uint16 (then 10 bits or more are kept, by `pix_fmt`).
        times: seconds of each frame; default: by `rate`.
        display_matrix: a, b, c, d: a stored pixel at column p, row q is shown at column a p + c q, row b p + d q.
        cover: a picture that becomes the first stream.
    """
    tags = tags or Tags()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if cover is not None:
            picture: Any = container.add_stream("mjpeg", rate=rate)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if codec == "libx264":
            stream.options = {"crf": "4", "bf": "0"}
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = tags.matrix, tags.primaries, tags.transfer
        context.color_range = 2 if tags.full_range else 1
        context.time_base = Fraction(1, 1000 * rate)
        if pixel_aspect is not None:
            context.sample_aspect_ratio = pixel_aspect
        if display_matrix is not None:
            a, b, c, d = (round(value * (1 << 16)) for value in display_matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if cover is not None:
            still = av.VideoFrame.from_ndarray(cover, format="rgb24").reformat(format="yuvj420p")
            container.mux(picture.encode(still))
            container.mux(picture.encode(None))
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24" if frames.dtype == np.uint8 else "rgb48le")
            frame = frame.reformat(
                format=pix_fmt, dst_colorspace=tags.sws_matrix, dst_color_range=2 if tags.full_range else 1
            )
            time = index / rate if times is None else times[index]
            frame.pts, frame.time_base = round(time * 1000 * rate), Fraction(1, 1000 * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
