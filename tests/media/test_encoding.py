"""Same frames, same bytes: on any processor, in any process, however busy the machine is."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from mask2iv.contract import UInt8Array
from mask2iv.media.encoding import Encoder, Encoding, takes_av1

KINDS = {"clips": (8, "yuv444p"), "results": (18, "yuv420p")}


def pictures() -> UInt8Array:
    """Blurred patches that drift at different speeds, with noise, uint8 [12, 64, 96, 3]."""
    random = np.random.default_rng(0)
    patches = cv2.resize(random.integers(0, 256, (20, 30, 3), dtype=np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([np.roll(patches, (frame, 2 * frame), (0, 1))[:64, :96] for frame in range(12)])
    frames[:, 20:40, 30:60] = patches[:20, :30]
    return np.clip(frames + random.normal(0, 3, frames.shape), 0, 255).astype(np.uint8)


def encoded(folder: Path, name: str, encoding: Encoding) -> bytes:
    with Encoder(folder / name, (64, 96), Fraction(8), encoding) as encoder:
        encoder.add(pictures())
    return (folder / name).read_bytes()


def encode_elsewhere(folder: Path, number: int) -> bytes:
    """In another process, after other work than its neighbours have done."""
    used = [np.full(10_000 * (number + 1), 31 * number, np.uint8) for _ in range(number + 1)]
    del used
    return encoded(folder, f"{number}.mp4", Encoding.h264(*KINDS["clips"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("instructions", ["0", "SSE2", "SSE2,SSSE3,SSE4.2"])
def test_a_processor_without_newer_instructions_gives_the_same_bytes(
    instructions: str, kind: str, tmp_path: Path
) -> None:
    encoding = Encoding.h264(*KINDS[kind])
    options = dict(encoding.options)
    options["x264-params"] += f":asm={instructions}"
    assert encoded(tmp_path, "other.mp4", replace(encoding, options=options)) == encoded(tmp_path, "a.mp4", encoding)


def test_other_processes_at_the_same_time_give_the_same_bytes(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(encode_elsewhere, [tmp_path] * 8, range(8)))
    assert set(found) == {encoded(tmp_path, "here.mp4", Encoding.h264(*KINDS["clips"]))}


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="schedulers are Linux's")
@pytest.mark.skipif(not takes_av1((64, 96)), reason="FFmpeg without SVT-AV1")
def test_av1_leaves_the_process_no_real_time_priority(tmp_path: Path) -> None:
    encoded(tmp_path, "av1.mp4", Encoding.av1(30, 4))
    policies = {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}
