"""Clips opened by the folder they lie in: a clip set, shards, or one of several splits."""

from __future__ import annotations

import os
from pathlib import Path

from mask2iv.data.shards import HEADER as SHARDS
from mask2iv.data.shards import ShardedClips
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError


def open_clips(directory: str | os.PathLike[str]) -> ClipSet:
    """The clips of a folder: a clip set, or shards of one.

    Raises:
        InputError: neither, or a damaged one.
    """
    return ShardedClips(directory) if holds_shards(directory) else ClipSet(directory)


def holds_shards(directory: str | os.PathLike[str]) -> bool:
    """Whether a folder holds shards, complete or not."""
    return (Path(directory) / SHARDS).is_file()


def split_folders(directory: str | os.PathLike[str]) -> list[str]:
    """Names of the folders with clips in a folder that is no clip set itself, sorted; none where it is one."""
    root = Path(directory)
    if _holds_clips(root) or not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if path.is_dir() and _holds_clips(path))


def open_split(directory: str | os.PathLike[str], split: str | None = None) -> ClipSet:
    """Clips or one of their splits: those in ``directory/split``, or those whose metadata name the split.

    Raises:
        InputError: no such clips or split; the message lists the splits that exist.
    """
    if split is None:
        return open_clips(directory)
    root = Path(directory)
    if _holds_clips(root / split):
        return open_clips(root / split)
    folders = split_folders(root)
    if folders:
        raise InputError(f"split {split!r}", f"{root} has {', '.join(folders)}")
    clips = open_clips(root)
    named = [row["clip_id"] for row in clips.rows if row["metadata"].get("split") == split]
    if not named:
        there = sorted({str(row["metadata"]["split"]) for row in clips.rows if "split" in row["metadata"]})
        raise InputError(
            f"split {split!r}", f"{root} has {', '.join(there) or 'no splits'}", "" if there else "leave it out"
        )
    return clips.where(named)


def _holds_clips(folder: Path) -> bool:
    return (folder / "clipset.json").is_file() or holds_shards(folder)
