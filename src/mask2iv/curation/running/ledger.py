"""``curation.jsonl``: what became of each recording. By it a run goes on, and a finished set is brought up to date."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from pydantic_core import to_json

from mask2iv.config import from_dict, plain
from mask2iv.curation.running.outcomes import Outcome
from mask2iv.curation.sources.interfaces import ListedSplit, Recording
from mask2iv.data.unfinished import Journal
from mask2iv.errors import InputError, within
from mask2iv.files import atomic_write, reason, require_regular, sha256_file
from mask2iv.parsing import parse_json

LEDGER = "curation.jsonl"


class Ledger:
    """The ledger of one set. It is locked while it is open.

    Args:
        folder: of the clip set.
        head: everything that the outcomes depend on, besides the recordings.

    Attributes:
        outcomes: recording -> what became of it.

    Raises:
        InputError: another process writes the set, or it was made with other settings.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        self.path = folder / LEDGER
        self._head = plain(head)
        self._noted = self.path.stat().st_mtime if self.path.is_file() else 0.0
        self._journal = Journal(folder, head, LEDGER)
        self.outcomes: dict[str, Outcome] = {}
        for line in self._journal.lines:
            with within(str(self.path)):
                outcome = _checked(parse_json(line))
            self.outcomes[outcome["recording"]] = outcome
        self._journal.lines.clear()

    def holds(self, recording: Recording) -> bool:
        """Whether a recording is done, and neither its footage, its masks nor what is said of it has changed since.

        Sizes and times are compared; where a file is newer than the ledger, its contents.
        """
        noted = self.outcomes.get(recording.name)
        if noted is None or not noted["sha256"] or noted["said"] != said_of(recording):
            return False
        try:
            footage, masks = recording.footage.files, mask_files(recording)
            found = [os.stat(path) for path in (*footage, *masks)]
        except (OSError, InputError):
            return False  # whoever works on it will say what is wrong
        if sum(file.st_size for file in found) != noted["bytes"]:
            return False
        return max((file.st_mtime for file in found), default=0.0) <= self._noted or (
            digest_of(footage) == noted["sha256"] and digest_of(masks) == noted.get("masks")
        )

    def add(self, outcome: Outcome) -> None:
        """Note what became of a recording whose files are complete."""
        self._journal.add(to_json(outcome).decode())
        self._journal.lines.clear()
        self.outcomes[outcome["recording"]] = outcome

    def forget(self, recordings: Sequence[str]) -> None:
        """Take recordings out."""
        for name in recordings:
            del self.outcomes[name]

    def sort(self) -> None:
        """Write the ledger anew, by the recordings' names: so it does not tell in which order they were done."""
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            file.write(to_json(self._head) + b"\n")
            for name in sorted(self.outcomes):
                file.write(to_json(self.outcomes[name]) + b"\n")

    def close(self) -> None:
        """Unlock the set."""
        self._journal.close(finished=False)


def _checked(line: Any) -> Outcome:
    """A line of the ledger. Names of clips become paths that are written and removed, so nothing else may stand there.

    Raises:
        InputError: another type, or a clip without a group, or of an unknown split.
    """
    outcome = from_dict(Outcome, line)
    for kept in outcome["kept"]:
        facts = kept["row"]["metadata"]
        named = isinstance(facts.get("group"), str) and isinstance(facts.get("masks"), str)
        if not named or facts.get("split", "") not in (None, *get_args(ListedSplit)):
            clip_id = kept["row"]["clip_id"]
            raise InputError(
                f"clip {clip_id}", "has no group or masks, or an unknown split", "remove its line to make it again"
            )
    return outcome


def size_of(path: Path) -> int:
    """Bytes of a file. Raises InputError when there is none."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {reason(error)}") from error


def said_of(recording: Recording) -> str:
    """SHA-256 of what a source says of a recording, and of how its pictures and masks are read; not of their files."""
    said = [_but_places(one) for one in (recording.footage, *recording.segments)]
    return hashlib.sha256(to_json(plain([recording.group, recording.facts, said]))).hexdigest()


def _but_places(value: Any) -> Any:
    """A dataclass as a mapping without the paths in it: they are others where the source lies elsewhere."""
    if not is_dataclass(value):
        return value
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: _but_places(one) for name, one in found.items() if not isinstance(one, Path)}


def mask_files(recording: Recording) -> tuple[Path, ...]:
    """The files of the masks that come with a recording, each once.

    Raises:
        InputError: they cannot be listed.
    """
    masks = dict.fromkeys(segment.masks for segment in recording.segments)
    found = (path for one in masks if one is not None for path in one.files)
    return tuple(path for path in dict.fromkeys(found) if path.is_file())


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 over the contents of files in their order; "" for none.

    Raises:
        InputError: one cannot be read, or is no file.
    """
    if not files:
        return ""
    if len(files) == 1:
        # Several recordings may lie in one large file.
        status = os.stat(files[0])
        return _digest_of_file(files[0], status.st_size, status.st_mtime_ns)
    digest = hashlib.sha256()
    for path in files:
        digest.update(_contents(path))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _digest_of_file(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)


def _contents(path: Path) -> bytes:
    require_regular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {reason(error)}") from error
