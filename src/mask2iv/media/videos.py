"""Reading and writing of videos; with its neighbours here the only place that uses video codecs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, numbered_files, reason
from mask2iv.media.colour import to_srgb
from mask2iv.media.encoding import Encoder, Encoding
from mask2iv.media.images import IMAGE_SUFFIXES, read_image, resize_image
from mask2iv.media.streams import open_stream, size_changed

MAX_VIDEO_PIXELS = 1_000_000_000
"""Most pixels kept of a video over all its frames (3 GB as an array): 480 frames of 1920x1080."""
_SAME_TIME = 1e-3
FOLDER_FPS = 8.0
"""Frame rate reported for a folder of frames, which does not state one."""


class Video(NamedTuple):
    """A video in memory.

    Attributes:
        frames: uint8 [T, H, W, 3].
        fps: mean frame rate.
        times: float64 [T], when each frame is shown: seconds from the first.
    """

    frames: UInt8Array
    fps: float
    times: NDArray[np.float64]


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file, without its frames.

    Attributes:
        times: float64 [T], when each frame is shown: seconds from the first.
        fps: mean frame rate.
        size: (H, W) upright, in square pixels: as :func:`read_frames` gives frames.
        stored_size: (H, W) upright, in pixels as stored; another one where these are not square.
    """

    times: NDArray[np.float64]
    fps: float
    size: tuple[int, int]
    stored_size: tuple[int, int]


def read_video(
    path: str | os.PathLike[str], max_frames: int | None = None, field: str = "video", content: bytes | None = None
) -> Video:
    """A whole video, upright and in square pixels, in sRGB (:mod:`mask2iv.media.colour`).

    Args:
        path: a video or GIF file, or a folder of numbered images (with rate :data:`FOLDER_FPS`).
        max_frames: read at most this many, from the start.
        field: name of the input in messages.
        content: the file's bytes, where they lie within another file; ``path`` only names them then.

    Raises:
        InputError: missing, truncated, without frames, not a video, frames of different sizes, colours that cannot be
            converted, or more than :data:`MAX_VIDEO_PIXELS` pixels in all.
    """
    path = Path(path)
    if max_frames is not None and max_frames < 1:
        raise InputError("max_frames", f"must be at least 1, found {max_frames}")
    if content is None and os.path.isdir(path):
        paths = numbered_files(path, IMAGE_SUFFIXES)[:max_frames]
        frames = _collected((read_image(frame, field) for frame in paths), field, path)
        return Video(frames, FOLDER_FPS, np.arange(len(frames)) / FOLDER_FPS)
    times: list[float] = []

    def pictures() -> Iterator[UInt8Array]:
        for decoded in file.frames():
            times.append(decoded.time)
            picture = decoded.view.upright(to_srgb(decoded.frame, field, path))
            yield resize_image(picture, file.square_size(decoded))
            if len(times) == max_frames:
                return

    with open_stream(path, field, content) as file:
        frames = _collected(pictures(), field, path)
    return Video(frames, file.mean_rate(times), np.array(times))


def scan_video(path: str | os.PathLike[str], field: str = "video") -> VideoInfo:
    """Properties of a video file: every frame is decoded, none is kept.

    Raises:
        InputError: missing, truncated, without frames, not a video, frames of different sizes, or times that run
            backwards.
    """
    path = Path(path)
    times: list[float] = []
    size = stored_size = (0, 0)
    with open_stream(path, field) as file:
        for decoded in file.frames():
            if not times:
                size = file.square_size(decoded)
                stored_size = decoded.view.size(decoded.frame.height, decoded.frame.width)
            elif decoded.time < times[-1]:
                raise InputError(
                    field, f"the time stamps of {path} run backwards at frame {len(times)}", "re-encode it"
                )
            times.append(decoded.time)
    if not times:
        raise InputError(field, f"{path} has no frames")
    return VideoInfo(np.array(times), file.mean_rate(times), size, stored_size)


def scan_stamps(path: str | os.PathLike[str], field: str = "video") -> VideoInfo:
    """Properties of a video file by the time stamps of its container: one frame is decoded.

    Give the times to :func:`read_frames`, which finds out where frames do not keep them. Files without stamps that can
    be trusted are decoded (:func:`scan_video`).

    Raises:
        InputError: see :func:`scan_video`; damage within the file is not seen.
    """
    path = Path(path)
    with open_stream(path, field) as file:
        first = next(file.frames(), None)
        if first is None:
            raise InputError(field, f"{path} has no frames")
        size, stored = file.square_size(first), first.view.size(first.frame.height, first.frame.width)
    with open_stream(path, field) as file:
        stamps = file.all_stamps()
        if stamps is None:
            return scan_video(path, field)
        times = np.array(stamps) - stamps[0]
        return VideoInfo(times, file.mean_rate(times.tolist()), size, stored)


def read_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int],
    size: tuple[int, int],
    field: str = "video",
    times: NDArray[np.float64] | None = None,
) -> UInt8Array:
    """Some frames of a video file, resized as they are decoded: no other frame is kept.

    Args:
        path: the file.
        indices: of the frames, rising.
        size: (H, W) of the result.
        field: name of the input in messages.
        times: of all frames, as :func:`scan_stamps` found them.

    Returns:
        uint8 [len(indices), H, W, 3], upright, in sRGB.

    Raises:
        InputError: see :func:`read_video`; the pixels kept are counted. Or a frame is shown at another time.
    """
    path = Path(path)
    check_kept_pixels(path, len(indices), size, field)
    kept = np.empty((len(indices), *size, 3), dtype=np.uint8)
    for row, picture in enumerate(stored_frames(path, indices, field, times)):
        kept[row] = resize_image(picture, size)
    return kept


def stored_frames(
    path: Path, indices: Sequence[int], field: str, times: NDArray[np.float64] | None = None
) -> Iterator[UInt8Array]:
    """Some frames of a video file one by one, uint8 [H, W, 3], upright, in sRGB, in pixels as stored.

    Args:
        path: the file.
        indices: of the frames, rising.
        field: name of the input in messages.
        times: see :func:`read_frames`.

    Raises:
        InputError: the file cannot be read, has fewer frames, or a frame is shown at another time.
    """
    missing = list(indices)
    with open_stream(path, field) as file:
        for index, decoded in enumerate(file.frames()):
            if not missing:
                return
            if index == missing[0]:
                del missing[0]
                if times is not None and abs(decoded.time - times[index]) > _SAME_TIME:
                    raise InputError(
                        field, f"frame {index} of {path} is not shown when the file's time stamps say", "re-encode it"
                    )
                yield decoded.view.upright(to_srgb(decoded.frame, field, path))
    if missing:
        raise InputError(field, f"{path} has no frame {missing[0]}")


def check_kept_pixels(path: Path, count: int, size: tuple[int, int], field: str) -> None:
    """Raises InputError where this many frames of ``size`` (H, W) are more than :data:`MAX_VIDEO_PIXELS`."""
    if count * size[0] * size[1] > MAX_VIDEO_PIXELS:
        raise _too_many_pixels(field, path, MAX_VIDEO_PIXELS // (size[0] * size[1]), size)


def _collected(frames: Iterable[UInt8Array], field: str, path: Path) -> UInt8Array:
    """Stacks frames of one size into uint8 [T, H, W, 3]."""
    # One buffer that grows in place: a list of frames would need their memory twice.
    pixels = bytearray()
    first: tuple[int, ...] = ()
    for frame in frames:
        first = first or frame.shape
        if frame.shape != first:
            raise size_changed(field, path, first, frame.shape)
        if (len(pixels) + frame.size) // 3 > MAX_VIDEO_PIXELS:
            raise _too_many_pixels(field, path, len(pixels) // frame.size, first)
        pixels += np.ascontiguousarray(frame).data
    if not pixels:
        raise InputError(field, f"{path} has no frames")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, *first)


def _too_many_pixels(field: str, path: Path, fit: int, size: tuple[int, ...]) -> InputError:
    return InputError(
        field,
        f"{path} has more than the {MAX_VIDEO_PIXELS:,} pixels accepted ({fit} frames of {size[1]}x{size[0]} fit)",
        "shorten or shrink it",
    )


def read_comment(path: str | os.PathLike[str], field: str = "video") -> str | None:
    """The comment in a video file's metadata, unchanged: untrusted text if the file is not one's own.

    Raises:
        InputError: missing, or not a video.
    """
    with open_stream(Path(path), field) as file:
        comment: str | None = file.container.metadata.get("comment")
        return comment


def write_video(
    path: str | os.PathLike[str],
    frames: UInt8Array,
    fps: float,
    crf: int = 18,
    pixel_format: Literal["yuv420p", "yuv444p"] = "yuv420p",
    comment: str | None = None,
) -> None:
    """Writes an H.264 mp4 (BT.709, index up front), atomically; same frames and comment, same bytes.

    Every browser plays ``yuv420p``. It halves the colour resolution and needs even sides: an odd side is padded by
    repeating its last row or column, so the file is up to one pixel taller and wider than ``frames``. ``yuv444p`` keeps
    size and colour, for storage; some players refuse it.

    Args:
        path: must end in ``.mp4``.
        frames: uint8 [T, H, W, 3].
        fps: frames per second, 0.01 to 1000.
        crf: quality, 1 (best) to 51.
        pixel_format: see above.
        comment: text for the file's metadata, see :func:`read_comment`.

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
            rate, encoding = Fraction(fps).limit_denominator(1001), Encoding.h264(crf, pixel_format)
            with Encoder(temporary, (frames.shape[1], frames.shape[2]), rate, encoding, comment) as encoder:
                encoder.add(frames)
        except av.FFmpegError as error:
            raise InputError(str(path), f"this video cannot be written: {reason(error)}") from error
