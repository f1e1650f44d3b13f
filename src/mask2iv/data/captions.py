"""The captions file of a folder of one's own videos: CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mask2iv.data.masks import name_of
from mask2iv.errors import InputError, within
from mask2iv.files import reason
from mask2iv.media.streams import VIDEO_SUFFIXES
from mask2iv.parsing import read_text_bytes
from mask2iv.segmentation import prompts

COLUMNS = ("clip", "caption", "verb", "object", "actor")
"""Of what is said of a video; :data:`mask2iv.segmentation.prompts.COLUMNS` may stand beside them."""
ACTORS = {"hand": "a hand", "robot": "a robot arm"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""A spreadsheet program writes a semicolon where the language of its user has decimal commas."""


@dataclass(frozen=True)
class Description:
    """A video's row of the captions file."""

    caption: str
    verb: str
    object_name: str
    actor: str


def read_captions(folder: Path) -> dict[str, Mapping[str, str]]:
    """Rows of the captions file, by clip name (:func:`~mask2iv.data.masks.name_of`).

    Raises:
        InputError: no file or two, one that is not UTF-8, not CSV or not JSON lines, unknown columns, or a row without
            or with a repeated name.
    """
    found = [folder / name for name in ("captions.csv", "captions.jsonl") if (folder / name).is_file()]
    if len(found) != 1:
        what = "both captions.csv and captions.jsonl" if found else "no captions.csv (or captions.jsonl)"
        remedy = f"{'keep' if found else 'write'} one; its columns are {', '.join(COLUMNS)}, clip being NAME"
        raise InputError("folder", f"{folder} holds {what}", remedy)
    path = found[0]
    with within("captions"):
        text = read_text_bytes(path).decode("utf-8")
    rows: dict[str, Mapping[str, str]] = {}
    for line, row in _csv_rows(path, text) if path.suffix == ".csv" else _json_rows(path, text):
        unknown = [key for key in row if key not in (*COLUMNS, *prompts.COLUMNS)]
        if unknown:
            known = f"known: {', '.join((*COLUMNS, *prompts.COLUMNS))}"
            raise InputError("captions", f"line {line} of {path}: unknown column {unknown[0]!r}", known)
        name = name_of((row.get("clip") or "").strip())
        # The clip may be named by its video file.
        name = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in VIDEO_SUFFIXES else name
        if not name:
            raise InputError("captions", f"line {line} of {path} does not say which clip it describes")
        if name in rows:
            raise InputError("captions", f"line {line} of {path} is a second one for {name}", "keep one")
        rows[name] = row
    return rows


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    # Line breaks as they are: they may belong to a quoted field. Strict: a quote that is not closed would swallow rows.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(
                    "captions",
                    f"line {reader.line_num} of {path} has another number of fields than the first line",
                    f"put texts with {_SEPARATORS[separator]} in double quotes",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(
            "captions",
            f"line {reader.reader.line_num} of {path}: {reason(error)}",
            "close each double quote, and double those within a text",
        ) from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError("captions", f"line {number} of {path} is not JSON: {reason(error)}") from error
        if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
            raise InputError("captions", f"line {number} of {path} must be an object whose values are strings")
        yield number, row


def describe(row: Mapping[str, str] | None) -> Description:
    """The description of a video in a row; line breaks within a text become spaces.

    Raises:
        InputError: no row, an unknown actor, or neither caption nor verb and object.
    """
    if row is None:
        raise InputError("captions", "the captions file has no line for it", "add one")
    caption, verb, noun, actor = (" ".join((row.get(name) or "").split()) for name in COLUMNS[1:])
    actor = actor or "hand"
    if actor not in ACTORS:
        raise InputError("actor", f"must be {' or '.join(ACTORS)}, found {actor!r} in the captions file")
    if not caption:
        if not (verb and noun):
            raise InputError("captions", "its line in the captions file has no caption", "give one, or verb and object")
        caption = f"{ACTORS[actor]} {verb} {'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
    return Description(caption, verb, noun, actor)
