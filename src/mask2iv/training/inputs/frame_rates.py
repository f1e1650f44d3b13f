"""The number that a stage gets as a clip's frame rate."""

from __future__ import annotations

from typing import Any

from mask2iv.errors import InputError
from mask2iv.recipes.types import FrameRate
from mask2iv.training.inputs.clips import ClipMemory


def frame_rates(clips: ClipMemory, rule: FrameRate, fps: float) -> list[float]:
    """One number per clip.

    Args:
        clips: clips brought to T frames.
        rule: "clip": frames per second of these T frames. "source-frames", as in the official code: ``fps // (n // T)``
            for a clip that spans n frames of its source video (fewer than T count as T; 0 where n // T exceeds
            ``fps``), whatever that video's rate. n is taken from the clip's metadata ``source_frames``, the indices
            of its frames or their number; a clip that does not say it has its frames per second.
        fps: the number that the network gets in generation; in the official code 15.

    Raises:
        InputError: a clip's ``source_frames`` is neither indices nor a number.
    """
    length = clips.dataset.num_frames
    rate = clips.clips.fps * (length - 1) / max(clips.clips.num_frames - 1, 1)
    if rule == "clip":
        return [rate] * len(clips)
    spans = [_span(row["clip_id"], row.get("metadata", {}).get("source_frames")) for row in clips.clips.rows]
    return [rate if span is None else float(fps // max(span // length, 1)) for span in spans]


def _span(clip_id: str, frames: Any) -> int | None:
    """Frames of the source video from a clip's first to its last."""
    if frames is None:
        return None
    if isinstance(frames, list) and frames and all(type(index) is int for index in frames):
        return int(max(frames) - min(frames) + 1)
    if type(frames) is int and frames > 0:
        return frames
    raise InputError(
        f"clip {clip_id}", f"its source_frames must be frame indices or their number, found {frames!r}", "write it anew"
    )
