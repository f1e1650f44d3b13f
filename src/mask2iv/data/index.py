"""The header and the index of a clip set: ``clipset.json`` and ``index.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from mask2iv.config import read_config, read_records
from mask2iv.contract import Clip
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, write_json

FORMAT = "mask2iv-clipset"
VERSION = 1
CLIP_ID = r"^[A-Za-z0-9_-]{1,200}$"
Count = Annotated[int, Field(gt=0, le=100_000_000)]
_Side = Annotated[int, Field(gt=0, le=16_384)]


class SetHeader(TypedDict):
    """What all clips have in common."""

    fps: Annotated[float, Field(gt=0, le=1000)]
    size: tuple[_Side, _Side]
    num_frames: Count
    num_clips: Count
    provenance: dict[str, Any]


class _Header(SetHeader):
    """``clipset.json``."""

    format: Literal["mask2iv-clipset"]
    version: Literal[1]


class Entry(TypedDict):
    """A line of ``index.jsonl``."""

    clip_id: Annotated[str, Field(pattern=CLIP_ID)]
    caption: str
    verb: str
    object_name: str
    actor: str
    contact: list[Literal[0, 1]] | list[bool] | None
    num_frames: int
    metadata: dict[str, Any]


def clip_row(clip: Clip) -> Entry:
    """A clip's entry in the index."""
    return {
        "clip_id": clip.clip_id,
        "caption": clip.caption,
        "verb": clip.verb,
        "object_name": clip.object_name,
        "actor": clip.actor,
        "contact": None if clip.contact is None else clip.contact.astype(int).tolist(),
        "num_frames": clip.trajectory.num_frames,
        "metadata": dict(clip.metadata),
    }


def index_line(row: Mapping[str, Any]) -> str:
    """A clip's line of the index.

    Raises:
        TypeError, ValueError: values that JSON cannot represent.
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False, sort_keys=True)


def set_header(size: tuple[int, int], num_frames: int, fps: float, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of ``clipset.json`` without the number of clips. Arguments: see
    :class:`mask2iv.data.store.ClipSetWriter`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "fps": fps,
        "size": list(size),
        "num_frames": num_frames,
        "provenance": dict(provenance),
    }


def finish_set(directory: Path, lines: Mapping[str, str], header: Mapping[str, Any]) -> None:
    """Write the index, then the header, which completes a clip set.

    Args:
        directory: folder with the clips' files.
        lines: lines of the index (:func:`index_line`), by clip id.
        header: see :func:`set_header`.
    """
    with atomic_write(directory / "index.jsonl") as temporary:
        temporary.write_text("".join(f"{lines[clip_id]}\n" for clip_id in sorted(lines)), encoding="utf-8")
    provenance = header["provenance"]
    rest = {key: value for key, value in header.items() if key != "provenance"}
    write_json(directory / "clipset.json", {**rest, "num_clips": len(lines), "provenance": provenance})


def read_header(directory: Path) -> dict[str, Any]:
    """The checked contents of ``clipset.json``; nothing else of the set is read.

    Raises:
        InputError: the folder is missing, unfinished or of another version.
    """
    if not os.path.isdir(directory):
        raise InputError(str(directory), "expected the folder of a clip set, but it does not exist")
    path = directory / "clipset.json"
    if not path.is_file():
        raise InputError(
            str(directory),
            "has no clipset.json: it holds shards"
            if (directory / "shards.json").is_file()
            else "has no clipset.json: it is not a clip set, or its writing was interrupted",
            "write it again",
        )
    return dict(read_config(path, _Header, "ignore"))


def read_index(path: Path) -> list[dict[str, Any]]:
    """The checked entries of an ``index.jsonl``; the clips' files are not looked at.

    Raises:
        InputError: missing, a damaged line, or a repeated clip id.
    """
    rows = [dict(row) for row in read_records(path, Entry)]
    if len({row["clip_id"] for row in rows}) != len(rows):
        raise InputError(str(path), "lists a clip_id twice")
    return rows
