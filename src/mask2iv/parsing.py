"""JSON and arrays from untrusted files: bounded, without code, with errors that name the file."""

from __future__ import annotations

import codecs
import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from mask2iv.errors import InputError
from mask2iv.files import reason, require_regular

MAX_JSON_BYTES = 2**28
"""Most bytes of a JSON file: an index of half a million clips."""

MAX_ARRAY_BYTES = 2**31

# What numpy and zipfile raise on damaged archives.
ARCHIVE_FAULTS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError, OverflowError, SyntaxError),
    *(MemoryError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error),
)
_HUGE_EXPONENT = re.compile(rb"\d[eE]\+?\d{3}")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a UTF-8 JSON file.

    Raises:
        InputError: the file is missing, above :data:`MAX_JSON_BYTES`, or no JSON as :func:`parse_json` reads it; named.
    """
    text = read_text_bytes(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(str(path), f"is not valid JSON: {reason(error)}") from error


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """Number and value of each line of a file of JSON lines; blank lines are skipped.

    Raises:
        InputError: as :func:`read_json` does, naming the line.
    """
    # Not splitlines: JSON text may hold the rarer line separators as they are.
    for number, line in enumerate(read_text_bytes(path).split(b"\n"), start=1):
        if line.strip():
            try:
                value = parse_json(line)
            except ValueError as error:
                raise InputError(f"{path}: line {number}", f"not JSON: {reason(error)}") from error
            yield number, value


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text: at most 200 levels deep; no NaN, infinity or lone surrogate in it.

    Raises:
        ValueError: it is not such JSON, or not UTF-8.
    """
    raw = text.encode() if isinstance(text, str) else text
    value = from_json(raw, allow_inf_nan=False)
    # 1e999 is no constant that the parser refuses, and reads as infinity.
    if _HUGE_EXPONENT.search(raw) and _holds_infinity(value):
        raise ValueError("a number is too large")
    return value


def _holds_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_infinity, value)) if isinstance(value, list) else value in (math.inf, -math.inf)


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Bytes of a file.

    Raises:
        InputError: missing, no file, or above ``max_bytes``.
    """
    require_regular(path)
    try:
        with open(path, "rb") as file:
            # A read allocates its whole size at once.
            size = os.fstat(file.fileno()).st_size
            content = file.read(size) if size <= max_bytes else b""
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {reason(error)}") from error
    if size > max_bytes:
        raise InputError(str(path), f"has more than {max_bytes // 2**20} MiB")
    return content


def read_text_bytes(path: str | os.PathLike[str]) -> bytes:
    """Bytes of a small UTF-8 text file, without a byte order mark.

    Raises:
        InputError: missing, no file, above :data:`MAX_JSON_BYTES`, or not UTF-8.
    """
    text = read_bytes(path, MAX_JSON_BYTES)
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is not UTF-8 text: {reason(error)}", "save it as UTF-8 text") from error
    return text.removeprefix(codecs.BOM_UTF8)


def read_arrays(
    path: str | os.PathLike[str],
    wanted: Collection[str] | None = None,
    max_bytes: int = MAX_ARRAY_BYTES,
    content: bytes | None = None,
) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` file by name.

    Args:
        path: the file.
        wanted: names that must be there; None for all that are.
        max_bytes: most bytes of all of them when expanded. A small file can expand to gigabytes.
        content: the file's bytes, where they lie within another file; ``path`` only names them then.

    Raises:
        InputError: missing, damaged, above ``max_bytes``, without a wanted array, or with Python objects in it.
    """
    if content is None:
        require_regular(path)
    try:
        # Pickled objects are refused: they could run code.
        with np.load(path if content is None else io.BytesIO(content), allow_pickle=False) as archive:
            names = archive.files if wanted is None else list(wanted)
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise InputError(str(path), f"holds no array {missing[0]!r}; it holds {', '.join(archive.files)[:200]}")
            size = sum(archive.zip.getinfo(f"{name}.npy").file_size for name in names)
            if size > max_bytes:
                raise InputError(str(path), f"expands to {size:,} bytes; at most {max_bytes:,} are read")
            return {name: archive[name] for name in names}
    except InputError:
        raise
    except ARCHIVE_FAULTS as error:
        raise InputError(str(path), f"is not a file of arrays, or is damaged: {reason(error)}") from error
