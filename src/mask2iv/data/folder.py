"""Clips from a folder of users' own videos, with masks and captions beside them.

    NAME.mp4                       the video (also mov, mkv, webm, avi, m4v)
    NAME_masks/0000.png ...        one mask for each frame: actor green, object red, background black
      or NAME_labels.mp4           the same as a video
      or NAME_labels.npz           the same as an array `labels`, see mask2iv.trajectories.storage.open_labels
    captions.csv or captions.jsonl clip, caption, verb, object, actor

Every frame needs a mask; nothing here makes them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import Clip, Fit, Label, Trajectory
from mask2iv.data.captions import Description, describe, read_captions
from mask2iv.data.masks import find_masks, name_of, read_masks
from mask2iv.errors import InputError
from mask2iv.media.fitting import check_fit, fit_clip, reduced_size
from mask2iv.media.streams import VIDEO_SUFFIXES, is_video_name
from mask2iv.media.videos import read_frames, scan_video

_ID_LENGTH = 180


@dataclass(frozen=True)
class FolderConfig:
    """How clips are cut from videos.

    Attributes:
        size: (H, W) of the clips.
        num_frames: frames per clip.
        fps: frame rate of the clip set. Frames are also taken at this rate, unless ``take`` is "whole".
        take: "whole" spaces the frames in time from a video's first to its last, so that the whole action is seen at
            whatever speed; "start" takes them from the start at ``fps``; "windows" cuts as many clips at ``fps`` as
            fit. In all of them a frame is taken by its time stamp.
        fit: how a video of another aspect ratio gets the size: "crop" cuts it, with the masks in view where possible;
            "pad" adds black borders; "stretch" changes the aspect ratio; "centre" makes the shorter side
            ``fit_scale`` times the height and takes the middle, as the original code does.
        fit_scale: of "centre" alone.
        actor_index, object_index: numbers (palette index or grey value) that the mask images hold instead of colours.

    Raises:
        InputError: a value out of range, or only one of the two indices.
    """

    size: tuple[int, int] = (160, 256)
    num_frames: int = 16
    fps: float = 8.0
    take: Literal["whole", "start", "windows"] = "whole"
    fit: Fit = "crop"
    fit_scale: float | None = None
    actor_index: int | None = None
    object_index: int | None = None

    def __post_init__(self) -> None:
        check_fit(self.fit, self.fit_scale)
        if self.num_frames < 2:
            raise InputError("num_frames", f"must be at least 2, found {self.num_frames}")
        if not 0.01 <= self.fps <= 1000:
            raise InputError("fps", f"must be between 0.01 and 1000, found {self.fps}")
        if (self.actor_index is None) != (self.object_index is None):
            raise InputError(
                "actor_index",
                f"must be given together with object_index, found {self.actor_index} and {self.object_index}",
                "give both: the numbers in the mask images",
            )
        if self.actor_index is not None and self.actor_index == self.object_index:
            raise InputError("actor_index", f"must differ from object_index, found {self.actor_index} for both")


@dataclass(frozen=True)
class Source:
    """One video of the folder: its name, the clip id derived from it, its file and its description."""

    name: str
    clip_id: str
    video: Path
    description: Description


# --- contents of the folder


def find_sources(folder: Path) -> tuple[list[Source], dict[str, str]]:
    """The videos of a folder with their captions, sorted by name; and by name the reasons why others cannot be used.

    Raises:
        InputError: no such folder, no video, or no readable captions file.
    """
    if not folder.is_dir():
        raise InputError("folder", f"{folder} is not a folder", "give one with videos, masks and captions")
    videos = sorted(path for path in folder.iterdir() if is_video_name(path) and not path.stem.endswith("_labels"))
    if not videos:
        raise InputError("folder", f"{folder} holds no videos; expected NAME{', NAME'.join(VIDEO_SUFFIXES)}")
    rows = read_captions(folder)
    sources: list[Source] = []
    problems: dict[str, str] = {}
    taken: dict[str, str] = {}
    for video in videos:
        name = name_of(video.stem)
        clip_id = clip_id_of(name)
        if clip_id in taken:
            problems[video.name] = f"its clip would have the name {clip_id}, like that of {taken[clip_id]}; rename one"
            continue
        taken[clip_id] = video.name
        try:
            sources.append(Source(name, clip_id, video, describe(rows.pop(name, None))))
        except InputError as error:
            problems[video.name] = str(error)
    for name in rows:
        if name not in {name_of(video.stem) for video in videos}:
            problems[name] = "the captions file names it, but there is no such video"
    return sources, problems


def clip_id_of(name: str) -> str:
    """The clip id of a video's name: what is not an ASCII letter, a digit, - or _ becomes a hyphen.

    Where letters are lost, or none is left, some digits of the name's hash keep the id unique: "tasse" for "tasse",
    "tasse-bleue" for "tasse bleue", "th-da45b8e2" for "thé".
    """
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:_ID_LENGTH]
    if name.isascii() and re.search(r"[A-Za-z0-9]", kept):
        return kept
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return "-".join(part for part in (kept.strip("-"), digest) if part)


# --- clips of one video


def read_clips(source: Source, config: FolderConfig) -> list[Clip]:
    """The clips of one video. Only their frames are kept, at the size of the clips.

    Raises:
        InputError: an unreadable or too short video, masks of another size or number, or no object in the first frame.
    """
    numbers = None
    if config.actor_index is not None and config.object_index is not None:
        numbers = config.actor_index, config.object_index
    masks = find_masks(source.video, source.name, numbers)
    info = scan_video(source.video)
    choices = choose_frames(info.times, info.fps, config)
    needed = sorted({index for frames in choices for index in frames})
    size = reduced_size(info.size, config.size, config.fit, config.fit_scale or 1.0)
    labels = read_masks(masks, needed, info, size)
    video = read_frames(source.video, needed, size)
    clips = []
    for number, frames in enumerate(choices):
        rows = np.searchsorted(needed, frames)
        part, trajectory = fit_clip(
            video[rows], labels[rows], config.size, config.fit, config.fit_scale or 1.0, info.size
        )
        if not (trajectory[0] == Label.OBJECT).any():
            raise InputError(
                "masks",
                f"no object in frame {frames[0]}, the first of {'its' if len(choices) == 1 else 'a'} clip, at "
                f"{config.size[0]}x{config.size[1]}",
                f"it must be in view there (red, {Label.OBJECT:d})",
            )
        description = source.description
        clips.append(
            Clip(
                clip_id=source.clip_id if len(choices) == 1 else f"{source.clip_id}-{number:03d}",
                video=part,
                trajectory=Trajectory(trajectory, config.fps),
                caption=description.caption,
                verb=description.verb,
                object_name=description.object_name,
                actor=description.actor,
                metadata={
                    "source": source.video.name,
                    "source_fps": round(info.fps, 3),
                    "source_frames": frames,
                    "source_times": [round(float(info.times[index]), 6) for index in frames],
                },
            )
        )
    return clips


def choose_frames(times: NDArray[np.float64], rate: float, config: FolderConfig) -> list[list[int]]:
    """Which frames make up each clip of a video: those nearest to the times wanted.

    A frame that is shown for long may be wanted several times.

    Args:
        times: float64 [T], when each frame is shown: seconds from the first.
        rate: mean frame rate.
        config: how clips are cut.

    Raises:
        InputError: too few frames, or too short for the frame rate wanted.
    """
    total, count = len(times), config.num_frames
    if total < count:
        raise InputError("num_frames", f"the video has {total} frames, fewer than {count}", "lower it")
    if config.take == "whole":
        return [_nearest(times, np.linspace(0, times[-1], count))]
    # Containers round time stamps, to a millisecond at worst.
    if rate < 0.99 * config.fps:
        raise InputError("fps", f"the video has {rate:g} frames per second, fewer than {config.fps:g}", "lower it")
    span = np.arange(count) / config.fps
    # The last frame is shown for as long as a mean one; half of that is nearest to it.
    end = times[-1] + 0.5 / rate
    if span[-1] > end:
        raise InputError(
            "num_frames",
            f"the video lasts {times[-1] + 1 / rate:.2f} s; {count} frames at {config.fps:g} per second take "
            f"{count / config.fps:.2f} s",
            "take fewer frames, a higher frame rate, or the whole video",
        )
    choices = [_nearest(times, span)]
    while config.take == "windows" and choices[-1][-1] + 1 < total:
        start = times[choices[-1][-1] + 1]
        if start + span[-1] > end:
            break
        choices.append(_nearest(times, start + span))
    return choices


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> list[int]:
    """Indices of the frames nearest to the times wanted; of two as near, the earlier one."""
    between = (times[1:] + times[:-1]) / 2
    # Rounding errors must not decide between two frames.
    return [int(index) for index in np.searchsorted(between + 1e-6, wanted)]
