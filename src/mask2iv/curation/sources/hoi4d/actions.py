"""The action annotations of a HOI4D recording, in frames of its video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from mask2iv.config import read_config
from mask2iv.curation.sources.hoi4d.definitions import FRAMES, GRASP, LEFT_OUT, REACHOUT, SECONDS, plain_name, verbing
from mask2iv.errors import InputError

MIN_FRAMES = 12
"""Shorter actions are left out, as in the paper's code."""
EXTENDED = 16
"""Shorter ones that stay are extended to so many frames."""
_HALF = 10.0
"""The other duration that annotations count in, where it is not the 20 s of the video."""


class _Event(TypedDict):
    event: str
    startTime: float
    endTime: float


class _Mark(TypedDict):
    event: str
    hdTimeStart: float
    hdTimeEnd: float


class _Marks(TypedDict):
    marks: list[_Mark]


class _Info(TypedDict, total=False):
    duration: float | None
    Duration: float | None


class _File(TypedDict, total=False):
    """``action/color.json`` in either of its shapes."""

    info: _Info | None
    events: list[_Event]
    markResult: _Marks


@dataclass(frozen=True)
class Event:
    """An annotated event.

    Attributes:
        name: as annotated.
        start, stop: frames of the video: the first, and the one past the last, 0 to 300.
    """

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Annotation:
    """The events of a recording.

    Attributes:
        events: sorted by start.
        duration: seconds that the annotation counts for the whole video.
        stated: whether the file says so; where it does not, the events' end tells.
    """

    events: tuple[Event, ...]
    duration: float
    stated: bool


def read_actions(path: Path) -> Annotation:
    """The events of an ``action/color.json``: frame = time * 300 / duration.

    Raises:
        InputError: the file is missing, no JSON, of neither shape, or holds times outside the video.
    """
    data = read_config(path, _File, "ignore")
    if "events" in data:
        marks = [(one["event"], one["startTime"], one["endTime"]) for one in data["events"]]
    elif "markResult" in data:
        marks = [(one["event"], one["hdTimeStart"], one["hdTimeEnd"]) for one in data["markResult"]["marks"]]
    else:
        raise InputError(str(path), "has neither events nor markResult")
    info = data.get("info") or {}
    stated = info.get("duration") or info.get("Duration")
    # Annotations cover the whole video: one that ends by half of it counts in halves.
    last = max((stop for _, _, stop in marks), default=SECONDS)
    duration = stated or (_HALF if last <= 1.1 * _HALF else SECONDS)
    if not duration > 0:
        raise InputError(str(path), f"info.duration must be positive, found {duration}")
    events = []
    for name, start, stop in marks:
        # A last event may end some hundredths of a second late.
        if not (0 <= start <= stop <= 1.05 * duration):
            raise InputError(str(path), f"the event {name!r} lasts from {start:g} to {stop:g} s of {duration:g} s")
        first, end = (min(FRAMES, int(time * FRAMES / duration + 1e-6)) for time in (start, stop))
        events.append(Event(name, first, end))
    return Annotation(tuple(sorted(events, key=lambda one: (one.start, one.stop))), duration, bool(stated))


@dataclass(frozen=True)
class Action:
    """An event that becomes a clip.

    Attributes:
        number: of the event in its annotation.
        name: as annotated.
        verb: its -ing form.
        start, stop: frames, as in :class:`Event`, after trimming.
    """

    number: int
    name: str
    verb: str
    start: int
    stop: int


@dataclass(frozen=True)
class LeftOut:
    """An event that becomes none, and why."""

    number: int
    name: str
    reason: str
    details: str = ""


def choose_actions(events: Sequence[Event]) -> list[Action | LeftOut]:
    """What becomes of each event, as the paper's code does it.

    A grasp begins with the Reachout right before it. Actions under 12 frames are left out; those under 16 frames are
    extended to 16, at their end, or at their start where the video ends.
    """
    chosen: list[Action | LeftOut] = []
    for number, event in enumerate(events):
        name, start, stop = plain_name(event.name), event.start, event.stop
        verb = verbing(event.name)
        if name in LEFT_OUT:
            chosen.append(LeftOut(number, event.name, "action left out", event.name))
            continue
        if not verb:
            chosen.append(LeftOut(number, event.name, "action without a known verb", event.name))
            continue
        if name == GRASP and number and plain_name(events[number - 1].name) == REACHOUT:
            start = events[number - 1].start
        if stop - start < MIN_FRAMES:
            details = f"{event.name}: {stop - start} frames, at least {MIN_FRAMES} are needed"
            chosen.append(LeftOut(number, event.name, "action too short", details))
            continue
        if stop - start < EXTENDED:
            stop = min(FRAMES, start + EXTENDED)
            start = min(start, stop - EXTENDED)
        chosen.append(Action(number, event.name, verb, start, stop))
    return chosen
