"""A folder as numbered pieces below a chosen size, and back: a tar stream cut up, with a manifest of SHA-256 sums.

PIECES/pieces.json   format, version, sizes, sum of each piece, names of the files
PIECES/part-0000     the stream's bytes, in order
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mask2iv import __version__
from mask2iv.checkpoint import list_checkpoints
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, read_json, reason, sha256_file, write_json

MANIFEST = "pieces.json"
FORMAT, VERSION = "mask2iv-pieces", 1
SMALLEST_PIECE = 1024
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_PART = re.compile(r"part-[0-9]{4,}")


@dataclass(frozen=True)
class Packed:
    """What was packed or unpacked.

    Attributes:
        files: number of files.
        size: bytes of all pieces together.
        pieces: number of pieces.
    """

    files: int
    size: int
    pieces: int


def parse_bytes(text: str, field: str) -> int:
    """A size such as ``15MiB``, ``500 kB`` or ``1048576`` (bytes).

    Raises:
        InputError: another form, or below 1 KiB.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _UNITS:
        raise InputError(f"{field} {text!r}: expected a size such as 15MiB, 20MB or 500KiB")
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size < SMALLEST_PIECE:
        raise InputError(f"{field} {text!r}: a piece holds at least {SMALLEST_PIECE} bytes")
    return size


def resumable_files(run: Path) -> list[Path]:
    """The files of a model folder that its runs need to go on, sorted.

    Left out is what would be written again or is not needed: latent caches, checkpoints before the newest complete
    one of each run, and what a killed process left half-written (hidden names).

    Raises:
        InputError: not a folder, nothing in it, or a link or device in it.
    """
    if not run.is_dir():
        raise InputError(f"run: {run} is not a folder; give a model folder that `mask2iv train --out` has written")
    skipped = {old for folder in run.glob("training/*") for old in list_checkpoints(folder)[:-1]}
    skipped.add(run / "training" / "cache")
    files = []
    for parent, folders, names in os.walk(run):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name not in skipped)
        for path in (here / name for name in (*folders, *names)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InputError(f"run: {path} is a link or a device; only plain files are packed, put a copy there")
        files += [here / name for name in names if not name.startswith(".")]
    if not files:
        raise InputError(f"run: {run} holds no files; train into it first")
    return sorted(files)


def pack(run: Path, out: Path, piece_size: int, overwrite: bool = False) -> Packed:
    """Write what ``run`` needs to be resumed as pieces into the new folder ``out``.

    The folder appears whole, or not at all. The same files give the same bytes.

    Args:
        run: a model folder.
        out: must not exist or be empty, unless ``overwrite``; must lie outside ``run``.
        piece_size: largest size of a piece in bytes, at least 1024.
        overwrite: replace pieces that are there; they are deleted once the new ones stand in their place.

    Raises:
        InputError: nothing to pack, ``out`` cannot be used, no space, or a file changed meanwhile.
    """
    if out.resolve().is_relative_to(run.resolve()) or run.resolve().is_relative_to(out.resolve()):
        raise InputError(f"--out {out} and {run} must not lie in each other; choose another folder")
    if overwrite and out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise InputError(f"--out {out} is a filled folder without {MANIFEST}, not pieces; remove it yourself")
    files = resumable_files(run)
    with atomic_directory(out, overwrite=overwrite) as folder:
        splitter = _Splitter(folder, piece_size)
        try:
            # Streamed ("w|"): nothing is ever held whole, in memory or on disk.
            with tarfile.open(fileobj=splitter, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in files:
                    with path.open("rb") as file:
                        tar.addfile(_entry(path, run, os.fstat(file.fileno()).st_size), file)
            pieces = splitter.finish()
        except OSError as error:
            raise InputError(
                f"cannot pack {run}: {reason(error)}; free some space, and pack while no training writes into it"
            ) from error
        names = [path.relative_to(run).as_posix() for path in files]
        header = {"format": FORMAT, "version": VERSION, "written_by": f"mask2iv {__version__}"}
        packed = Packed(len(files), sum(piece["size"] for piece in pieces), len(pieces))
        write_json(folder / MANIFEST, {**header, "size": packed.size, "pieces": pieces, "files": names})
    return packed


def _entry(path: Path, run: Path, size: int) -> tarfile.TarInfo:
    """Nothing of the machine (owner, times) goes into the stream."""
    info = tarfile.TarInfo(path.relative_to(run).as_posix())
    info.size, info.mode = size, 0o644
    return info


class _Splitter(io.RawIOBase):
    """A sink that writes numbered pieces of at most ``size`` bytes and sums each of them."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__()
        self._folder, self._size = folder, size
        self._pieces: list[dict[str, Any]] = []
        self._file: IO[bytes] | None = None
        self._sum = hashlib.sha256()
        self._filled = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        total = len(view)
        while view:
            if self._file is None:
                self._file = (self._folder / f"part-{len(self._pieces):04d}").open("xb")
            taken = view[: self._size - self._filled]
            self._file.write(taken)
            self._sum.update(taken)
            self._filled += len(taken)
            view = view[len(taken) :]
            if self._filled == self._size:
                self._close_piece()
        return total

    def finish(self) -> list[dict[str, Any]]:
        """Close the last piece. Returns name, size and sum of each."""
        self._close_piece()
        return self._pieces

    def _close_piece(self) -> None:
        if self._file is not None:
            self._file.close()
            name = Path(self._file.name).name
            self._pieces.append({"name": name, "size": self._filled, "sha256": self._sum.hexdigest()})
        self._file, self._sum, self._filled = None, hashlib.sha256(), 0


def unpack(pieces: Path, out: Path, overwrite: bool = False) -> Packed:
    """Put pieces together again in the new folder ``out``, which appears whole or not at all.

    Every sum is checked before anything is written, and only plain files below ``out`` are made (tarfile's data
    filter).

    Raises:
        InputError: missing or damaged pieces (all are named), another format, unsafe content, or ``out`` cannot be
            used.
    """
    listed = _read_manifest(pieces)
    _verify(pieces, listed)
    parts = [pieces / piece["name"] for piece in listed]
    if out.resolve().is_relative_to(pieces.resolve()) or pieces.resolve().is_relative_to(out.resolve()):
        raise InputError(f"--out {out} and {pieces} must not lie in each other; choose another folder")
    files = 0
    with atomic_directory(out, overwrite=overwrite) as folder:
        try:
            with tarfile.open(fileobj=io.BufferedReader(_Joiner(parts)), mode="r|") as tar:
                for member in tar:
                    if not member.isfile():
                        raise InputError(f"{pieces}: {member.name!r} is not a plain file; these are not our pieces")
                    tar.extract(member, folder, filter="data")
                    files += 1
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"cannot unpack {pieces}: {reason(error)}") from error
    return Packed(files, sum(piece["size"] for piece in listed), len(parts))


def _read_manifest(pieces: Path) -> list[dict[str, Any]]:
    if not (pieces / MANIFEST).is_file():
        raise InputError(f"pieces: {pieces} holds no {MANIFEST}; give a folder that `mask2iv pack` has written")
    read = read_json(pieces / MANIFEST)
    if not isinstance(read, dict) or read.get("format") != FORMAT or read.get("version") != VERSION:
        raise InputError(f"pieces: {pieces / MANIFEST} is not of the format {FORMAT} version {VERSION}")
    listed = read.get("pieces")
    if not isinstance(listed, list) or not listed or not all(_is_piece(piece) for piece in listed):
        raise InputError(f"pieces: {pieces / MANIFEST} is damaged: its list of pieces cannot be read; copy it again")
    return listed


def _is_piece(piece: Any) -> bool:
    kinds = {"name": str, "size": int, "sha256": str}
    typed = isinstance(piece, dict) and all(isinstance(piece.get(key), kind) for key, kind in kinds.items())
    # A name with a slash would read outside the folder.
    return typed and _PART.fullmatch(piece["name"]) is not None


def _verify(pieces: Path, listed: list[dict[str, Any]]) -> None:
    missing = [piece["name"] for piece in listed if not (pieces / piece["name"]).is_file()]
    if missing:
        raise InputError(f"pieces: {pieces} lacks {', '.join(missing)} of {len(listed)} pieces; bring them too")
    damaged = [piece["name"] for piece in listed if not _is_intact(pieces / piece["name"], piece)]
    if damaged:
        raise InputError(f"pieces: {', '.join(damaged)} in {pieces} differ from their SHA-256 sums; copy them again")


def _is_intact(path: Path, piece: dict[str, Any]) -> bool:
    return path.stat().st_size == piece["size"] and sha256_file(path) == piece["sha256"]


class _Joiner(io.RawIOBase):
    """The pieces read as one stream."""

    def __init__(self, parts: list[Path]) -> None:
        super().__init__()
        self._chunks = _chunks(parts)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _chunks(parts: list[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(1 << 16):
                yield chunk
