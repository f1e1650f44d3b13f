"""Builders of small LeRobot data sets in the layouts of other programs: versions 2.1 and 3.0, two cameras.

There are three episodes of grey frames that tell which they are. The camera TOP is a video, WRIST are pictures in the
table, of inverted colours.
"""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.media.videos import write_video

SIZE, FPS = (32, 48), 5
LENGTHS = (4, 6, 5)
TOP, WRIST = "observation.images.top", "observation.images.wrist"


def frame(episode: int, index: int) -> UInt8Array:
    return np.full((*SIZE, 3), 50 * episode + 8 * index + 20, dtype=np.uint8)


def jpeg(picture: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(255 - picture).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def info(root: Path, version: str, **paths: Any) -> None:
    shape = {"shape": [*SIZE, 3], "names": ["height", "width", "channels"]}
    features = {TOP: {"dtype": "video", **shape}, WRIST: {"dtype": "image", **shape}}
    features |= {"action": {"dtype": "float32", "shape": [2], "names": None}}
    value = {"codebase_version": version, "fps": FPS, "features": features, "total_episodes": 3, **paths}
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta/info.json").write_text(json.dumps(value))


def rows(episode: int) -> dict[str, list[Any]]:
    """Episode 1 changes its task after two frames."""
    count = LENGTHS[episode]
    return {
        "frame_index": list(range(count)),
        "episode_index": [episode] * count,
        "task_index": [1 if episode == 1 and index < 2 else 0 for index in range(count)],
        WRIST: [{"bytes": jpeg(frame(episode, index)), "path": None} for index in range(count)],
    }


def write_third(root: Path) -> Path:
    """Version 3.0: one video file and one table for all episodes. The folder, which is made."""
    arrow, parquet = _tables()
    paths = {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "splits": {"train": "0:2", "val": "2:3"},
    }
    info(root, "v3.0", **paths)
    parts = [np.stack([frame(one, index) for index in range(LENGTHS[one])]) for one in range(3)]
    write_video(root / "videos" / TOP / "chunk-000" / "file-000.mp4", np.concatenate(parts), FPS)
    data = root / "data/chunk-000/file-000.parquet"
    data.parent.mkdir(parents=True)
    tables = [arrow.Table.from_pydict(rows(one)) for one in range(3)]
    with parquet.ParquetWriter(data, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    starts = np.cumsum([0, *LENGTHS[:-1]]) / FPS
    tasks = [["pick up the cup"], ["open the drawer", "pick up the cup"], ["pick up the cup"]]
    episodes = {"episode_index": [0, 1, 2], "length": LENGTHS, "tasks": tasks}
    episodes |= {f"data/{name}_index": [0, 0, 0] for name in ("chunk", "file")}
    episodes |= {f"videos/{TOP}/{name}_index": [0, 0, 0] for name in ("chunk", "file")}
    episodes |= {f"videos/{TOP}/from_timestamp": starts.tolist()}
    place = root / "meta/episodes/chunk-000/file-000.parquet"
    place.parent.mkdir(parents=True)
    parquet.write_table(arrow.Table.from_pydict(episodes), place)
    named = {"task_index": [0, 1], "__index_level_0__": ["pick up the cup", "open the drawer"]}
    parquet.write_table(arrow.Table.from_pydict(named), root / "meta/tasks.parquet")
    return root


def write_second(root: Path) -> Path:
    """Version 2.1: files for each episode. The folder, which is made."""
    arrow, parquet = _tables()
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    info(root, "v2.1", chunks_size=2, **paths)
    lines = []
    for one in range(3):
        chunk = f"chunk-{one // 2:03d}"
        pictures = np.stack([frame(one, index) for index in range(LENGTHS[one])])
        write_video(root / "videos" / chunk / TOP / f"episode_{one:06d}.mp4", pictures, FPS)
        data = root / "data" / chunk / f"episode_{one:06d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(arrow.Table.from_pydict(rows(one)), data)
        tasks = ["open the drawer", "pick up the cup"] if one == 1 else ["pick up the cup"]
        lines.append(json.dumps({"episode_index": one, "tasks": tasks, "length": LENGTHS[one]}))
    (root / "meta/episodes.jsonl").write_text("\n".join(lines))
    named = ({"task_index": 0, "task": "pick up the cup"}, {"task_index": 1, "task": "open the drawer"})
    (root / "meta/tasks.jsonl").write_text("\n".join(map(json.dumps, named)))
    return root


def _tables() -> tuple[Any, Any]:
    """pyarrow, which is optional, and its Parquet module."""
    return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
