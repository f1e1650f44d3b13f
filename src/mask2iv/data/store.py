"""The clip set: many short clips of one size, length and frame rate in one folder.

    DIR/clipset.json                 format, version, fps, size [H, W], num_frames, num_clips, provenance
    DIR/index.jsonl                  one JSON object per clip, sorted by clip_id
    DIR/clips/<clip_id>/video.mp4    H.264, 4:4:4, crf 8: colours nearly, not exactly, kept (above 42 dB)
    DIR/clips/<clip_id>/labels.npz   the trajectory, exact

``clipset.json`` is written last: a folder without it is an unfinished set. Videos keep their full colour resolution,
because the halved one that every browser plays costs small clips 10 dB and saves no space.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mask2iv.config import from_dict
from mask2iv.contract import Clip, UInt8Array
from mask2iv.data.index import CLIP_ID, Entry, clip_row, finish_set, index_line, read_header, read_index, set_header
from mask2iv.data.unfinished import UNFINISHED, Journal
from mask2iv.errors import InputError, within
from mask2iv.files import copy_linked, reason, sha256_file
from mask2iv.media.videos import read_video, write_video
from mask2iv.parsing import parse_json, read_bytes
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file

VIDEO_CRF = 8
CLIP_FILES = ("video.mp4", "labels.npz")
MAX_FILE_BYTES = 2**30
"""Most bytes of one of them that is read as a whole."""
SIMULATOR = "mask2iv simulate"
"""The generator in the provenance of simulated clips."""


class ClipSetWriter:
    """Writes a clip set; use as a context manager. The same clips give the same bytes in whatever order they are added.

    Args:
        directory: a folder that does not exist yet or is empty.
        size: (H, W) of every clip.
        num_frames: T of every clip.
        fps: frame rate of every clip.
        provenance: where the clips come from; JSON values, stored with the set.
        resume: go on with the unfinished set of the same kind that a killed process left in the folder.

    Attributes:
        rows: index entries of the clips that are there.

    Raises:
        InputError: the folder is not empty or cannot be written, or another process writes it; when adding, a clip that
            does not fit the set.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        size: tuple[int, int],
        num_frames: int,
        fps: float,
        provenance: Mapping[str, Any],
        resume: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.size, self.num_frames, self.fps = (int(size[0]), int(size[1])), int(num_frames), float(fps)
        self.provenance = dict(provenance)
        self.rows: list[dict[str, Any]] = []
        self._lines: dict[str, str] = {}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            filled = any(self.directory.iterdir())
        except OSError as error:
            raise InputError(str(self.directory), f"the clip set cannot be written: {reason(error)}") from error
        if filled and not (resume and (self.directory / UNFINISHED).is_file()):
            raise InputError(str(self.directory), "this folder is not empty", "remove it or choose another one")
        self._journal = Journal(self.directory, self._header()) if resume else None
        for line in self._journal.lines if self._journal else []:
            with within(str(self.directory / UNFINISHED)):
                row = from_dict(Entry, parse_json(line), unknown="ignore")
            self.rows.append(dict(row))
            self._lines[row["clip_id"]] = line

    def _header(self) -> dict[str, Any]:
        return set_header(self.size, self.num_frames, self.fps, self.provenance)

    def __enter__(self) -> ClipSetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        finished = False
        try:
            if kind is None:
                self._close()
                finished = True
        finally:
            if self._journal is not None:
                self._journal.close(finished)

    def add(self, clip: Clip) -> None:
        """Writes one clip's files.

        Raises:
            InputError: a bad or repeated clip_id, another size, length or rate, or metadata that is not JSON.
        """
        where = f"clip {clip.clip_id}"
        if not re.fullmatch(CLIP_ID, clip.clip_id):
            raise InputError("clip_id", f"must be 1 to 200 letters, digits, - and _, found {clip.clip_id!r}")
        if clip.clip_id in self._lines:
            raise InputError("clip_id", f"must be unique in the clip set, found {clip.clip_id} twice")
        found = (clip.trajectory.size, clip.trajectory.num_frames, clip.fps)
        if found != (self.size, self.num_frames, self.fps):
            raise InputError(
                where,
                f"must have the clip set's size {list(self.size)}, {self.num_frames} frames, {self.fps} fps, found "
                f"{list(found[0])}, {found[1]} frames, {found[2]} fps",
            )
        row = dict(clip_row(clip))
        try:
            line = index_line(row)
        except (TypeError, ValueError) as error:
            raise InputError(where, f"metadata must be JSON values: {reason(error)}") from error
        write_clip_files(self.directory / "clips" / clip.clip_id, clip)
        self._lines[clip.clip_id] = line
        self.rows.append(row)
        if self._journal is not None:
            self._journal.add(line)

    def _close(self) -> None:
        if not self._lines:
            raise InputError(str(self.directory), "no clip was added to this clip set")
        finish_set(self.directory, self._lines, self._header())


def write_clip_files(folder: Path, clip: Clip) -> None:
    """Write a clip's video and labels; the same clip gives the same bytes."""
    write_video(folder / "video.mp4", clip.video, clip.fps, crf=VIDEO_CRF, pixel_format="yuv444p")
    save_trajectory_file(clip.trajectory, folder / "labels.npz")


class ClipSet(Sequence[Clip]):
    """A clip set on disk; ``clips[i]`` reads clip i in the order of clip ids.

    Attributes:
        directory: the folder.
        info: contents of ``clipset.json``.
        rows: index entries as dictionaries: clip_id, caption, verb, object_name, actor, contact, num_frames, metadata.
        size, num_frames, fps: those of every clip.

    Raises:
        InputError: the folder is missing, unfinished or of another version, its index is damaged, or a clip's file is
            missing.
    """

    HEADER = "clipset.json"

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.info = self._read_header()
        height, width = self.info["size"]
        self.size: tuple[int, int] = (height, width)
        self.num_frames: int = self.info["num_frames"]
        self.fps = float(self.info["fps"])
        self.rows = read_index(self.directory / "index.jsonl")
        if len(self.rows) != self.info["num_clips"]:
            raise InputError(
                str(self.directory / "index.jsonl"),
                f"lists {len(self.rows)} clips but {self.HEADER} says {self.info['num_clips']}",
                "copy the clip set again",
            )
        self._check_files()

    def _check_files(self) -> None:
        for row in self.rows:
            for name in CLIP_FILES:
                if not (self._folder(row) / name).is_file():
                    raise InputError(
                        str(self.directory), f"clip {row['clip_id']} lacks its file {self._folder(row) / name}"
                    )

    @property
    def simulated(self) -> bool:
        """Whether the simulator made all clips."""
        return _simulated(self.info["provenance"])

    @property
    def ids(self) -> list[str]:
        """The clip ids, sorted."""
        return [row["clip_id"] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """Reads clip ``index`` (an integer) -> :class:`Clip`; a slice gives a list of clips."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self.rows[index]
        folder = self._folder(row)
        trajectory = load_trajectory(folder / "labels.npz", self._content(row, "labels.npz"))
        found = (trajectory.size, trajectory.num_frames, trajectory.fps)
        if found != (self.size, self.num_frames, self.fps):
            raise InputError(str(folder / "labels.npz"), "does not have the clip set's size, length and frame rate")
        contact = row["contact"]
        return Clip(
            clip_id=row["clip_id"],
            video=self._video(folder / "video.mp4", self._content(row, "video.mp4")),
            trajectory=trajectory,
            caption=row["caption"],
            verb=row["verb"],
            object_name=row["object_name"],
            actor=row["actor"],
            contact=None if contact is None else np.array(contact, dtype=np.bool_),
            metadata=row["metadata"],
        )

    def subset(self, start: int, stop: int | None) -> ClipSet:
        """The clips of a slice from `start` to `stop`, still read on demand."""
        part = copy.copy(self)
        part.rows = self.rows[start:stop]
        return part

    def first(self, limit: int | None) -> ClipSet:
        """The first `limit` clips, all if None, still read on demand.

        Raises:
            InputError: fewer than one clip is asked for.
        """
        if limit is not None and limit < 1:
            raise InputError("limit", f"must be at least 1, found {limit}")
        return self.subset(0, limit)

    def where(self, clip_ids: Collection[str]) -> ClipSet:
        """The clips with these ids, in the set's order, still read on demand."""
        part = copy.copy(self)
        wanted = set(clip_ids)
        part.rows = [row for row in self.rows if row["clip_id"] in wanted]
        return part

    def digests(self) -> Iterator[tuple[str, str, str]]:
        """Clip id, name and SHA-256 of each file of each clip.

        Raises:
            InputError: a file cannot be read.
        """
        for row in self.rows:
            for name in CLIP_FILES:
                yield row["clip_id"], name, self._digest(row, name)

    def contents(self, clip_id: str, name: str) -> bytes:
        """Bytes of a clip's file, one of :data:`CLIP_FILES`.

        Raises:
            InputError: the file cannot be read, or is above :data:`MAX_FILE_BYTES`.
        """
        path = self._folder({"clip_id": clip_id}) / name
        return self._content({"clip_id": clip_id}, name) or read_bytes(path, MAX_FILE_BYTES)

    def copy_files(self, clip_id: str, folder: Path) -> None:
        """Put a clip's files into a folder, which is made: as hard links where they are files and the disk has links.

        Raises:
            InputError: a file cannot be read.
        """
        copy_linked(self.directory / "clips" / clip_id, folder)

    def _digest(self, row: Mapping[str, Any], name: str) -> str:
        return sha256_file(self._folder(row) / name)

    def _folder(self, row: Mapping[str, Any]) -> Path:
        return self.directory / "clips" / str(row["clip_id"])

    def _read_header(self) -> dict[str, Any]:
        return read_header(self.directory)

    def _content(self, row: Mapping[str, Any], name: str) -> bytes | None:
        """Bytes of a clip's file where it lies within another one; None where it is a file."""
        return None

    def _video(self, path: Path, content: bytes | None) -> UInt8Array:
        video = read_video(path, content=content).frames
        if video.shape[:3] != (self.num_frames, *self.size):
            raise InputError(
                str(path),
                f"must have the clip set's T, H, W {[self.num_frames, *self.size]}, found {list(video.shape[:3])}",
            )
        return video


def _simulated(provenance: Mapping[str, Any]) -> bool:
    joined = provenance.get("joined")
    if isinstance(joined, list):
        return all(isinstance(part, dict) and _simulated(part) for part in joined)
    return provenance.get("generator") == SIMULATOR
