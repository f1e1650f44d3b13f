"""Videos encoded frame by frame: same frames, same bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from mask2iv.contract import UInt8Array

_AV1_ENCODER = "libsvtav1"
_AV1_LEAST = 64
"""Least side that the AV1 encoder takes."""
_BT709, _BT601 = 1, 6
"""Code points of ITU-T H.273 for matrix, transfer and primaries."""


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded.

    Attributes:
        codec: name of FFmpeg's encoder.
        pixel_format: "yuv420p" needs even sides.
        options: of the encoder.
        bt601: with the colour matrix of standard definition, which programs that ignore a file's tags take for small
            pictures; else BT.709.
    """

    codec: str
    pixel_format: str
    options: Mapping[str, str]
    bt601: bool = False

    @staticmethod
    def h264(crf: int, pixel_format: str, keyframes: int | None = None) -> Encoding:
        """H.264; ``keyframes`` is the distance between frames that are decoded by themselves."""
        # No B-frames: with them x264 reads uninitialised memory, and its output depends on it. Unless it is told to be
        # independent of the processor, it rounds in another way on each kind of them.
        options = {"crf": str(crf), "bf": "0", "x264-params": "cpu-independent=1"}
        return Encoding("libx264", pixel_format, options | ({} if keyframes is None else {"g": str(keyframes)}))

    @staticmethod
    def av1(crf: int, keyframes: int) -> Encoding:
        """AV1 by SVT, one thread; see :func:`takes_av1`."""
        # The library prints its settings unless it is told to print errors alone.
        os.environ.setdefault("SVT_LOG", "1")
        options = {"crf": str(crf), "g": str(keyframes), "preset": "8", "svtav1-params": "lp=1"}
        return Encoding(_AV1_ENCODER, "yuv420p", options)


@cache
def _has_av1() -> bool:
    try:
        av.codec.Codec(_AV1_ENCODER, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


def takes_av1(size: tuple[int, int]) -> bool:
    """Whether pictures of this size (H, W) can be encoded as AV1 here, without a border."""
    return _has_av1() and all(side >= _AV1_LEAST and side % 2 == 0 for side in size)


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """Takes back the real-time priority that SVT-AV1 gives the whole process where it may, as root.

    Whatever the process starts would inherit it, and two busy programs of such a priority stop a machine of two cores.
    """
    threads = Path("/proc/self/task")
    if not (hasattr(os, "sched_getscheduler") and threads.is_dir()):  # not Linux
        yield
        return
    before = {}
    for number in _numbers(threads):
        with suppress(ProcessLookupError):  # it may have ended
            before[number] = os.sched_getscheduler(number), os.sched_getparam(number)
    try:
        yield
    finally:
        own = before[threading.get_native_id()]
        for number in _numbers(threads):
            with suppress(ProcessLookupError):
                os.sched_setscheduler(number, *before.get(number, own))


def _numbers(folder: Path) -> list[int]:
    return [int(entry.name) for entry in folder.iterdir()]


class Encoder:
    """Writes an mp4 file (index up front) frame by frame; use as a context manager.

    Args:
        path: the file.
        size: (H, W) of the frames.
        rate: frames per second.
        encoding: how.
        comment: text for the file's metadata.

    Attributes:
        size: bytes of the pictures so far.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], rate: Fraction, encoding: Encoding, comment: str | None = None
    ) -> None:
        # Same frames, same bytes: bit-exact muxing leaves out the library's version, and one thread fixes the order of
        # decisions.
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._container: Any = av.open(str(path), "w", format="mp4", options=options)
        if comment is not None:
            self._container.metadata["comment"] = comment
        stream: Any = self._container.add_stream(encoding.codec, rate=rate, options=dict(encoding.options))
        stream.height, stream.width = size
        stream.pix_fmt = self._format = encoding.pixel_format
        self.size = 0
        self._stream, context = stream, stream.codec_context
        context.thread_count = 1
        # Without these tags a player guesses the colour matrix from the picture's size.
        context.colorspace = context.color_primaries = context.color_trc = _BT601 if encoding.bt601 else _BT709
        self._matrix = "ITU601" if encoding.bt601 else "ITU709"
        context.color_range = 1
        with _scheduled_as_before():
            self._container.start_encoding()

    def add(self, frames: UInt8Array) -> None:
        """Encodes uint8 [T, H, W, 3]."""
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=self._format, dst_colorspace=self._matrix, interpolation="AREA")
            self._mux(frame)

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self.size += packet.size
            self._container.mux(packet)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._mux(None)
        finally:
            self._container.close()
