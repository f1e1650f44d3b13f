"""Video files opened for decoding: which stream, when each frame is shown, how it is turned and shaped."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import reason, require_file
from mask2iv.media.images import MAX_IMAGE_PIXELS

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
"""Names of files in a folder that are taken for videos end so, in any case."""

# Formats that count as videos. FFmpeg also "plays" text files, still images and playlists that point at other files.
_CONTAINERS = {
    *("mov", "mp4", "matroska", "webm", "avi", "gif", "apng", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "asf"),
    *("ogg", "h264", "hevc", "mjpeg", "nut", "yuv4mpegpipe", "mxf", "dv", "ivf"),
}
_PICTURES = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_STILL_CODECS = {"mjpeg", "png", "bmp", "gif", "tiff", "webp"}
_TURN_TOLERANCE = 0.01


def is_video_name(path: Path) -> bool:
    """Whether a file's name is a video's. Hidden files, such as the ``._NAME.mp4`` that macOS leaves, are not."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Decoded:
    """One decoded frame.

    Attributes:
        frame: the ``av.VideoFrame``.
        time: seconds from the first frame's time.
        view: how the stored picture is turned and mirrored to be upright.
    """

    frame: Any
    time: float
    view: View


@dataclass(frozen=True)
class View:
    """A turn by a quarter and mirrors: transposed first, then flipped."""

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def upright(self, picture: UInt8Array) -> UInt8Array:
        """The stored picture, uint8 [H, W, 3], as it is to be seen."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the upright picture."""
        return (width, height) if self.transposed else (height, width)


@dataclass(frozen=True)
class VideoStream:
    """The video stream of an open file.

    Attributes:
        path, field: the file, and the name of the input in messages.
        container, stream: of PyAV.
        rate: frame rate that the file states, which need not be that of its time stamps; None if it states none.
        pixel_aspect: width of a stored pixel by its height.
    """

    path: Path
    field: str
    container: Any
    stream: Any
    rate: float | None
    pixel_aspect: Fraction

    def frames(self, since: float | None = None) -> Iterator[Decoded]:
        """The frames in the order they are shown.

        Args:
            since: those shown from this time on, and with times as the file stamps them; None: all, the first at 0.

        Raises:
            InputError: the file is damaged, its frame size changes, or it states neither times nor a rate.
        """
        start = None if since is None else 0.0
        first: tuple[int, int] | None = None
        view = View()
        for index, frame in enumerate(self._decoded(since)):
            size = frame.height, frame.width
            if first is None:
                # Of the first frame alone: a frame that was asked for its side data is part of a ring of references,
                # and its picture stays in memory until the garbage collector comes by.
                first, view = size, _view(frame, self.field, self.path)
            if size != first:
                raise size_changed(self.field, self.path, first, size)
            if frame.pts is not None:
                start = frame.time if start is None else start
                time = frame.time - start
            elif self.rate:
                # A stream without a container has no time stamps.
                time = index / self.rate
            else:
                raise InputError(self.field, f"{self.path} does not state a frame rate", "re-encode it with one")
            yield Decoded(frame, time, view)

    def mean_rate(self, times: Sequence[float]) -> float:
        """Frames per second of the given time stamps; for a single one, the rate that the file states.

        Raises:
            InputError: there is neither.
        """
        if len(times) > 1 and times[-1] > times[0]:
            return (len(times) - 1) / (times[-1] - times[0])
        if not self.rate:
            raise InputError(self.field, f"{self.path} does not state a frame rate", "re-encode it with one")
        return self.rate

    def square_size(self, decoded: Decoded) -> tuple[int, int]:
        """(H, W) of an upright frame in square pixels: as many lines as stored, as players show it."""
        height, width = decoded.frame.height, max(1, round(decoded.frame.width * self.pixel_aspect))
        self.check_pixels(height, width)
        return decoded.view.size(height, width)

    def check_pixels(self, height: int, width: int) -> None:
        """Raises InputError for a frame above :data:`MAX_IMAGE_PIXELS`."""
        if height * width > MAX_IMAGE_PIXELS:
            raise InputError(
                self.field, f"a frame of {self.path} has more than {MAX_IMAGE_PIXELS // 1_000_000} megapixels"
            )

    def stamps(self, since: float) -> Iterator[tuple[float, float]]:
        """When the frames are shown, and when they are decoded, in the order they are stored; nothing is decoded.

        They begin at the key frame before ``since``.
        """
        self._seek(since)
        for packet in self.container.demux(self.stream):
            if packet.pts is not None:
                decoded_at = packet.pts if packet.dts is None else packet.dts
                yield float(packet.pts * packet.time_base), float(decoded_at * packet.time_base)

    def all_stamps(self) -> list[float] | None:
        """When the frames are shown, rising; nothing is decoded. None: the container does not say, or says it of frames
        that are not shown."""
        times = []
        for packet in self.container.demux(self.stream):
            if packet.size and (packet.pts is None or packet.is_discard or packet.is_corrupt):
                return None
            if packet.size:
                times.append(float(packet.pts * packet.time_base))
        return sorted(times) if times and len(set(times)) == len(times) else None

    def _seek(self, since: float) -> None:
        if since > 0:
            self.container.seek(int(since / self.stream.time_base), stream=self.stream)

    def _decoded(self, since: float | None) -> Iterator[Any]:
        if since is not None:
            self._seek(since)
        for packet in self.container.demux(self.stream):
            for frame in packet.decode():
                if since is not None and frame.pts is not None and frame.time < since:
                    continue
                if packet.is_corrupt or frame.is_corrupt:
                    raise InputError(self.field, f"{self.path} is damaged or truncated", "re-encode or copy it again")
                yield frame


@contextmanager
def open_stream(path: Path, field: str, content: bytes | None = None) -> Iterator[VideoStream]:
    """Opens the best video stream of a file; errors of decoding within the block become errors of the file.

    Args:
        path, field: the file, and the name of the input in messages.
        content: the file's bytes, where they lie within another file; ``path`` only names them then.

    Raises:
        InputError: missing, not a video, without a video stream, truncated, or with frames above
            :data:`MAX_IMAGE_PIXELS`.
    """
    if content is None:
        require_file(path, field)
    source = os.path.abspath(path) if content is None else io.BytesIO(content)
    try:
        with av.open(source, metadata_errors="replace") as container:
            if not _CONTAINERS & set(container.format.name.split(",")):
                raise InputError(
                    field, f"{path} is not a video", "use mp4, mov, mkv, webm, avi, gif or a similar format"
                )
            stream = _best(container)
            if stream is None:
                raise InputError(field, f"{path} has no video stream, or is truncated", "copy it again")
            stream.codec_context.thread_count = _threads()
            rate = stream.average_rate or stream.guessed_rate
            found = VideoStream(
                path, field, container, stream, float(rate) if rate else None, stream.sample_aspect_ratio or Fraction(1)
            )
            found.check_pixels(stream.codec_context.height, stream.codec_context.width)
            yield found
    except (av.FFmpegError, OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(field, f"{path} cannot be read as a video, or is truncated: {reason(error)}") from error


def _threads() -> int:
    """Threads of a decoder: as many as the environment allows this process, 0 for one per core."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() else 0


def _best(container: Any) -> Any:
    """The stream that players show: no cover; if possible of a codec for videos, a default one; the largest."""
    decodable = (stream for stream in container.streams.video if stream.codec_context)
    streams = [stream for stream in decodable if not stream.disposition & _PICTURES]
    return max(
        streams,
        key=lambda stream: (
            stream.codec_context.name not in _STILL_CODECS and stream.frames != 1,
            bool(stream.disposition & Disposition.default),
            stream.codec_context.width * stream.codec_context.height,
        ),
        default=None,
    )


def _view(frame: Any, field: str, path: Path) -> View:
    """The turn and mirrors of a frame's display matrix."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return View()
    # Fixed point; a stored pixel at column p, row q is shown at column a p + c q, row b p + d q, both plus an offset.
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32).astype(np.float64) / (1 << 16)
    largest = max(abs(a), abs(b), abs(c), abs(d))
    straight, crossed = max(abs(b), abs(c)), max(abs(a), abs(d))
    if min(straight, crossed) > _TURN_TOLERANCE * largest or not largest:
        raise InputError(
            field,
            f"{path} is to be shown turned by {round(float(np.degrees(np.arctan2(b, a))))} degrees",
            "only quarter turns and mirrors can be applied: re-encode it upright",
        )
    if straight < crossed:
        return View(False, d < 0, a < 0)
    return View(True, b < 0, c < 0)


def size_changed(field: str, path: Path, first: tuple[int, ...], other: tuple[int, ...]) -> InputError:
    """The error of a video whose frames are not of one (H, W)."""
    return InputError(
        field,
        f"{path} changes its frame size from {first[1]}x{first[0]} to {other[1]}x{other[0]}",
        "use frames of one size",
    )
