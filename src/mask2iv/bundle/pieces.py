"""Splits a folder into numbered pieces below a chosen size and restores it: a tar stream with SHA-256 sums.

PIECES/pieces.json   format, version, sizes, sum of each piece, names of the files
PIECES/part-0000     the stream's bytes, in order
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from mask2iv import __version__
from mask2iv.config import read_config
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, reason, sha256_file, write_json

MANIFEST = "pieces.json"
FORMAT, VERSION = "mask2iv-pieces", 1
SMALLEST_PIECE = 1024
_NOT_OURS = "give a folder that `mask2iv pack` has written"
_PART = r"^part-[0-9]{4,}$"


@dataclass(frozen=True)
class Packed:
    """The extent of what was packed or unpacked.

    Attributes:
        files: number of files.
        size: bytes of all pieces together.
        pieces: number of pieces.
    """

    files: int
    size: int
    pieces: int


def resumable_files(run: Path) -> list[Path]:
    """The files of a model folder that are needed to resume its runs, sorted.

    Latent caches, checkpoints before the newest complete one of each run, and hidden files, which a killed process
    leaves half-written, are omitted.

    Raises:
        InputError: not a folder, an empty one, or one with a link or device in it.
    """
    if not run.is_dir():
        raise InputError("run", f"{run} is not a folder", "give a model folder that `mask2iv train` has written")
    from mask2iv.training.engine.checkpoint import list_checkpoints

    skipped = {old for folder in run.glob("training/*") for old in list_checkpoints(folder)[:-1]}
    skipped.add(run / "training" / "cache")
    files = []
    for parent, folders, names in os.walk(run):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name not in skipped)
        for path in (here / name for name in (*folders, *names)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InputError(
                    "run", f"{path} is a link or a device", "only plain files are packed: put a copy there"
                )
        files += [here / name for name in names if not name.startswith(".")]
    if not files:
        raise InputError("run", f"{run} holds no files", "train into it first")
    return sorted(files)


def pack(run: Path, out: Path, piece_size: int, overwrite: bool = False) -> Packed:
    """Write the files needed to resume ``run`` as pieces into the new folder ``out``.

    The folder appears complete or not at all. The same files give the same bytes.

    Args:
        run: a model folder.
        out: must not exist or be empty, unless ``overwrite``; must lie outside ``run``.
        piece_size: largest size of a piece in bytes, at least 1024.
        overwrite: replace existing pieces; they are deleted once the new ones are in place.

    Raises:
        InputError: nothing to pack, ``out`` cannot be used, no space, or a file changed in the meantime.
    """
    if out.resolve().is_relative_to(run.resolve()) or run.resolve().is_relative_to(out.resolve()):
        raise InputError("out", f"{out} and {run} must not be within each other", "choose another folder")
    if overwrite and out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise InputError("out", f"{out} is a filled folder without {MANIFEST}, not pieces", "remove it yourself")
    files = resumable_files(run)
    with atomic_directory(out, overwrite=overwrite) as folder:
        splitter: Any = _Splitter(folder, piece_size)
        pieces: list[dict[str, Any]]
        try:
            # Streamed ("w|"), so the whole tar file never exists in memory or on disk.
            with closing(splitter), tarfile.open(fileobj=splitter, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in files:
                    with path.open("rb") as file:
                        tar.addfile(_entry(path, run, os.fstat(file.fileno()).st_size), file)
            pieces = [{"name": p.name, "size": p.stat().st_size, "sha256": sha256_file(p)} for p in splitter.parts]
        except OSError as error:
            remedy = "free some space, and pack while no training writes into it"
            raise InputError("run", f"{run} cannot be packed: {reason(error)}", remedy) from error
        names = [path.relative_to(run).as_posix() for path in files]
        header = {"format": FORMAT, "version": VERSION, "written_by": f"mask2iv {__version__}"}
        packed = Packed(len(files), sum(piece["size"] for piece in pieces), len(pieces))
        write_json(folder / MANIFEST, {**header, "size": packed.size, "pieces": pieces, "files": names})
    return packed


def _entry(path: Path, run: Path, size: int) -> tarfile.TarInfo:
    """A tar header without owner and times, so that the stream depends on the files alone."""
    info = tarfile.TarInfo(path.relative_to(run).as_posix())
    info.size, info.mode = size, 0o644
    return info


class _Piece(TypedDict):
    # A name with a slash would lead outside the folder.
    name: Annotated[str, Field(pattern=_PART)]
    size: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    """``pieces.json``, as far as it is read."""

    format: Literal["mask2iv-pieces"]
    version: Literal[1]
    pieces: Annotated[list[_Piece], Field(min_length=1)]


class _Splitter:
    """Writes numbered pieces of at most ``size`` bytes."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._file: IO[bytes] | None = None
        self.parts: list[Path] = []

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            if self._file is None or self._file.tell() == self._size:
                self.close()
                self.parts.append(self._folder / f"part-{len(self.parts):04d}")
                self._file = self.parts[-1].open("xb")
            written = self._file.write(rest[: self._size - self._file.tell()])
            rest = rest[written:]
        return len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def unpack(pieces: Path, out: Path, overwrite: bool = False) -> Packed:
    """Restore the packed files in the new folder ``out``, which appears complete or not at all.

    Every sum is checked before anything is written, and only plain files below ``out`` are written (tarfile's data
    filter).

    Raises:
        InputError: missing or damaged pieces (all are named), another format, unsafe content, or ``out`` cannot be
            used.
    """
    listed = _read_manifest(pieces)
    _verify(pieces, listed)
    parts = [pieces / piece["name"] for piece in listed]
    if out.resolve().is_relative_to(pieces.resolve()) or pieces.resolve().is_relative_to(out.resolve()):
        raise InputError("out", f"{out} and {pieces} must not be within each other", "choose another folder")
    files = 0
    with atomic_directory(out, overwrite=overwrite) as folder:
        try:
            with tarfile.open(fileobj=cast(Any, _Joined(parts)), mode="r|") as tar:
                for member in tar:
                    if not member.isfile():
                        raise InputError("pieces", f"{member.name!r} in {pieces} is not a plain file", _NOT_OURS)
                    tar.extract(member, folder, filter="data")
                    files += 1
        except (tarfile.TarError, OSError) as error:
            raise InputError("pieces", f"{pieces} cannot be unpacked: {reason(error)}") from error
    return Packed(files, sum(piece["size"] for piece in listed), len(parts))


def _read_manifest(pieces: Path) -> list[dict[str, Any]]:
    if not (pieces / MANIFEST).is_file():
        raise InputError("pieces", f"{pieces} holds no {MANIFEST}", _NOT_OURS)
    return [dict(piece) for piece in read_config(pieces / MANIFEST, _Manifest, "ignore").pieces]


def _verify(pieces: Path, listed: list[dict[str, Any]]) -> None:
    missing = [piece["name"] for piece in listed if not (pieces / piece["name"]).is_file()]
    if missing:
        raise InputError("pieces", f"{pieces} lacks {', '.join(missing)} of {len(listed)} pieces", "copy them too")
    damaged = [piece["name"] for piece in listed if not _is_intact(pieces / piece["name"], piece)]
    if damaged:
        raise InputError(
            "pieces", f"{', '.join(damaged)} in {pieces} differ from their SHA-256 sums", "copy them again"
        )


def _is_intact(path: Path, piece: dict[str, Any]) -> bool:
    return path.stat().st_size == piece["size"] and sha256_file(path) == piece["sha256"]


class _Joined:
    """Reads the pieces as one stream, in chunks of any size: all that tarfile needs."""

    def __init__(self, parts: list[Path]) -> None:
        self._chunks = _chunks(parts)

    def read(self, size: int) -> bytes:
        return next(self._chunks, b"")


def _chunks(parts: list[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(1 << 16):
                yield chunk
