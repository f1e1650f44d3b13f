"""Clips from a folder of users' own videos, with masks and captions beside them.

    NAME.mp4                       the video (also mov, mkv, webm, avi, m4v)
    NAME_masks/0000.png ...        one mask for each frame: actor green, object red, background black
      or NAME_labels.mp4           the same as a video
      or NAME_labels.npz           the same as an array `labels`, see mask2iv.trajectories.storage.load_trajectory
    captions.csv or captions.jsonl clip, caption, verb, object, actor

Every frame needs a mask; nothing here makes them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mask2iv.contract import LABEL_COLOURS, Clip, Label, Trajectory, UInt8Array
from mask2iv.data.dataset import select_frames
from mask2iv.errors import InputError
from mask2iv.files import numbered_files, reason
from mask2iv.media.fitting import fit_clip
from mask2iv.media.images import open_image
from mask2iv.media.videos import read_video
from mask2iv.trajectories.labels import rgb_to_labels
from mask2iv.trajectories.storage import load_trajectory

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
COLUMNS = ("clip", "caption", "verb", "object", "actor")
ACTORS = {"hand": "a hand", "robot": "a robot arm"}
_ALL_LABELS = tuple(int(label) for label in Label)
_STRAY_COLOUR, _STRAY_SHARE = 96, 0.05
"""A compressed label video may blur outlines. A frame with more than this share of pixels farther than this, per 8-bit
channel, from every label colour shows something else."""


@dataclass(frozen=True)
class FolderConfig:
    """How clips are cut from videos.

    Attributes:
        size: (H, W) of the clips.
        num_frames: frames per clip.
        fps: frame rate of the clip set. Frames are also taken at this rate, unless ``take`` is "whole".
        take: "whole" spaces the frames from a video's first to its last, so that the whole action is seen at whatever
            speed; "start" takes them from the start at ``fps``; "windows" cuts as many clips at ``fps`` as fit.
        fit: how a video of another aspect ratio gets the size: "crop" cuts it, with the masks in view where possible;
            "pad" adds black borders; "stretch" changes the aspect ratio.
        actor_index, object_index: numbers (palette index or grey value) that the mask images hold instead of colours.

    Raises:
        InputError: a value out of range, or only one of the two indices.
    """

    size: tuple[int, int] = (160, 256)
    num_frames: int = 16
    fps: float = 8.0
    take: Literal["whole", "start", "windows"] = "whole"
    fit: Literal["crop", "pad", "stretch"] = "crop"
    actor_index: int | None = None
    object_index: int | None = None

    def __post_init__(self) -> None:
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
class Description:
    """A video's row of the captions file."""

    caption: str
    verb: str
    object_name: str
    actor: str


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
    videos = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.stem.endswith("_labels") and not path.name.startswith(".")
    )
    if not videos:
        raise InputError("folder", f"{folder} holds no videos; expected NAME{', NAME'.join(VIDEO_SUFFIXES)}")
    rows = _read_captions(folder)
    sources: list[Source] = []
    problems: dict[str, str] = {}
    taken: dict[str, str] = {}
    for video in videos:
        name = video.stem
        clip_id = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:190]
        if clip_id in taken:
            problems[video.name] = f"its clip would have the name {clip_id}, like that of {taken[clip_id]}; rename one"
            continue
        taken[clip_id] = video.name
        try:
            sources.append(Source(name, clip_id, video, _description(rows.pop(name, None))))
        except InputError as error:
            problems[video.name] = str(error)
    for name in rows:
        if name not in {video.stem for video in videos}:
            problems[name] = "the captions file names it, but there is no such video"
    return sources, problems


def _read_captions(folder: Path) -> dict[str, Mapping[str, str]]:
    """Rows of the captions file, by clip name."""
    found = [folder / name for name in ("captions.csv", "captions.jsonl") if (folder / name).is_file()]
    if len(found) != 1:
        what = "both captions.csv and captions.jsonl" if found else "no captions.csv (or captions.jsonl)"
        remedy = f"{'keep' if found else 'write'} one; its columns are {', '.join(COLUMNS)}, clip being NAME"
        raise InputError("folder", f"{folder} holds {what}", remedy)
    path = found[0]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("captions", f"{path} cannot be read: {reason(error)}", "save it as UTF-8 text") from error
    rows: dict[str, Mapping[str, str]] = {}
    for line, row in _csv_rows(path, text) if path.suffix == ".csv" else _json_rows(path, text):
        unknown = [key for key in row if key not in COLUMNS]
        if unknown:
            raise InputError(
                "captions", f"line {line} of {path}: unknown column {unknown[0]!r}", f"known: {', '.join(COLUMNS)}"
            )
        name = (row.get("clip") or "").strip()
        # The clip may be named by its video file.
        name = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in VIDEO_SUFFIXES else name
        if not name:
            raise InputError("captions", f"line {line} of {path} does not say which clip it describes")
        if name in rows:
            raise InputError("captions", f"line {line} of {path} is a second one for {name}", "keep one")
        rows[name] = row
    return rows


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(
                    "captions",
                    f"line {reader.line_num} of {path} has another number of fields than the first line",
                    "put texts with commas in quotes",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError("captions", f"line {reader.line_num} of {path}: {reason(error)}") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError("captions", f"line {number} of {path} is not JSON: {reason(error)}") from error
        if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
            raise InputError("captions", f"line {number} of {path} must be an object whose values are strings")
        yield number, row


def _description(row: Mapping[str, str] | None) -> Description:
    if row is None:
        raise InputError("captions", "the captions file has no line for it", "add one")
    caption, verb, noun, actor = ((row.get(name) or "").strip() for name in COLUMNS[1:])
    actor = actor or "hand"
    if actor not in ACTORS:
        raise InputError("actor", f"must be {' or '.join(ACTORS)}, found {actor!r} in the captions file")
    if not caption:
        if not (verb and noun):
            raise InputError("captions", "its line in the captions file has no caption", "give one, or verb and object")
        caption = f"{ACTORS[actor]} {verb} {'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
    return Description(caption, verb, noun, actor)


# --- clips of one video


def read_clips(source: Source, config: FolderConfig) -> list[Clip]:
    """The clips of one video.

    Raises:
        InputError: an unreadable or too short video, masks of another size or number, or no object in the first frame.
    """
    video, rate = read_video(source.video)
    labels = _read_labels(source, config)
    if labels.shape != video.shape[:3]:
        raise InputError(
            "masks",
            f"found {_extent(labels)} for a video of {_extent(video[..., 0])}",
            "give one mask of the video's size for each of its frames",
        )
    choices = _frames(len(video), rate, config)
    clips = []
    for number, frames in enumerate(choices):
        part, masks = fit_clip(video[frames], labels[frames], config.size, config.fit)
        if not (masks[0] == Label.OBJECT).any():
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
                trajectory=Trajectory(masks, config.fps),
                caption=description.caption,
                verb=description.verb,
                object_name=description.object_name,
                actor=description.actor,
                metadata={"source": source.video.name, "source_fps": round(rate, 3), "source_frames": frames},
            )
        )
    return clips


def _extent(frames: UInt8Array) -> str:
    """Number and size of frames [T, H, W], in words."""
    return f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[1]} pixels"


def _frames(total: int, rate: float, config: FolderConfig) -> list[list[int]]:
    """Frame indices of each clip of a video."""
    if config.take == "whole":
        return [select_frames(total, config.num_frames)]
    step = rate / config.fps
    if step < 0.999:
        raise InputError("fps", f"the video has {rate:g} frames per second, fewer than {config.fps:g}", "lower it")
    span = [round(index * step) for index in range(config.num_frames)]
    if span[-1] >= total:
        raise InputError(
            "num_frames",
            f"the video has {total} frames at {rate:g} per second; {config.num_frames} at {config.fps:g} per second "
            f"need {span[-1] + 1}",
            "take fewer frames, a higher frame rate, or the whole video",
        )
    starts = range(0, total - span[-1], span[-1] + 1) if config.take == "windows" else [0]
    return [[start + index for index in span] for start in starts]


def _read_labels(source: Source, config: FolderConfig) -> UInt8Array:
    """Labels of every frame, uint8 [T, H, W]."""
    base = source.video.with_name(source.name)
    options = [base.with_name(f"{source.name}_masks")]
    options += [base.with_name(f"{source.name}_labels{suffix}") for suffix in (*VIDEO_SUFFIXES, ".npz")]
    found = [path for path in options if path.exists()]
    if not found:
        raise InputError(
            "masks",
            f"none beside it; expected {source.name}_masks/, {source.name}_labels.mp4 or {source.name}_labels.npz "
            "with a mask for every frame",
            "make them with a video segmenter (this program does not segment videos yet)",
        )
    if len(found) > 1:
        raise InputError("masks", f"found both {found[0].name} and {found[1].name}", "keep one")
    path = found[0]
    if path.suffix == ".npz":
        return load_trajectory(path).labels
    if not path.is_dir():
        return _labels_of_video(path)
    if config.actor_index is None:
        return load_trajectory(path).labels
    return _labels_of_indices(path, config)


def _labels_of_video(path: Path) -> UInt8Array:
    video, _ = read_video(path, field="masks")
    frames = []
    for index, frame in enumerate(video):
        labels = rgb_to_labels(frame, _ALL_LABELS)
        stray = np.abs(frame.astype(np.int16) - LABEL_COLOURS[labels]).max(axis=-1) > _STRAY_COLOUR
        if stray.mean() > _STRAY_SHARE:
            raise InputError(
                "masks",
                f"frame {index} of {path.name} is not in label colours ({stray.mean():.0%} of its pixels are of other "
                "colours)",
                "paint actor green (0, 255, 0), object red (255, 0, 0), the rest black",
            )
        frames.append(labels)
    return np.stack(frames)


def _labels_of_indices(folder: Path, config: FolderConfig) -> UInt8Array:
    frames: list[UInt8Array] = []
    for path in numbered_files(folder, {".png"}):
        image = open_image(path, "masks")
        if image.mode not in ("P", "L"):
            raise InputError(
                "masks",
                f"{path} is an image of mode {image.mode}",
                "with actor_index and object_index, masks must be palette or grey images",
            )
        numbers = np.asarray(image)
        labels = np.zeros(numbers.shape, dtype=np.uint8)
        labels[numbers == config.actor_index] = Label.ACTOR
        labels[numbers == config.object_index] = Label.OBJECT
        if frames and labels.shape != frames[0].shape:
            raise InputError("masks", f"{path} has another size than the first one", "all must have the video's size")
        frames.append(labels)
    return np.stack(frames)
