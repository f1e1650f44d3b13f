"""Reading and writing of videos; the only module that uses video codecs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, numbered_files, reason, require_file
from mask2iv.media.images import IMAGE_SUFFIXES, MAX_IMAGE_PIXELS, read_image

MAX_VIDEO_PIXELS = 1_000_000_000
"""Most pixels of a video over all its frames (3 GB as an array): 480 frames of 1920x1080."""
FOLDER_FPS = 8.0
"""Frame rate reported for a folder of frames, which does not state one."""

# Formats that count as videos. FFmpeg also "plays" text files, still images and playlists that point at other files.
_CONTAINERS = {
    *("mov", "mp4", "matroska", "webm", "avi", "gif", "apng", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "asf"),
    *("ogg", "h264", "hevc", "mjpeg", "nut", "yuv4mpegpipe", "mxf", "dv", "ivf"),
}


def read_video(
    path: str | os.PathLike[str], max_frames: int | None = None, field: str = "video"
) -> tuple[UInt8Array, float]:
    """A video as (uint8 [T, H, W, 3], frames per second), upright by its rotation metadata.

    Args:
        path: a video or GIF file, or a folder of numbered images (with rate :data:`FOLDER_FPS`).
        max_frames: read at most this many, from the start.
        field: name of the input in messages.

    Raises:
        InputError: missing, truncated, without frames, not a video, frames of different sizes, or more than
            :data:`MAX_VIDEO_PIXELS` pixels in all.
    """
    path = Path(path)
    if max_frames is not None and max_frames < 1:
        raise InputError("max_frames", f"must be at least 1, found {max_frames}")
    if os.path.isdir(path):
        paths = numbered_files(path, IMAGE_SUFFIXES)[:max_frames]
        return _collect((read_image(frame, field) for frame in paths), field, path, None), FOLDER_FPS
    require_file(path, field)
    try:
        with av.open(os.path.abspath(path)) as container:
            if not _CONTAINERS & set(container.format.name.split(",")):
                raise InputError(
                    field, f"{path} is not a video", "use mp4, mov, mkv, webm, avi, gif or a similar format"
                )
            if not container.streams.video:
                raise InputError(field, f"{path} has no video stream, or is truncated", "copy it again")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_IMAGE_PIXELS:
                raise InputError(field, f"a frame of {path} has more than {MAX_IMAGE_PIXELS // 1_000_000} megapixels")
            rate = stream.average_rate or stream.guessed_rate
            frames = _collect(_decoded(container, stream, field, path), field, path, max_frames)
    except (av.FFmpegError, OSError, EOFError) as error:
        raise InputError(field, f"{path} cannot be read as a video, or is truncated: {reason(error)}") from error
    if not rate:
        raise InputError(field, f"{path} does not state a frame rate", "re-encode it with one")
    return frames, float(rate)


def _decoded(container: Any, stream: Any, field: str, path: Path) -> Iterator[UInt8Array]:
    """Upright frames, uint8 [H, W, 3]."""
    for packet in container.demux(stream):
        for frame in packet.decode():
            if packet.is_corrupt or frame.is_corrupt:
                raise InputError(field, f"{path} is damaged or truncated", "re-encode or copy it again")
            # The metadata says how far to turn the stored picture counterclockwise.
            yield np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90) % 4)


def _collect(frames: Iterator[UInt8Array], field: str, path: Path, max_frames: int | None) -> UInt8Array:
    """Stacks frames into uint8 [T, H, W, 3]."""
    kept: list[UInt8Array] = []
    for frame in frames:
        if kept and frame.shape != kept[0].shape:
            raise InputError(
                field,
                f"{path} changes its frame size from {_wh(kept[0])} to {_wh(frame)}",
                "use frames of one size",
            )
        if (len(kept) + 1) * frame.shape[0] * frame.shape[1] > MAX_VIDEO_PIXELS:
            raise InputError(
                field,
                f"{path} has more than the {MAX_VIDEO_PIXELS:,} pixels accepted ({len(kept)} frames of {_wh(frame)} "
                "fit)",
                "shorten or shrink it",
            )
        kept.append(frame)
        if len(kept) == max_frames:
            break
    if not kept:
        raise InputError(field, f"{path} has no frames")
    return np.stack(kept)


def _wh(frame: UInt8Array) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"


def write_video(
    path: str | os.PathLike[str],
    frames: UInt8Array,
    fps: float,
    crf: int = 18,
    pixel_format: Literal["yuv420p", "yuv444p"] = "yuv420p",
) -> None:
    """Writes an H.264 mp4 (BT.709, index up front), atomically; same frames, same bytes.

    Every browser plays ``yuv420p``. It halves the colour resolution and needs even sides: an odd side is padded by
    repeating its last row or column, so the file is up to one pixel taller and wider than ``frames``. ``yuv444p`` keeps
    size and colour, for storage; some players refuse it.

    Args:
        path: must end in ``.mp4``.
        frames: uint8 [T, H, W, 3].
        fps: frames per second, 0.01 to 1000.
        crf: quality, 1 (best) to 51.
        pixel_format: see above.

    Raises:
        InputError: an argument out of its range, or ``path`` cannot be written.
    """
    if Path(path).suffix.lower() != ".mp4":
        raise InputError(str(path), "a video file's name must end in .mp4")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError("frames", f"must be uint8 [T, H, W, 3], not empty, found {frames.dtype} {list(frames.shape)}")
    if not 0.01 <= fps <= 1000:
        raise InputError("fps", f"must be between 0.01 and 1000, found {fps}")
    if not 1 <= crf <= 51:
        raise InputError("crf", f"must be between 1 and 51, found {crf}")
    if pixel_format == "yuv420p":
        frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    with atomic_write(path) as temporary:
        try:
            _encode(temporary, frames, Fraction(fps).limit_denominator(1001), crf, pixel_format)
        except av.FFmpegError as error:
            raise InputError(str(path), f"this video cannot be written: {reason(error)}") from error


def _encode(path: Path, frames: UInt8Array, rate: Fraction, crf: int, pixel_format: str) -> None:
    # Same frames, same bytes: bit-exact muxing leaves out the library's version, and one thread fixes the order of
    # decisions. No B-frames: with them x264 reads uninitialised memory, and its output depends on it.
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "bf": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.thread_count = 1
        # Without these tags a player guesses the colour matrix from the picture's size.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace="ITU709", interpolation="AREA")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
