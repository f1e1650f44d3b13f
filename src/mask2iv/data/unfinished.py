"""The journal of a clip set that is still being written: by it a killed or cut-off run goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_json

from mask2iv.config import plain
from mask2iv.errors import InputError
from mask2iv.files import lock, require_regular
from mask2iv.parsing import MAX_JSON_BYTES, parse_json

UNFINISHED = "unfinished.jsonl"


class Journal:
    """``unfinished.jsonl``: a line on the set, then the index line of each clip whose files are complete.

    The file is locked while it is open, and removed when the set is finished.

    Args:
        folder: of the clip set.
        head: what the set is: everything that its clips depend on.
        name: of the file.

    Attributes:
        lines: index lines so far, in the order of writing.

    Raises:
        InputError: another process writes the set, or the folder holds an unfinished set of another kind.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any], name: str = UNFINISHED) -> None:
        self._path = folder / name
        require_regular(self._path)
        self._file: IO[bytes] = self._path.open("a+b")
        try:
            if not lock(self._file, wait=False):
                raise InputError(str(folder), "another process writes this clip set", "wait for it")
            self.lines = self._read(folder, plain(head))
        except InputError:
            self._file.close()
            raise

    def _read(self, folder: Path, head: Any) -> list[str]:
        if self._path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(str(self._path), f"has more than {MAX_JSON_BYTES // 2**20} MiB", "remove the folder")
        self._file.seek(0)
        text = self._file.read()
        # What follows the last line break is the line that a killed process was writing.
        text = text[: text.rfind(b"\n") + 1]
        self._file.truncate(len(text))
        first, *lines = text.splitlines() or [b""]
        if not first:
            self._add(to_json(head))
            return []
        try:
            same = parse_json(first) == head
            for line in lines:
                parse_json(line)
        except ValueError as error:
            raise InputError(str(self._path), f"is damaged: {error}", "remove the folder") from error
        if not same:
            problem = "holds a clip set that was begun with other settings"
            raise InputError(str(folder), problem, "remove it or choose another one")
        return [line.decode("utf-8") for line in lines]

    def add(self, line: str) -> None:
        """Note a clip whose files are complete, by its index line."""
        self._add(line.encode("utf-8"))
        self.lines.append(line)

    def _add(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._file.flush()

    def close(self, finished: bool) -> None:
        """Unlock the set; with ``finished`` the journal is removed."""
        if finished:
            self._path.unlink()
        self._file.close()
