"""LeRobot data sets as a source: each episode is a recording, its tasks are the captions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from mask2iv.config import from_dict, read_records
from mask2iv.contract import UInt8Array
from mask2iv.curation.sources.footage import SingleFile
from mask2iv.curation.sources.interfaces import Footage, GivenMasks, Habits, Problem, Recording, Segment, Split
from mask2iv.curation.sources.wording import noun_phrases, verb_of
from mask2iv.data.captions import Description
from mask2iv.data.lerobot import (
    EPISODES_PER_CHUNK,
    MASKS,
    TASKS_PATH,
    VERSION,
    OwnEpisode,
    cameras,
    filled,
    read_info,
    read_own,
)
from mask2iv.data.parquet import episode_rows, opened, read_columns
from mask2iv.errors import InputError
from mask2iv.media.images import read_image, resize_image, resize_mask
from mask2iv.media.parts import read_part, scan_part
from mask2iv.media.videos import VideoInfo, check_kept_pixels
from mask2iv.trajectories.labels import painted_labels

_FIELD = "source"
_Index = Annotated[int, Field(ge=0, le=10**9)]


class _Episode(TypedDict):
    """A row of the episodes' table."""

    episode_index: _Index
    length: Annotated[int, Field(ge=1, le=10**8)]
    tasks: list[str]
    chunk: _Index
    file: _Index
    video_chunk: _Index
    video_file: _Index
    start: Annotated[float, Field(ge=0, le=10**9)]


class _Task(TypedDict):
    """A line of the tasks' table of version 2."""

    task_index: _Index
    task: str


@dataclass(frozen=True)
class VideoPart(SingleFile):
    """An episode's part of a video file. Implements :class:`~mask2iv.curation.sources.interfaces.Footage`.

    Attributes:
        path: the file.
        start: when its first frame is shown, by the file's time stamps, in seconds.
        count: number of frames.
        fps: their rate.
    """

    start: float
    count: int
    fps: float

    def scan(self, whole: bool = True) -> VideoInfo:
        return scan_part(self.path, self.start, self.count, self.fps, _FIELD)

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        return read_part(self.path, self.start, indices, self.fps, size, _FIELD)


@dataclass(frozen=True)
class TablePictures(SingleFile):
    """An episode's pictures in a table. Implements :class:`~mask2iv.curation.sources.interfaces.Footage`.

    Attributes:
        path: the table.
        column: of the pictures: bytes of image files.
        episode: number of the episode.
        count: number of frames.
        fps: their rate.
    """

    column: str
    episode: int
    count: int
    fps: float

    def scan(self, whole: bool = True) -> VideoInfo:
        [last] = self.pictures([self.count - 1])
        size = (last.shape[0], last.shape[1])
        return VideoInfo(np.arange(self.count) / self.fps, self.fps, size, size)

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        check_kept_pixels(self.path, len(indices), size, _FIELD)
        kept = np.empty((len(indices), *size, 3), dtype=np.uint8)
        for row, picture in enumerate(self.pictures(indices)):
            kept[row] = resize_image(picture, size)
        return kept

    def pictures(self, indices: Sequence[int]) -> Iterator[UInt8Array]:
        """Some pictures, uint8 [H, W, 3], one by one.

        Raises:
            InputError: a picture is missing, damaged, or stored outside of the table.
        """
        values = episode_rows(self.path, self.column, self.episode, indices, _FIELD)
        for index, value in zip(indices, values, strict=True):
            content = value.get("bytes") if isinstance(value, Mapping) else value
            place = f"{self.path}: {self.column} of frame {index} of episode {self.episode}"
            if not isinstance(content, bytes):
                raise InputError(_FIELD, f"{place} is not in the table", "embed the pictures in it")
            yield read_image(place, _FIELD, content)


@dataclass(frozen=True)
class TableMasks:
    """Label pictures of a data set that this program wrote: exact."""

    pictures: TablePictures

    @property
    def files(self) -> tuple[Path, ...]:
        return self.pictures.files

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        kept = np.empty((len(indices), *size), dtype=np.uint8)
        for row, picture in enumerate(self.pictures.pictures(indices)):
            if picture.shape[:2] not in (info.size, info.stored_size):
                raise InputError(
                    "masks", f"{self.pictures.path}: {picture.shape[1]}x{picture.shape[0]}, unlike the video"
                )
            kept[row] = resize_mask(painted_labels(picture, str(self.pictures.path), "masks"), size)
        return kept


class LeRobotSource:
    """A LeRobot data set, version 3.0 or 2.x.

    Args:
        root: its folder.
        camera: feature with the pictures; None where there is one.
        actor: who acts, where the data set was not written by this program.

    Raises:
        InputError: not such a data set, an unknown camera, or several to choose from.
    """

    def __init__(self, root: Path, camera: str | None = None, actor: Literal["hand", "robot"] = "robot") -> None:
        self.kind, self.root = "lerobot", Path(root)
        self.habits = Habits(actor=actor, actor_phrases=("robot gripper",) if actor == "robot" else ("hand",))
        self.info = read_info(self.root)
        self.version = self.info["codebase_version"]
        found = cameras(self.info)
        if not found:
            raise InputError(_FIELD, f"{root} has no pictures: none of its features is a video or an image")
        if camera is None and len(found) > 1:
            raise InputError("camera", f"{root} has {', '.join(found)}", "choose one of them")
        if camera is not None and camera not in found:
            raise InputError("camera", f"{root} has no {camera!r}; it has {', '.join(found)}", "choose one of them")
        self.camera = camera or next(iter(found))
        self._stored = found[self.camera]
        self._splits = _splits(self.info.get("splits") or {})

    def entries(self) -> Iterator[Recording | Problem]:
        """Episodes in their order.

        Raises:
            InputError: a table of the episodes or tasks is missing or damaged.
        """
        own = read_own(self.root)
        seen: set[int] = set()
        for number, episode in self._episodes():
            name = f"episode-{number:06d}"
            if isinstance(episode, str):
                yield Problem(name, "damaged", episode)
            elif number in seen:
                yield Problem(name, "listed twice")
            else:
                seen.add(number)
                ours = own["episodes"][number] if own and number < len(own["episodes"]) else None
                try:
                    yield self._recording(name, episode, ours)
                except InputError as error:
                    missing = "does not exist" in error.problem
                    yield Problem(name, "file missing" if missing else "unusable", str(error))

    def _recording(self, name: str, episode: _Episode, own: OwnEpisode | None) -> Recording | Problem:
        data, footage = self._data(episode), self._footage(episode)
        for path in {data, *footage.files}:
            if not path.is_file():
                return Problem(name, "file missing", f"{path} does not exist")
        tasks = [task for task in (" ".join(task.split()) for task in episode["tasks"]) if task]
        if not tasks:
            return Problem(name, "no caption", "it has no task")
        number, count, fps = episode["episode_index"], episode["length"], self.info["fps"]
        masks = None
        if MASKS in self.info["features"]:
            masks = TableMasks(TablePictures(data, MASKS, number, count, fps))
        split = self._split(number, own)
        facts: dict[str, Any] = {"lerobot": self.version, "episode": number, "camera": self.camera}
        if own is not None:
            facts |= {"clip": own["clip_id"], **({"synthetic": True} if own["synthetic"] else {})}
            description = Description(tasks[0], own["verb"], own["object_name"], own["actor"])
            segments = [Segment("", description, split=split, masks=masks)]
        elif len(tasks) == 1:
            segments = [
                Segment("", self._described(tasks[0]), split=split, masks=masks, phrases=noun_phrases(tasks[0]))
            ]
        else:
            segments = self._by_task(data, number, split, masks)
        return Recording(name, footage, tuple(segments), name, facts)

    def _described(self, task: str) -> Description:
        nouns = noun_phrases(task)
        return Description(task, verb_of(task), nouns[0] if nouns else "", self.habits.actor)

    def _by_task(self, data: Path, number: int, split: Split | None, masks: GivenMasks | None) -> list[Segment]:
        """One action for each run of frames with the same task."""
        names = self._tasks()
        columns = ("episode_index", "frame_index", "task_index")
        table = read_columns(data, columns, _FIELD, integers=columns)
        rows = zip(table["episode_index"], table["frame_index"], table["task_index"], strict=True)
        mine = [(frame, task) for episode, frame, task in rows if episode == number]
        segments: list[Segment] = []
        for task, run in groupby(mine, key=lambda one: one[1]):
            frames = [frame for frame, _ in run]
            if task not in names:
                raise InputError(_FIELD, f"{data}: episode {number} names task {task}, which there is not")
            start, stop = frames[0] / self.info["fps"], (frames[-1] + 1) / self.info["fps"]
            key = f"{len(segments):03d}"
            said, nouns = self._described(names[task]), noun_phrases(names[task])
            segments.append(Segment(key, said, start, stop, split, masks, nouns))
        return segments

    def _split(self, number: int, own: OwnEpisode | None) -> Split | None:
        if own is not None and own["split"] in get_args(Split):
            return own["split"]  # type: ignore[return-value]
        # A data set that names one split alone, as nearly all do, was not divided.
        named = self._splits if len({split for split, _, _ in self._splits}) > 1 else []
        return next((split for split, start, stop in named if start <= number < stop), None)

    def _data(self, episode: _Episode) -> Path:
        return filled(self.info["data_path"], self._values(episode, episode["chunk"], episode["file"]), self.root)

    def _footage(self, episode: _Episode) -> Footage:
        number, count, fps = episode["episode_index"], episode["length"], self.info["fps"]
        if self._stored == "image":
            return TablePictures(self._data(episode), self.camera, number, count, fps)
        template = self.info.get("video_path")
        if not template:
            raise InputError(_FIELD, f"{self.root} does not say where its videos lie")
        values = self._values(episode, episode["video_chunk"], episode["video_file"])
        return VideoPart(filled(template, values, self.root), episode["start"], count, fps)

    def _values(self, episode: _Episode, chunk: int, file: int) -> dict[str, int | str]:
        number = episode["episode_index"]
        size = self.info.get("chunks_size", EPISODES_PER_CHUNK)
        values: dict[str, int | str] = {"chunk_index": chunk, "file_index": file, "video_key": self.camera}
        return values | {"episode_index": number, "episode_chunk": number // size}

    # --- the tables

    def _episodes(self) -> Iterator[tuple[int, _Episode | str]]:
        """Number and row of each episode, or what is wrong with it."""
        for position, row in enumerate(self._rows()):
            number = row.get("episode_index")
            known = number if isinstance(number, int) else position
            try:
                yield known, from_dict(_Episode, row, unknown="ignore")
            except InputError as error:
                yield known, str(error)

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self.version != VERSION:
            for row in read_records(self.root / "meta/episodes.jsonl", dict[str, Any]):
                yield {"chunk": 0, "file": 0, "video_chunk": 0, "video_file": 0, "start": 0.0, **row}
            return
        paths = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        if not paths:
            raise InputError(_FIELD, f"{self.root}/meta/episodes holds no tables", "copy the data set again")
        names = {"episode_index": "episode_index", "length": "length", "tasks": "tasks"}
        names |= {"data/chunk_index": "chunk", "data/file_index": "file"}
        if self._stored == "video":
            place = f"videos/{self.camera}"
            names |= {f"{place}/chunk_index": "video_chunk", f"{place}/file_index": "video_file"}
            names |= {f"{place}/from_timestamp": "start"}
        for path in paths:
            table = read_columns(path, list(names), _FIELD)
            for values in zip(*(table[name] for name in names), strict=True):
                yield {
                    "video_chunk": 0,
                    "video_file": 0,
                    "start": 0.0,
                    **dict(zip(names.values(), values, strict=True)),
                }

    def _tasks(self) -> dict[int, str]:
        """Tasks by their number."""
        if self.version != VERSION:
            rows = read_records(self.root / "meta/tasks.jsonl", _Task, "ignore")
            return {row["task_index"]: row["task"] for row in rows}
        path = self.root / TASKS_PATH
        with opened(path, _FIELD) as file:
            # An index of pandas without a name is stored under one of its own.
            text = next((name for name in ("task", "__index_level_0__") if name in file.schema_arrow.names), "task")
        table = read_columns(path, ["task_index", text], _FIELD, integers=["task_index"])
        return dict(zip(table["task_index"], map(str, table[text]), strict=True))


def _splits(named: Mapping[str, str]) -> list[tuple[Split, int, int]]:
    """Name, first and past-the-last episode of each split. A training split alone is what every data set has."""
    found: list[tuple[Split, int, int]] = []
    for name, text in named.items():
        split = {"val": "validation"}.get(name, name)
        bounds = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
        if split in get_args(Split) and bounds:
            found.append((split, int(bounds[1]), int(bounds[2])))  # type: ignore[arg-type]
    return [] if {split for split, *_ in found} <= {"train"} else found
