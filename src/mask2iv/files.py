"""Files: written whole or not at all, read with clear errors. All disk access of the package goes through here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from filelock import lock_descriptor

from mask2iv.errors import InputError

MAKE_ROOM = "make room, or write elsewhere"
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def reason(error: BaseException) -> str:
    """An exception's message on one line, without the errno and path that OSError, and codecs like it, add."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__


def _sibling(path: Path) -> Path:
    """An unused name in the folder of ``path``, with its suffix (encoders choose their format by it)."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(6)}{path.suffix}")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, with the same suffix; moves it to ``path`` when the block succeeds.

    Creates missing parent folders. When the block raises, the temporary file is removed and ``path`` is untouched.

    Raises:
        InputError: ``path`` is not a regular file, or cannot be written.
    """
    target = Path(os.path.abspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise InputError(str(target), "cannot be written: it exists and is not a regular file", "choose another name")
    temporary = _sibling(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.open("xb").close()
    except OSError as error:
        raise InputError(str(target), f"cannot be written: {reason(error)}", "choose a writable place") from error
    try:
        yield temporary
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise InputError(str(target), f"cannot be written: {reason(error)}", "choose a writable place") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_vacant(path: str | os.PathLike[str]) -> None:
    """Check that a folder can appear in a place.

    Raises:
        InputError: ``path`` is a file, or a folder that is filled or cannot be read.
    """
    target = Path(os.path.abspath(path))
    if os.path.exists(target) and not os.path.isdir(target):
        raise InputError(str(target), "cannot be written: a file has this name", "choose another name")
    try:
        filled = target.is_dir() and any(target.iterdir())
    except OSError as error:
        raise InputError(str(target), f"cannot be written: {reason(error)}", "choose a writable place") from error
    if filled:
        raise InputError(
            str(target), "this folder is not empty", "choose another one, remove it, or ask to overwrite it"
        )


@contextmanager
def atomic_directory(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside ``path``; moves it to ``path`` when the block succeeds, else removes it.

    Leftovers of killed writers of ``path`` are removed first. An existing empty folder is replaced. With
    ``overwrite`` a filled one is replaced too; it is deleted only once the new one is in place.

    Raises:
        InputError: ``path`` is a file, or a filled folder without ``overwrite``, or cannot be written.
    """
    target = Path(os.path.abspath(path))
    if not overwrite or not target.is_dir():
        check_vacant(target)
    temporary, retired = _sibling(target), _sibling(target)
    try:
        if target.parent.is_dir():
            remove_leftovers(target.parent, target.stem, target.suffix)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise InputError(str(target), f"cannot be written: {reason(error)}", "choose a writable place") from error
    try:
        with claimed(temporary):
            yield temporary
        try:
            if overwrite and target.is_dir():
                os.replace(target, retired)
            os.replace(temporary, target)
        except OSError as error:
            if retired.exists() and not target.exists():
                os.replace(retired, target)
            raise InputError(str(target), f"cannot be written: {reason(error)}", "choose a writable place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def disk_faults(out: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a full or failing disk into an error of the output. Put around writing of ``out``, or of what becomes it.

    Raises:
        InputError: the disk is full, failing or may not be written to.
    """
    try:
        yield
    except Exception as error:
        # An error that names a file names one in a temporary folder, which nobody knows.
        fault = disk_fault(error)
        if fault is None:
            raise
        raise InputError("out", f"{out} cannot be written: {fault}", MAKE_ROOM) from error


def disk_fault(error: BaseException) -> str | None:
    """What is wrong with the disk, if that is why `error` was raised: full, over quota, failing or read-only."""
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        if number is None and (found := re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(cause))):
            # Libraries written in Rust, and copies of folders, put the number into their messages.
            number = int(found[1] or found[2])
        if number in _DISK_FAULTS:
            return os.strerror(number)
        cause = cause.__cause__ or cause.__context__
    return None


def flush_to_disk(folder: str | os.PathLike[str], recursive: bool = True) -> None:
    """Force a folder's entries, and with ``recursive`` the files in it, to the disk, so that they survive a crash.

    Raises:
        OSError: the disk refuses, for example because it is full.
    """
    paths = [path for path in Path(folder).iterdir() if path.is_file()] if recursive else []
    for path in [*paths, Path(folder)]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_linked(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a folder, with hard links where the file system supports them. For files that are never modified."""
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def remove_directory(path: str | os.PathLike[str]) -> None:
    """Remove a folder atomically: it is complete or gone, even when the program is killed half-way."""
    retired = _sibling(Path(os.path.abspath(path)))
    os.replace(path, retired)
    shutil.rmtree(retired)


def remove_leftovers(folder: str | os.PathLike[str], stem: str | None = None, suffix: str = "") -> list[Path]:
    """Remove the temporary files and folders that killed writers of this module left in ``folder``.

    Folders in which a process is still writing stay.

    Args:
        folder: searched without its subfolders; nothing may be writing files there under the same names.
        stem: of the final name; None for all names.
        suffix: of the final name.

    Returns:
        The removed paths.
    """
    name = r".+" if stem is None else re.escape(stem)
    pattern = re.compile(rf"\.{name}\.[0-9a-f]{{12}}" + (r"(\.\w+)?" if stem is None else re.escape(suffix)))
    removed = []
    for path in [path for path in Path(folder).glob(".*") if pattern.fullmatch(path.name)]:
        if path.is_dir():
            try:
                with claimed(path):
                    shutil.rmtree(path)
            except InputError:
                continue
        else:
            path.unlink()
        removed.append(path)
    return removed


def lock(file: IO[Any], wait: bool) -> bool:
    """Lock an open file. The lock ends when the file is closed or its process ends; it holds between threads too.

    Args:
        file: the lock file.
        wait: wait until the lock is free.

    Returns:
        False if the lock is held elsewhere and `wait` is not set.

    Raises:
        OSError: the file system has no locks.
    """
    return lock_descriptor(file.fileno(), blocking=wait)


@contextmanager
def claimed(folder: str | os.PathLike[str], field: str = "out") -> Iterator[None]:
    """Holds the lock of a folder during the block, so that no other process works on it. It ends with the process.

    Raises:
        InputError: another process holds it; names ``field``.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            free = lock_descriptor(descriptor, blocking=False)
        except OSError:
            free = True  # a file system without locks: there nothing can be claimed
        if not free:
            raise InputError(field, f"another process writes {folder}", "wait for it, or choose another folder")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Holds the lock file ``path`` during the block; waits, with a message, while another process holds it.

    The lock ends with its process: a killed one leaves nothing to wait for.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        if not lock(file, wait=False):
            print(f"{Path(path).stem}: waiting for another process that works on it", file=sys.stderr)
            lock(file, wait=True)
        yield


def require_file(path: str | os.PathLike[str], field: str) -> None:
    """Raises InputError, naming ``field``, unless ``path`` is a file. A name too long to exist counts as absent."""
    if not os.path.isfile(path):
        raise InputError(field, f"{path} {'is not a file' if os.path.exists(path) else 'does not exist'}")


def require_regular(path: str | os.PathLike[str]) -> None:
    """Raises InputError for what is there but no file: a folder, or a pipe, reading which would never end."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(str(path), "is not a file")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits. Raises InputError when the file cannot be read."""
    require_regular(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {reason(error)}") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented UTF-8 JSON, keys in their given order, atomically.

    Raises:
        InputError: ``value`` holds something JSON cannot represent (an array, NaN), or ``path`` cannot be written.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            str(path), f"cannot be written: {reason(error)}", "only plain JSON values can be stored"
        ) from error
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def numbered_files(folder: str | os.PathLike[str], suffixes: Collection[str]) -> list[Path]:
    """The files of ``folder`` with one of ``suffixes`` (lower case, with the dot), ordered by number.

    The number is the last run of digits in the name: ``0007.png``, ``im_7.jpg``. Other files, and hidden ones, are
    ignored.

    Raises:
        InputError: not a folder, no such file, a name without a number, a number twice, or a gap in the numbering.
    """
    folder = Path(folder)
    try:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(str(folder), f"cannot be read as a folder: {reason(error)}") from error
    if not paths:
        raise InputError(str(folder), f"holds no frames; expected numbered files ({', '.join(sorted(suffixes))})")
    by_number: dict[int, Path] = {}
    for path in sorted(paths):
        digits = re.findall(r"[0-9]+", path.stem)
        if not digits:
            raise InputError(
                str(path), "has no frame number in its name", f"name frames 0000{path.suffix}, 0001{path.suffix}"
            )
        number = int(digits[-1])
        if number in by_number:
            raise InputError(str(path), f"{by_number[number].name} is frame {number} too", "keep one")
        by_number[number] = path
    numbers = sorted(by_number)
    for number, following in pairwise(numbers):
        if following != number + 1:
            raise InputError(str(folder), f"jumps from frame {number} to {following}", "add the frames between them")
    return [by_number[number] for number in numbers]
