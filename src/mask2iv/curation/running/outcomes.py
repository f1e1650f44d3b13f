"""What becomes of a recording: clips, and what is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired

from typing_extensions import TypedDict

from mask2iv.data.index import Entry


class Kept(TypedDict):
    """A clip that is good; its files are in the set."""

    row: Entry
    """Its entry in the index; its metadata hold a group and a split, which may be None."""
    motion: float
    """Its motion score."""


class LeftOut(TypedDict):
    """A clip, an action or a whole recording that is not in the set."""

    name: str
    """The clip's id, or the recording's or action's name."""
    reasons: list[str]
    """Short ones that are counted."""
    details: str


class Outcome(TypedDict):
    """What became of one recording: a line of the ledger."""

    recording: str
    bytes: int
    """Of its footage and given masks."""
    sha256: str
    """Of its footage; "" where it could not be read."""
    masks: NotRequired[str]
    """SHA-256 of the masks that come with it; "" where there are none. Missing in sets of earlier versions."""
    said: str
    """SHA-256 of what its source says of it: captions, times, prompts, how its files are read."""
    kept: list[Kept]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class Finished:
    """What a worker gives back.

    Attributes:
        outcome: for the ledger.
        files: contents of the files to be written, by their place in the set.
    """

    outcome: Outcome
    files: dict[str, bytes]
