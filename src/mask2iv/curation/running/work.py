"""From one recording to its clips: what a worker does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.curation.running.finding import Finder, Found
from mask2iv.curation.running.ledger import digest_of, mask_files, said_of, size_of
from mask2iv.curation.running.outcomes import Finished, Kept, LeftOut, Outcome
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.selection import check_gates, motion_score
from mask2iv.curation.sources.footage import frames_between
from mask2iv.curation.sources.interfaces import Habits, Recording, Segment
from mask2iv.data.folder import choose_frames
from mask2iv.data.index import clip_row
from mask2iv.data.store import write_clip_files
from mask2iv.errors import InputError
from mask2iv.media.filmstrip import overlay
from mask2iv.media.fitting import fit_clip, reduced_size
from mask2iv.media.images import encode_jpeg, resize_image, resize_mask
from mask2iv.media.videos import VideoInfo

REJECTED = "rejected"
"""Folder of the pictures of clips that are left out."""
_STRIP = (4, 96)
"""Frames and height of such a picture."""


@dataclass(frozen=True)
class Chore:
    """A recording, and the name that its clips begin with."""

    recording: Recording
    clip_id: str


def begin(config: CurationConfig, habits: Habits) -> Callable[[Chore], Finished]:
    """A worker, with its models loaded.

    Raises:
        InputError: a model cannot be loaded.
    """
    return partial(make_clips, config, Finder(config.finding, habits))


def make_clips(config: CurationConfig, finder: Finder, chore: Chore) -> Finished:
    """The clips of one recording. Its pictures are decoded once, at about the clips' size.

    Raises:
        InputError: it cannot be read.
    """
    recording = chore.recording
    files, masks = recording.footage.files, mask_files(recording)
    outcome: Outcome = {
        "recording": recording.name,
        "bytes": sum(map(size_of, (*files, *masks))),
        "sha256": digest_of(files),
        "masks": digest_of(masks),
        "said": said_of(recording),
        "kept": [],
        "left_out": [],
    }
    finished = Finished(outcome, {})
    info = recording.footage.scan(whole=False)
    parts: list[_Part] = []
    for segment in recording.segments:
        name = "-".join(part for part in (chore.clip_id, segment.key) if part)
        try:
            parts.append(_part(segment, name, info, config))
        except _LeaveOut as why:
            outcome["left_out"].append(why.entry(name))
    if parts:
        needed = sorted({index for part in parts for index in part.needed})
        cut = config.cut
        size = reduced_size(info.size, cut.size, cut.fit, cut.fit_scale or 1.0)
        video = recording.footage.read(needed, size, info)
        for part in parts:
            rows = np.searchsorted(needed, part.needed)
            _work_on(part, video[rows], info, recording, config, finder, finished)
    return finished


@dataclass(frozen=True)
class _Part:
    """An action that becomes clips.

    Attributes:
        segment: the action; name: of its clips.
        choices: frames of each clip.
        needed: frames that are read: those, and where masks are to be found more between them.
    """

    segment: Segment
    name: str
    choices: list[list[int]]
    needed: list[int]


class _LeaveOut(Exception):
    """Raised where an action or a clip is left out."""

    def __init__(self, reasons: Sequence[str], details: str = "") -> None:
        super().__init__(reasons, details)
        self.reasons, self.details = list(reasons), details

    def entry(self, name: str) -> LeftOut:
        return {"name": name, "reasons": self.reasons, "details": self.details}


def _part(segment: Segment, name: str, info: VideoInfo, config: CurationConfig) -> _Part:
    """Which frames are taken of an action."""
    inside = frames_between(info, segment.start, segment.stop)
    if len(inside) < max(config.min_frames, 2):
        raise _LeaveOut(["too few frames"], f"{len(inside)}, at least {config.min_frames} are wanted")
    if config.max_frames is not None and len(inside) > config.max_frames:
        raise _LeaveOut(["too many frames"], f"{len(inside)}, at most {config.max_frames} are wanted")
    try:
        times = info.times[inside] - info.times[inside[0]]
        choices = [[int(inside[index]) for index in frames] for frames in choose_frames(times, info.fps, config.cut)]
    except InputError as error:
        raise _LeaveOut(["too short for a clip"], str(error)) from error
    needed = {index for frames in choices for index in frames}
    if segment.masks is None or config.remake_masks:
        between = np.linspace(0, len(inside) - 1, min(len(inside), config.finding.frames)).round().astype(int)
        needed |= {int(inside[index]) for index in between}
    return _Part(segment, name, choices, sorted(needed))


def _work_on(
    part: _Part,
    video: UInt8Array,
    info: VideoInfo,
    recording: Recording,
    config: CurationConfig,
    finder: Finder,
    finished: Finished,
) -> None:
    """Adds an action's clips to what is finished, or why there are none.

    Args:
        video: uint8 [len(part.needed), H, W, 3].
    """
    outcome = finished.outcome
    try:
        found = _masks(part, video, info, config, finder)
    except _LeaveOut as why:
        outcome["left_out"].append(why.entry(part.name))
        finished.files[f"{REJECTED}/{part.name}.jpg"] = _strip(video, np.zeros(video.shape[:3], np.uint8))
        return
    for number, frames in enumerate(part.choices):
        name = part.name if len(part.choices) == 1 else f"{part.name}-{number:03d}"
        rows = np.searchsorted(part.needed, frames)
        cut = config.cut
        pictures, labels = fit_clip(video[rows], found.labels[rows], cut.size, cut.fit, cut.fit_scale or 1.0, info.size)
        if reasons := check_gates(labels, config.gates):
            outcome["left_out"].append({"name": name, "reasons": reasons, "details": ""})
            finished.files[f"{REJECTED}/{name}.jpg"] = _strip(pictures, labels)
            continue
        motion = round(motion_score(labels, config.actor_motion_only), 6)
        facts = {
            **recording.facts,
            **part.segment.facts,
            **found.facts,
            "source": recording.name,
            "source_sha256": outcome["sha256"],
            "source_fps": round(info.fps, 3),
            "source_frames": frames,
            "source_times": [round(float(info.times[index]), 6) for index in frames],
            "motion": motion,
            "split": part.segment.split,
            "group": recording.group,
        }
        kept, files = _clip(name, pictures, labels, part.segment, facts, motion, config)
        outcome["kept"].append(kept)
        finished.files.update(files)


def _masks(part: _Part, video: UInt8Array, info: VideoInfo, config: CurationConfig, finder: Finder) -> Found:
    """Labels of all frames that were read."""
    given = part.segment.masks
    if given is None or config.remake_masks:
        prompts = part.segment.prompts
        if prompts is not None:
            try:
                prompts.check(info.size)
            except InputError as error:
                raise _LeaveOut(["prompt outside the picture"], str(error)) from error
            prompts = prompts.scaled(info.size, (video.shape[1], video.shape[2]))
        found = finder(video, part.segment.phrases, prompts)
        if found.problem:
            raise _LeaveOut([found.problem])
        return found
    try:
        return Found(given.read(part.needed, info, video.shape[1:3]), {"masks": "given"})
    except InputError as error:
        raise _LeaveOut(["masks cannot be read"], str(error)) from error


def _clip(
    name: str,
    video: UInt8Array,
    labels: UInt8Array,
    segment: Segment,
    facts: dict[str, Any],
    motion: float,
    config: CurationConfig,
) -> tuple[Kept, dict[str, bytes]]:
    """A clip for the ledger, and its files."""
    said = segment.description
    clip = Clip(
        clip_id=name,
        video=video,
        trajectory=Trajectory(labels, config.cut.fps),
        caption=said.caption,
        verb=said.verb,
        object_name=said.object_name,
        actor=said.actor,
        metadata=facts,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_clip_files(Path(folder), clip)
        files = {f"clips/{name}/{path.name}": path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return {"row": clip_row(clip), "motion": motion}, files


def _strip(video: UInt8Array, labels: UInt8Array) -> bytes:
    """Some frames of a clip side by side, with its masks, as a JPEG."""
    count, height = _STRIP
    chosen = np.linspace(0, len(video) - 1, count).round().astype(int)
    size = height, max(1, round(height * video.shape[2] / video.shape[1]))
    painted = overlay(resize_image(video[chosen], size), resize_mask(labels[chosen], size))
    return encode_jpeg(np.concatenate(list(painted), axis=1))
