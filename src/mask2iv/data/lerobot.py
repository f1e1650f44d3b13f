"""How LeRobot data sets lie on disk, versions 3.0 and 2.x, and what this program adds to those that it writes.

meta/info.json                            version, rate, features, templates of paths
meta/tasks.parquet                        v2: tasks.jsonl
meta/episodes/chunk-000/file-000.parquet  v2: episodes.jsonl
data/chunk-000/file-000.parquet           many episodes in a file; v2: one
videos/KEY/chunk-000/file-000.mp4         the same
meta/mask2iv.json                         of this program: what a clip has beside frames, masks and a task
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from mask2iv.config import read_config
from mask2iv.errors import InputError

VERSION = "v3.0"
OLDER = ("v2.0", "v2.1")
EPISODES_PER_CHUNK = 1000

CAMERA = "observation.images.main"
MASKS = "observation.masks"
"""Feature of the label pictures of sets that this program writes."""
STATE, ACTION = "observation.state", "action"
"""Features of sets whose clips were executed by an arm."""
OWN_FORMAT = "mask2iv-lerobot"

INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
OWN_PATH = "meta/mask2iv.json"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that each data set has."""

_PLACE = re.compile(r"\{(\w+)(?::0?([0-9]{1,2})d)?\}")


class Feature(TypedDict):
    """A feature of ``info.json``."""

    dtype: str
    shape: list[int]
    names: NotRequired[Any]
    info: NotRequired[Any]


class Info(TypedDict):
    """What is read of ``info.json``."""

    codebase_version: str
    fps: Annotated[float, Field(ge=0.001, le=1000)]
    features: dict[str, Feature]
    data_path: str
    video_path: NotRequired[str | None]
    chunks_size: NotRequired[Annotated[int, Field(ge=1)]]
    splits: NotRequired[dict[str, str] | None]


class OwnEpisode(TypedDict):
    """What a clip has beside frames, masks and a task."""

    clip_id: str
    verb: str
    object_name: str
    actor: str
    split: str | None
    synthetic: bool
    contact: list[int] | None
    metadata: dict[str, Any]
    motion: NotRequired[dict[str, Any] | None]


class Own(TypedDict):
    """``meta/mask2iv.json``."""

    format: Literal["mask2iv-lerobot"]
    version: Literal[1]
    episodes: list[OwnEpisode]


def read_info(root: Path) -> Info:
    """The checked contents of ``meta/info.json``.

    Raises:
        InputError: missing, damaged, or of another version than v3.0, v2.1 and v2.0.
    """
    path = root / INFO_PATH
    info = read_config(path, Info, "ignore")
    if info["codebase_version"] not in (VERSION, *OLDER):
        raise InputError(
            f"{path}: codebase_version",
            f"expected {VERSION} or {', '.join(OLDER)}, found {info['codebase_version'][:40]!r}",
            "convert the data set with the lerobot package",
        )
    return info


def read_own(root: Path) -> Own | None:
    """The checked contents of ``meta/mask2iv.json``; None where another program wrote the data set."""
    path = root / OWN_PATH
    return read_config(path, Own, "ignore") if path.is_file() else None


def filled(template: str, values: Mapping[str, int | str], root: Path) -> Path:
    """A path of the data set by its template. Only names and widths are filled in: a template may come from anywhere.

    Raises:
        InputError: an unknown name, or a path that leads out of the data set.
    """

    def one(match: re.Match[str]) -> str:
        name, width = match[1], match[2]
        if name not in values:
            raise InputError(str(root / INFO_PATH), f"the path {template[:100]!r} needs an unknown {name}")
        return str(values[name]).zfill(int(width or 0))

    text = _PLACE.sub(one, template)
    parts = Path(text).parts
    if Path(text).is_absolute() or ".." in parts or not parts:
        raise InputError(str(root / INFO_PATH), f"the path {text[:100]!r} leads out of the data set")
    return root / text


def cameras(info: Info) -> dict[str, Literal["video", "image"]]:
    """Features with pictures by how they are stored, but for depth and for label pictures of this program."""
    found: dict[str, Literal["video", "image"]] = {}
    for key, feature in info["features"].items():
        details = feature.get("info")
        depth = isinstance(details, dict) and any(details.get(name) for name in ("is_depth_map", "video.is_depth_map"))
        if key != MASKS and not depth:
            if feature["dtype"] == "video":
                found[key] = "video"
            elif feature["dtype"] == "image":
                found[key] = "image"
    return found
