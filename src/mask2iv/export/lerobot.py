"""Clips as a LeRobotDataset, version 3.0: a clip is an episode, its masks are lossless pictures beside the video."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from mask2iv.contract import UInt8Array
from mask2iv.data import lerobot as layout
from mask2iv.data.parquet import pyarrow
from mask2iv.errors import InputError
from mask2iv.export.card import card
from mask2iv.export.clips import Exported
from mask2iv.export.motions import Motion
from mask2iv.export.statistics import Counts, of_numbers, of_pictures, picture_counts
from mask2iv.files import atomic_directory, disk_faults, write_json
from mask2iv.media.encoding import Encoder, Encoding, takes_av1
from mask2iv.trajectories.labels import labels_to_rgb

Codec = Literal["auto", "av1", "h264"]
_FILES_PER_CHUNK = 1000
_DATA_MB, _VIDEO_MB = 100, 200
"""A file is closed once it is as large as this; defaults of the lerobot package."""
_KEYFRAMES = 2
_CRF = {"av1": 30, "h264": 18}
_PICTURES = (layout.CAMERA, layout.MASKS)
_VECTORS = (layout.STATE, layout.ACTION)


def export_lerobot(
    clips: Sequence[Exported],
    out: Path,
    codec: Codec = "auto",
    crf: int | None = None,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Writes clips as episodes, in their order; same clips, same bytes.

    Videos are AV1 (crf 30, a key frame every second frame, 4:2:0), as the lerobot package writes them, where that can
    be encoded here; else H.264. Frames of an odd side keep their size as H.264 4:4:4. Clips with a motion get
    ``observation.state`` and ``action``.

    Args:
        clips: of one size and rate; see :func:`~mask2iv.export.clips.listed`.
        out: a folder that does not exist or is empty.
        codec: "auto" as above.
        crf: quality; None for the codec's default.
        beside: other JSON files to write into ``meta``, by name.

    Raises:
        InputError: no clips, motions of some clips alone or of several arms, a rate that is no whole number, a codec
            that cannot be had, a damaged clip, or a folder that cannot be written.
    """
    encoding = encoding_of(clips, codec, crf)
    first = clips[0].clips
    arms = {None if one.motion is None else (one.motion.robot, one.motion.names) for one in clips}
    if len(arms) > 1:
        raise InputError("clips", "all must have a motion, of the same arm, or none")
    with atomic_directory(out) as folder, disk_faults(out):
        writer = _Writer(folder, first.size, int(first.fps), encoding, clips[0].motion)
        with writer.files():
            for number, one in enumerate(tqdm(clips, unit="clip", desc="lerobot")):
                writer.add(number, one)
        writer.finish(clips)
        for name, value in (beside or {}).items():
            write_json(folder / "meta" / name, value)


def encoding_of(clips: Sequence[Exported], codec: Codec = "auto", crf: int | None = None) -> Encoding:
    """How the videos of a set are written; arguments and errors as of :func:`export_lerobot`, nothing is written."""
    if not clips:
        raise InputError("clips", "there are none")
    size, fps = clips[0].clips.size, clips[0].clips.fps
    if not float(fps).is_integer():
        raise InputError("fps", f"LeRobot data sets have a whole number of frames per second, found {fps:g}")
    if crf is not None and not 1 <= crf <= 51:
        raise InputError("crf", f"must be between 1 and 51, found {crf}")
    if codec == "av1" and not takes_av1(size):
        raise InputError("codec", f"{size[1]}x{size[0]} cannot be encoded as AV1 here", "take h264")
    if codec == "av1" or (codec == "auto" and takes_av1(size)):
        encoding = Encoding.av1(crf or _CRF["av1"], _KEYFRAMES)
    else:
        even = all(side % 2 == 0 for side in size)
        encoding = Encoding.h264(crf or _CRF["h264"], "yuv420p" if even else "yuv444p", _KEYFRAMES)
    # PyAV, by which the lerobot package decodes, takes this matrix whatever a file says: 3 dB at stake.
    return replace(encoding, bt601=True)


class _Writer:
    """Writes episodes one by one.

    Args:
        folder: of the data set.
        size: (H, W) of the frames.
        fps: their rate.
        encoding: of the videos.
        motion: of the first clip; None where they have none.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int], fps: int, encoding: Encoding, motion: Motion | None
    ) -> None:
        self._folder, self._size, self._fps, self._encoding = folder, size, fps, encoding
        self._arrow, self._motion = pyarrow(), motion
        self._vectors = {} if motion is None else dict.fromkeys(_VECTORS, len(motion.names))
        self._schema = _schema(self._arrow, self._vectors)
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._own: list[dict[str, Any]] = []
        self._frames = 0
        self._counts: dict[str, Counts] = {key: np.zeros((3, 256), dtype=np.int64) for key in _PICTURES}
        self._numbers: dict[str, list[Any]] = {name: [] for name in (*layout.COLUMNS, *self._vectors)}
        # Index, frames so far or bytes so far, and writer of the open video and table.
        self._video: tuple[int, int, Encoder] | None = None
        self._table: tuple[int, int, Any] | None = None

    @contextmanager
    def files(self) -> Iterator[None]:
        """Closes the open files at the end of the block."""
        try:
            yield
        except BaseException as error:
            if self._video is not None:
                self._video[2].__exit__(type(error), error, None)
            if self._table is not None:
                self._table[2].close()
            raise
        self._close_video()
        self._close_table()

    def add(self, number: int, one: Exported) -> None:
        """Writes a clip's files and remembers what the tables say of it."""
        clip = one.read()
        count, task = len(clip.video), self._tasks.setdefault(clip.caption, len(self._tasks))
        pictures = {layout.CAMERA: clip.video, layout.MASKS: labels_to_rgb(clip.trajectory.labels)}
        columns = {
            "timestamp": np.arange(count, dtype=np.float32) / np.float32(self._fps),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, number),
            "index": np.arange(self._frames, self._frames + count),
            "task_index": np.full(count, task),
        }
        if one.motion is not None:
            columns |= {layout.STATE: one.motion.states, layout.ACTION: one.motion.actions}
        video, start = self._add_video(clip.video)
        table = self._add_table(pictures[layout.MASKS], columns)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [clip.caption],
            "length": count,
            "data/chunk_index": table // _FILES_PER_CHUNK,
            "data/file_index": table % _FILES_PER_CHUNK,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + count,
            f"videos/{layout.CAMERA}/chunk_index": video // _FILES_PER_CHUNK,
            f"videos/{layout.CAMERA}/file_index": video % _FILES_PER_CHUNK,
            f"videos/{layout.CAMERA}/from_timestamp": start / self._fps,
            f"videos/{layout.CAMERA}/to_timestamp": (start + count) / self._fps,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        row |= _flat(self._statistics(pictures, columns, count))
        self._episodes.append(row)
        own = {name: one.row[name] for name in ("clip_id", "verb", "object_name", "actor")}
        contact = one.row["contact"]
        own |= {"split": one.split, "synthetic": one.synthetic}
        own |= {"contact": None if contact is None else [int(value) for value in contact]}
        if one.motion is not None:
            own["motion"] = {**one.motion.about, "action_seconds": one.motion.action_seconds}
        self._own.append({**own, "metadata": one.row["metadata"]})
        self._frames += count

    def finish(self, clips: Sequence[Exported]) -> None:
        """Writes the tables of all episodes, and what describes the data set."""
        arrow, meta = self._arrow, self._folder / "meta"
        path = layout.filled(layout.EPISODES_PATH, {"chunk_index": 0, "file_index": 0}, self._folder)
        path.parent.mkdir(parents=True)
        arrow.parquet.write_table(arrow.Table.from_pylist(self._episodes), path)
        arrow.parquet.write_table(_tasks_table(arrow, self._tasks), self._folder / layout.TASKS_PATH)
        statistics = {key: of_pictures(counts, self._frames) for key, counts in self._counts.items()}
        statistics |= {name: of_numbers(np.concatenate(parts)) for name, parts in self._numbers.items()}
        write_json(self._folder / layout.STATS_PATH, statistics)
        synthetic = {one.synthetic for one in clips}
        made = "all" if synthetic == {True} else "some" if True in synthetic else "none"
        info = self._info(clips, made)
        write_json(self._folder / layout.INFO_PATH, info)
        write_json(meta / "mask2iv.json", {"format": layout.OWN_FORMAT, "version": 1, "episodes": self._own})
        (self._folder / "README.md").write_text(card(info, made, clips), encoding="utf-8")

    def _info(self, clips: Sequence[Exported], made: str) -> dict[str, Any]:
        height, width = self._size
        shape = {"shape": [height, width, 3], "names": ["height", "width", "channels"]}
        video: dict[str, Any] = {"video.height": height, "video.width": width}
        video |= {"video.codec": "av1" if "av1" in self._encoding.codec else "h264"}
        video |= {"video.pix_fmt": self._encoding.pixel_format, "video.fps": self._fps, "video.channels": 3}
        video |= {"video.g": _KEYFRAMES, "video.crf": int(self._encoding.options["crf"])}
        video |= {"has_audio": False, "is_depth_map": False}
        features: dict[str, Any] = {layout.CAMERA: {"dtype": "video", **shape, "info": video}}
        features[layout.MASKS] = {"dtype": "image", **shape}
        if self._motion is not None:
            names = list(self._motion.names)
            features |= {key: {"dtype": "float32", "shape": [len(names)], "names": names} for key in _VECTORS}
        for name in layout.COLUMNS:
            features[name] = {"dtype": _dtype(name), "shape": [1], "names": None}
        robot = "simulated" if made == "all" else None
        return {
            "codebase_version": layout.VERSION,
            "robot_type": robot if self._motion is None else self._motion.robot,
            "total_episodes": len(clips),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": _FILES_PER_CHUNK,
            "data_files_size_in_mb": _DATA_MB,
            "video_files_size_in_mb": _VIDEO_MB,
            "fps": self._fps,
            "splits": _splits(clips),
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH,
            "features": features,
            "synthetic": made,
        }

    def _statistics(
        self, pictures: Mapping[str, UInt8Array], columns: Mapping[str, Any], frames: int
    ) -> dict[str, dict[str, Any]]:
        found = {}
        for key, shown in pictures.items():
            counts = picture_counts(shown)
            self._counts[key] += counts
            found[key] = of_pictures(counts, frames)
        for name, values in columns.items():
            self._numbers[name].append(values)
            found[name] = of_numbers(values)
        return found

    def _add_video(self, frames: UInt8Array) -> tuple[int, int]:
        """Number of the video file, and the first frame's number in it."""
        if self._video is not None and self._video[2].size >= _VIDEO_MB * 2**20:
            index = self._video[0] + 1
            self._close_video()
        else:
            index = 0 if self._video is None else self._video[0]
        if self._video is None:
            path = self._path_of_video(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._video = index, 0, Encoder(path, self._size, Fraction(self._fps), self._encoding)
        index, start, encoder = self._video
        encoder.add(frames)
        self._video = index, start + len(frames), encoder
        return index, start

    def _add_table(self, masks: UInt8Array, columns: Mapping[str, Any]) -> int:
        """Number of the table's file. An episode is a row group."""
        pictures = [{"bytes": _png(mask), "path": None} for mask in masks]
        if self._table is not None and self._table[1] >= _DATA_MB * 2**20:
            index = self._table[0] + 1
            self._close_table()
        else:
            index = 0 if self._table is None else self._table[0]
        if self._table is None:
            place = {"chunk_index": index // _FILES_PER_CHUNK, "file_index": index % _FILES_PER_CHUNK}
            path = layout.filled(layout.DATA_PATH, place, self._folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._table = index, 0, self._arrow.parquet.ParquetWriter(path, self._schema)
        index, size, writer = self._table
        lists = self._arrow.FixedSizeListArray
        vectors = {key: lists.from_arrays(columns[key].ravel(), size) for key, size in self._vectors.items()}
        rows = {layout.MASKS: pictures, **columns, **vectors}
        writer.write_table(self._arrow.Table.from_pydict(rows, schema=self._schema))
        self._table = index, size + sum(len(one["bytes"] or b"") for one in pictures), writer
        return index

    def _path_of_video(self, index: int) -> Path:
        place: dict[str, int | str] = {"video_key": layout.CAMERA}
        place |= {"chunk_index": index // _FILES_PER_CHUNK, "file_index": index % _FILES_PER_CHUNK}
        return layout.filled(layout.VIDEO_PATH, place, self._folder)

    def _close_video(self) -> None:
        if self._video is not None:
            self._video[2].__exit__(None, None, None)
            self._video = None

    def _close_table(self) -> None:
        if self._table is not None:
            self._table[2].close()
            self._table = None


def _png(picture: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _flat(statistics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"stats/{key}/{name}": value for key, one in statistics.items() for name, value in one.items()}


def _splits(clips: Sequence[Exported]) -> dict[str, str]:
    """Episodes of each split; the clips are ordered by split."""
    if {one.split for one in clips} == {None}:
        return {"train": f"0:{len(clips)}"}
    found, start = {}, 0
    for split, group in groupby(clips, key=lambda one: one.split):
        stop = start + len(list(group))
        found[split or "rest"] = f"{start}:{stop}"
        start = stop
    return found


def _dtype(column: str) -> str:
    return "float32" if column == "timestamp" else "int64"


def _schema(arrow: Any, vectors: Mapping[str, int]) -> Any:
    """Of the tables of frames; `datasets` finds there that the masks are pictures, and how long vectors are."""
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kinds = {name: getattr(arrow, _dtype(name))() for name in layout.COLUMNS}
    features: dict[str, Any] = {layout.MASKS: {"_type": "Image"}}
    features |= {name: {"dtype": _dtype(name), "_type": "Value"} for name in layout.COLUMNS}
    number = {"dtype": "float32", "_type": "Value"}
    features |= {key: {"feature": number, "length": size, "_type": "Sequence"} for key, size in vectors.items()}
    kinds |= {key: arrow.list_(arrow.float32(), size) for key, size in vectors.items()}
    described = json.dumps({"info": {"features": features}})
    return arrow.schema([(layout.MASKS, picture), *kinds.items()], metadata={"huggingface": described})


def _tasks_table(arrow: Any, tasks: Mapping[str, int]) -> Any:
    """The table of tasks; pandas takes the texts for its index."""
    table = arrow.table({"task_index": arrow.array(list(tasks.values()), arrow.int64()), "task": list(tasks)})
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": number, "metadata": None}
        for name, kind, number in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    described = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return table.replace_schema_metadata({"pandas": json.dumps(described)})
