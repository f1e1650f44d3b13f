"""Parquet tables of foreign data sets: only the columns and rows that are asked for, with errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import reason, require_file

MAX_ROW_GROUP_BYTES = 2**32
"""Most bytes of the columns that are read at once."""


def pyarrow() -> Any:
    """The library, with its Parquet module loaded. Raises InputError where it is not installed."""
    require("pyarrow.parquet", "LeRobot data sets", "data")
    return require("pyarrow", "LeRobot data sets", "data")


@contextmanager
def opened(path: Path, field: str) -> Iterator[Any]:
    """An open Parquet file (``pyarrow.parquet.ParquetFile``); errors within the block are told as the file's.

    Raises:
        InputError: missing, damaged, or not Parquet.
    """
    arrow = pyarrow()
    require_file(path, field)
    try:
        with arrow.parquet.ParquetFile(path) as file:
            yield file
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(field, f"{path} cannot be read as a table: {reason(error)[:300]}", "copy it again") from error


def read_columns(path: Path, names: Sequence[str], field: str, optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns of a table as Python values.

    Args:
        path: the file.
        names: columns that must be there.
        field: name of the input in messages.
        optional: columns that may be absent; they are left out of the result then.

    Raises:
        InputError: missing, damaged, without a column, or more than :data:`MAX_ROW_GROUP_BYTES`.
    """
    with opened(path, field) as file:
        there = file.schema_arrow.names
        missing = [name for name in names if name not in there]
        if missing:
            raise InputError(field, f"{path} has no column {missing[0]!r}")
        wanted = [*names, *(name for name in optional if name in there)]
        for group in range(file.num_row_groups):
            _check_bytes(file, group, wanted, path, field)
        found: dict[str, list[Any]] = file.read(columns=wanted).to_pydict()
        return found


def episode_rows(path: Path, column: str, episode: int, wanted: Sequence[int], field: str) -> Iterator[Any]:
    """Values of a column in some rows of an episode, one by one. Row groups of other episodes are not read.

    Args:
        path: a table with columns ``episode_index`` and ``frame_index``.
        column: the column.
        episode: number of the episode.
        wanted: frame numbers, rising.
        field: name of the input in messages.

    Raises:
        InputError: missing, damaged, without the column, or without one of the frames.
    """
    left = list(wanted)
    with opened(path, field) as file:
        names = ["episode_index", "frame_index", column]
        for name in names:
            if name not in file.schema_arrow.names:
                raise InputError(field, f"{path} has no column {name!r}")
        key = _leaf(file, "episode_index")
        for group in range(file.num_row_groups):
            if not left:
                return
            bounds = file.metadata.row_group(group).column(key).statistics
            if bounds is not None and bounds.has_min_max and not bounds.min <= episode <= bounds.max:
                continue
            _check_bytes(file, group, names, path, field)
            table = file.read_row_group(group, columns=names)
            episodes, frames = (table.column(name).to_pylist() for name in names[:2])
            for row, (of, frame) in enumerate(zip(episodes, frames, strict=True)):
                if left and of == episode and frame == left[0]:
                    del left[0]
                    yield table.column(column)[row].as_py()
    if left:
        raise InputError(field, f"{path} has no frame {left[0]} of episode {episode}")


def _leaf(file: Any, name: str) -> int:
    """Index of a simple column among those of the file, where others have parts."""
    paths = [file.schema.column(index).path for index in range(file.metadata.num_columns)]
    return paths.index(name)


def _check_bytes(file: Any, group: int, names: Sequence[str], path: Path, field: str) -> None:
    one = file.metadata.row_group(group)
    columns = (one.column(index) for index in range(one.num_columns))
    size = sum(part.total_uncompressed_size for part in columns if _belongs(part.path_in_schema, names))
    if size > MAX_ROW_GROUP_BYTES:
        raise InputError(field, f"{path} expands to {size:,} bytes; at most {MAX_ROW_GROUP_BYTES:,} are read")


def _belongs(place: str, names: Sequence[str]) -> bool:
    """Whether a column of the file is one of the table's columns, or a part of one. Names may hold dots."""
    return any(place == name or place.startswith(f"{name}.") for name in names)
