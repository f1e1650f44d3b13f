"""Clips in a few large files: tar shards in WebDataset's layout, read without unpacking.

    DIR/shards.json          format, version, fps, size, num_frames, num_clips, provenance, shards (name, bytes, sha256)
    DIR/index.jsonl          as in a clip set
    DIR/members.jsonl        of each clip: its shard, and offset, length and SHA-256 of its video and labels there
    DIR/NAME-000000.tar      of each clip ID.video.mp4, ID.labels.npz and ID.json, one after the other

The members of a tar file are stored as they are, so a clip is two reads at known places: any order of clips costs the
same, and training goes on exactly where it stopped. The digests are compared as clips are read.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from mask2iv.config import read_config, read_records
from mask2iv.data.index import Count, SetHeader, index_line
from mask2iv.data.join import check_alike
from mask2iv.data.store import CLIP_FILES, MAX_FILE_BYTES, ClipSet
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, atomic_write, reason, sha256_file, write_json

HEADER = "shards.json"
FORMAT = "mask2iv-shards"
VERSION = 1
SHARD_NAME = r"^[A-Za-z0-9_-]{1,100}-[0-9]{6}\.tar$"
_Size = Annotated[int, Field(ge=0, le=2**50)]
_SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Place = tuple[_Size, _Size, _SHA256]


class _Shard(TypedDict):
    name: Annotated[str, Field(pattern=SHARD_NAME)]
    bytes: _Size
    sha256: _SHA256
    clips: Count


class _Header(SetHeader):
    """``shards.json``."""

    format: Literal["mask2iv-shards"]
    version: Literal[1]
    shards: list[_Shard]


class _Members(TypedDict):
    """A line of ``members.jsonl``."""

    clip_id: str
    shard: _Size
    files: dict[str, _Place]


class ShardedClips(ClipSet):
    """Clips in shards, with all that a :class:`~mask2iv.data.store.ClipSet` offers.

    Raises:
        InputError: the folder is unfinished or of another version, an index is damaged, or a shard is missing or has
            another length than was written; when reading, a clip whose bytes have changed.
    """

    HEADER = HEADER

    def _read_header(self) -> dict[str, Any]:
        return dict(read_config(self.directory / HEADER, _Header, "ignore"))

    def _check_files(self) -> None:
        path = self.directory / "members.jsonl"
        self._members = {one["clip_id"]: one for one in read_records(path, _Members)}
        shards = self.info["shards"]
        for shard in shards:
            found = self.directory / shard["name"]
            if not found.is_file():
                raise InputError(str(self.directory), f"lacks its shard {shard['name']}", "copy it again")
            if found.stat().st_size != shard["bytes"]:
                problem = f"has {found.stat().st_size:,} bytes, {shard['bytes']:,} were written"
                raise InputError(str(found), problem, "copy it again")
        for row in self.rows:
            one = self._members.get(row["clip_id"])
            if one is None or set(one["files"]) != set(CLIP_FILES) or one["shard"] >= len(shards):
                raise InputError(str(path), f"does not say where clip {row['clip_id']} lies", "copy it again")

    def _content(self, row: Mapping[str, Any], name: str) -> bytes:
        one = self._members[row["clip_id"]]
        offset, length, sha256 = one["files"][name]
        shard = self.directory / self.info["shards"][one["shard"]]["name"]
        if length > MAX_FILE_BYTES:
            raise InputError(str(shard), f"{name} of clip {row['clip_id']} has more than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            with shard.open("rb") as file:
                # No more than is there is asked for: reading takes memory for all of it at once.
                file.seek(offset)
                content = file.read(min(length, max(0, os.fstat(file.fileno()).st_size - offset)))
        except OSError as error:
            raise InputError(str(shard), f"cannot be read: {reason(error)}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(str(shard), f"{name} of clip {row['clip_id']} is damaged", "copy the shard again")
        return content

    def copy_files(self, clip_id: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        for name in CLIP_FILES:
            (folder / name).write_bytes(self.contents(clip_id, name))

    def _digest(self, row: Mapping[str, Any], name: str) -> str:
        return str(self._members[row["clip_id"]]["files"][name][2])

    def _folder(self, row: Mapping[str, Any]) -> Path:
        # Names a clip's files in messages: the shard, then the clip as if it were a folder in it.
        shard = self.info["shards"][self._members[row["clip_id"]]["shard"]]["name"]
        return self.directory / shard / str(row["clip_id"])


def write_shards(
    sets: Sequence[ClipSet], out: Path, name: str = "clips", max_bytes: int = 256 * 10**6, overwrite: bool = False
) -> list[str]:
    """Writes the clips of sets as shards; same clips, same bytes. The folder appears once it is complete.

    Args:
        sets: clip sets of one size, length and rate; clips are ordered by id.
        out: a folder that does not exist or is empty.
        name: how the shards' names begin.
        max_bytes: a shard ends before it gets larger, unless a single clip is.
        overwrite: replace a filled folder.

    Returns:
        Names of the shards.

    Raises:
        InputError: sets that do not go together, a clip that cannot be read, or a folder that cannot be written.
    """
    if not tarfile_name(name):
        raise InputError("name", f"must be 1 to 100 letters, digits, - and _, found {name!r}")
    first, rows = sets[0], _joined(sets)
    members: list[dict[str, Any]] = []
    shards: list[dict[str, Any]] = []
    with atomic_directory(out, overwrite) as folder:
        waiting = sorted(rows)
        while waiting:
            path = folder / f"{name}-{len(shards):06d}.tar"
            count = 0
            with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
                while waiting:
                    row, clips = rows[waiting[0]]
                    files = {part: clips.contents(waiting[0], part) for part in CLIP_FILES}
                    files["json"] = (index_line(row) + "\n").encode()
                    # A header and padding for each, and the end of the archive.
                    size = sum(len(content) + 1024 for content in files.values()) + tarfile.RECORDSIZE
                    if count and tar.offset + size > max_bytes:
                        break
                    places = dict(_added(tar, waiting.pop(0), files))
                    kept = {part: places[part] for part in CLIP_FILES}
                    members.append({"clip_id": row["clip_id"], "shard": len(shards), "files": kept})
                    count += 1
            shards.append(
                {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path), "clips": count}
            )
        lines = [index_line(rows[clip_id][0]) for clip_id in sorted(rows)]
        for file, text in (("index.jsonl", lines), ("members.jsonl", map(index_line, members))):
            with atomic_write(folder / file) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        provenances = [{"num_clips": len(one), **one.info["provenance"]} for one in sets]
        header = {"format": FORMAT, "version": VERSION, "fps": first.fps, "size": list(first.size)}
        header |= {"num_frames": first.num_frames, "num_clips": len(rows)}
        provenance = first.info["provenance"] if len(sets) == 1 else {"joined": provenances}
        write_json(folder / HEADER, {**header, "provenance": provenance, "shards": shards})
    return [shard["name"] for shard in shards]


def _joined(sets: Sequence[ClipSet]) -> dict[str, tuple[dict[str, Any], ClipSet]]:
    """Row and set of each clip by its id.

    Raises:
        InputError: sets that differ in size, length or rate, or hold the same clip id.
    """
    rows: dict[str, tuple[dict[str, Any], ClipSet]] = {}
    for one in sets:
        check_alike(sets[0], one)
        for row in one.rows:
            if row["clip_id"] in rows:
                other = rows[row["clip_id"]][1]
                raise InputError("sets", f"{other.directory} and {one.directory} both hold a clip {row['clip_id']}")
            rows[row["clip_id"]] = row, one
    return rows


def tarfile_name(name: str) -> bool:
    """Whether shards may be called so."""
    return 1 <= len(name) <= 100 and name.isascii() and name.replace("-", "").replace("_", "").isalnum()


def _added(tar: tarfile.TarFile, clip_id: str, files: Mapping[str, bytes]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Adds a clip's files; gives the name, offset, length and SHA-256 of each."""
    for part, content in files.items():
        entry = tarfile.TarInfo(f"{clip_id}.{part}")
        entry.size, entry.mode = len(content), 0o644
        tar.addfile(entry, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        yield part, (tar.offset - padded, len(content), hashlib.sha256(content).hexdigest())
