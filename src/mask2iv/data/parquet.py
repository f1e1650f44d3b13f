"""Parquet tables of foreign data sets: only the columns and rows that are asked for, with errors that name the file.

A small table can expand to terabytes: equal values are stored once, however many rows hold them. So tables are read in
small batches, and what they came to is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import reason, require_file

MAX_ROW_GROUP_BYTES = 2**31
"""Most bytes that the columns may have, by a file's own account, of which rows are read."""
MAX_TABLE_BYTES = 2**29
"""Most bytes of columns that are read as a whole: a hundred numbers for each of half a million rows."""
MAX_CELLS = 2 * 10**7
"""Most values of columns that are read as a whole. As Python values each takes some tens of bytes."""
_BATCH_BYTES, _BATCH_ROWS = 2**29, 2**14


def pyarrow() -> Any:
    """The library, with its Parquet module loaded. Raises InputError where it is not installed."""
    require("pyarrow.parquet", "LeRobot data sets", "data")
    return require("pyarrow", "LeRobot data sets", "data")


@contextmanager
def opened(path: Path, field: str) -> Iterator[Any]:
    """An open Parquet file (``pyarrow.parquet.ParquetFile``); errors within the block become errors of the file.

    Raises:
        InputError: missing, damaged, or not Parquet.
    """
    arrow = pyarrow()
    require_file(path, field)
    # Besides its own errors: values that Python's types do not hold, and metadata that contradict each other.
    faults = (arrow.ArrowException, OSError, ValueError, TypeError, OverflowError, IndexError, MemoryError)
    try:
        with arrow.parquet.ParquetFile(path) as file:
            yield file
    except InputError:
        raise
    except faults as error:
        raise InputError(field, f"{path} cannot be read as a table: {reason(error)[:300]}", "copy it again") from error


def read_columns(path: Path, names: Sequence[str], field: str, integers: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns of a table as Python values.

    Args:
        path: the file.
        names: columns that must be there.
        field: name of the input in messages.
        integers: those of them that must hold integers.

    Raises:
        InputError: missing, damaged, without a column, with one of another kind, or above :data:`MAX_TABLE_BYTES` or
            :data:`MAX_CELLS`.
    """
    with opened(path, field) as file:
        _check_columns(file, names, integers, path, field)
        if file.metadata.num_rows * len(names) > MAX_CELLS:
            problem = f"{path} has {file.metadata.num_rows:,} rows; at most {MAX_CELLS // len(names):,} are read"
            raise InputError(field, problem)
        found: dict[str, list[Any]] = {name: [] for name in names}
        size = 0
        for group in range(file.num_row_groups):
            for batch in _batches(file, group, names, path, field):
                for name in names:
                    values = batch.column(name).to_pylist()
                    # Not the batch's own size: equal values are one there, and as many here.
                    size += _size(values)
                    if size > MAX_TABLE_BYTES:
                        raise InputError(field, f"{path} expands to more than {MAX_TABLE_BYTES:,} bytes")
                    found[name] += values
        _check_integers(found, integers, path, field)
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
    keys = ("episode_index", "frame_index")
    with opened(path, field) as file:
        _check_columns(file, (*keys, column), keys, path, field)
        key = [file.schema.column(index).path for index in range(len(file.schema))].index(keys[0])
        for group in range(file.num_row_groups):
            bounds = file.metadata.row_group(group).column(key).statistics
            if bounds is not None and bounds.has_min_max and not bounds.min <= episode <= bounds.max:
                continue
            for batch in _batches(file, group, (*keys, column), path, field):
                if not left:
                    return
                episodes, frames = (batch.column(name).to_pylist() for name in keys)
                for row, (of, frame) in enumerate(zip(episodes, frames, strict=True)):
                    if left and of == episode and frame == left[0]:
                        del left[0]
                        yield batch.column(column)[row].as_py()
    if left:
        raise InputError(field, f"{path} has no frame {left[0]} of episode {episode}")


def _check_columns(file: Any, names: Sequence[str], integers: Sequence[str], path: Path, field: str) -> None:
    """Raises InputError unless the columns are there, once, and those of integers simple ones."""
    schema = file.schema_arrow
    for name in names:
        count = schema.names.count(name)
        if count != 1:
            raise InputError(field, f"{path} has {'no' if not count else 'more than one'} column {name!r}")
        if name in integers and not pyarrow().types.is_integer(schema.field(name).type):
            raise InputError(field, f"{path}: column {name!r} must hold integers, found {schema.field(name).type}")


def _check_integers(found: dict[str, list[Any]], integers: Sequence[str], path: Path, field: str) -> None:
    for name in integers:
        if None in found[name]:
            raise InputError(field, f"{path}: row {found[name].index(None)} has no {name!r}")


def _batches(file: Any, group: int, names: Sequence[str], path: Path, field: str) -> Iterator[Any]:
    """The rows of a row group, few at a time where they may be large."""
    one = file.metadata.row_group(group)
    columns = (one.column(index) for index in range(one.num_columns))
    size = sum(part.total_uncompressed_size for part in columns if _belongs(part.path_in_schema, names))
    if not 0 <= size <= MAX_ROW_GROUP_BYTES:
        raise InputError(field, f"{path} expands to {size:,} bytes; at most {MAX_ROW_GROUP_BYTES:,} are read")
    # Each row may hold the largest value that there is.
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, size)))
    yield from file.iter_batches(rows, row_groups=[group], columns=list(names), use_threads=False)


def _size(value: Any) -> int:
    """Bytes of a column's values, about."""
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return len(value) if isinstance(value, (str, bytes)) else 8


def _belongs(place: str, names: Sequence[str]) -> bool:
    """Whether a column of the file is one of the table's columns, or a part of one. Names may hold dots."""
    return any(place == name or place.startswith(f"{name}.") for name in names)
