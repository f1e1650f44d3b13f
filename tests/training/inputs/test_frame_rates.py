"""The frame rate that a stage is told in training, by the official rule and by the clip's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.contract import Clip, Trajectory
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.frame_rates import frame_rates


def clip_set(folder: Path, sources: list[Any]) -> ClipMemory:
    """Clips of 16 frames at 5 fps that say what they were cut from, or nothing."""
    labels = np.zeros((16, 32, 32), dtype=np.uint8)
    labels[:, 4:12, 4:12] = 2
    plain = Clip("clip", np.zeros((16, 32, 32, 3), np.uint8), Trajectory(labels, 5.0), "a hand", "", "", "hand")
    with ClipSetWriter(folder, (32, 32), 16, 5.0, {}) as writer:
        for index, source in enumerate(sources):
            extra = {} if source is None else {"source_frames": source}
            writer.add(replace(plain, clip_id=f"clip-{index}", metadata=extra))
    return ClipMemory(ClipSet(folder), (32, 32), 16)


def test_the_official_rule_divides_15_by_the_stride(tmp_path: Path) -> None:
    """15 // (n // 16): 16 to 31 frames 15, 32 to 47 frames 7, 48 frames 5, 50 frames 5, 300 frames 15 // 18 = 0."""
    spread = [0, 3, 5, 8, 10, 13, 16, 18, 21, 23, 26, 29, 31, 34, 36, 49]  # 50 frames from first to last
    clips = clip_set(tmp_path / "clips", [16, 31, 32, 47, 48, 300, 12, spread, [n + 100 for n in spread], None])
    assert frame_rates(clips, "source-frames", 15.0) == [15, 15, 7, 7, 5, 0, 15, 5, 5, 5.0]  # the last: its own 5 fps
    assert frame_rates(clips, "clip", 15.0) == [5.0] * 10


def test_unusable_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clip clip-1: its source_frames must be frame indices or their number"):
        frame_rates(clip_set(tmp_path / "clips", [16, "all"]), "source-frames", 15.0)
