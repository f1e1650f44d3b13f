"""What a source holds and what of it cannot be used: ``mask2iv doctor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from mask2iv.config import plain
from mask2iv.contract import LABEL_COLOURS, Label, UInt8Array
from mask2iv.curation.sources.footage import frames_between
from mask2iv.curation.sources.interfaces import Habits, Problem, Recording, Segment, Source
from mask2iv.errors import InputError
from mask2iv.media.filmstrip import filmstrip, overlay
from mask2iv.media.fitting import place, placed_image
from mask2iv.media.images import resize_mask
from mask2iv.media.videos import VideoInfo
from mask2iv.segmentation.prompts import Prompts

SHEET_ROWS = 24
"""Recordings shown on a sheet."""
_LATE = 0.25
"""Seconds by which an action may end after its video: some lack their last frames."""
_TILE = (120, 192)
"""(H, W) of a picture on it."""


@dataclass(frozen=True)
class Skipped:
    """What is left out for one reason.

    Attributes:
        reason: see :class:`~mask2iv.curation.sources.interfaces.Problem`.
        count: how often.
        example: name of the first; details: what was found there.
    """

    reason: str
    count: int
    example: str
    details: str


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        kind, version, root: of the source.
        recordings: that can be used as far as their names and texts tell.
        opened: of these, those whose pictures and masks were looked at.
        actions: of the opened recordings that can be used; each becomes a clip.
        frames: of the opened recordings.
        sizes: "WxH" -> opened recordings; rates: frames per second -> the same.
        splits: "train", "validation", "test" -> actions; "drawn" where no official list says so.
        masks: "given", "to be found", or "to be found from prompts" (a box or point in the first frame) -> actions.
        verbs, objects: -> actions; "" where none is known.
        skipped: most frequent first.
        samples: for the sheet: (caption, uint8 [3, H, W, 3]): first, middle and last frame, masks painted over.
    """

    kind: str
    version: str
    root: str
    recordings: int
    opened: int
    actions: int
    frames: int
    sizes: dict[str, int]
    rates: dict[str, int]
    splits: dict[str, int]
    masks: dict[str, int]
    verbs: dict[str, int]
    objects: dict[str, int]
    skipped: tuple[Skipped, ...]
    samples: tuple[tuple[str, UInt8Array], ...] = field(default=(), repr=False)

    @property
    def usable(self) -> bool:
        """Whether anything becomes a clip."""
        return self.actions > 0

    def sheet(self) -> UInt8Array:
        """A picture of the samples, uint8 [H, W, 3].

        Raises:
            InputError: there are none.
        """
        if not self.samples:
            raise InputError("sheet", f"nothing of {self.root} can be shown", "see what is skipped and why")
        return filmstrip(self.samples, 3)


def examine(source: Source, limit: int | None = None) -> Examination:
    """Looks at all names and small texts of a source, and at the pictures and masks of its recordings.

    Of a video each frame is decoded, of masks those of each action's first, middle and last frame.

    Args:
        source: see :func:`mask2iv.curation.sources.recognise.open_source`.
        limit: open at most so many recordings, spread evenly; None: all.

    Raises:
        InputError: a limit below 1, or the source as a whole cannot be read.
    """
    if limit is not None and limit < 1:
        raise InputError("limit", f"must be at least 1, found {limit}")
    recordings: list[Recording] = []
    problems: list[Problem] = []
    for entry in source.entries():
        if isinstance(entry, Recording):
            recordings.append(entry)
        else:
            problems.append(entry)
    chosen = spread(recordings, limit)
    shown = {recording.name for recording in spread(chosen, SHEET_ROWS)}
    tally = _Tally()
    for recording in chosen:
        problems += _examine_recording(recording, source.habits, tally, recording.name in shown)
    return Examination(
        kind=source.kind,
        version=source.version,
        root=str(source.root),
        recordings=len(recordings),
        opened=len(chosen),
        actions=tally.actions,
        frames=tally.frames,
        **{name: _ordered(getattr(tally, name)) for name in _COUNTED},
        skipped=count_problems(problems),
        samples=tuple(tally.samples),
    )


def spread(items: Sequence[Recording], limit: int | None) -> list[Recording]:
    """At most `limit` of the items, evenly from the first to the last."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def count_problems(problems: Sequence[Problem]) -> tuple[Skipped, ...]:
    """Problems by reason, the most frequent first, each with its first example."""
    counts = Counter(problem.reason for problem in problems)
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.reason, problem)
    ordered = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return tuple(Skipped(reason, counts[reason], first[reason].name, first[reason].details) for reason in ordered)


_COUNTED = ("sizes", "rates", "splits", "masks", "verbs", "objects")


@dataclass
class _Tally:
    actions: int = 0
    frames: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    rates: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, UInt8Array]] = field(default_factory=list)


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _examine_recording(recording: Recording, habits: Habits, tally: _Tally, shown: bool) -> Iterator[Problem]:
    """Counts what of a recording can be used, and tells what cannot."""
    try:
        info = recording.footage.scan()
        _check_pictures(recording, info)
    except InputError as error:
        yield Problem(recording.name, "pictures unreadable", str(error))
        return
    tally.frames += len(info.times)
    tally.sizes[f"{info.size[1]}x{info.size[0]}"] += 1
    tally.rates[f"{info.fps:.2f}".rstrip("0").rstrip(".")] += 1
    if habits.max_frames is not None and len(info.times) > habits.max_frames:
        yield Problem(recording.name, f"more than {habits.max_frames} source frames", f"{len(info.times)} frames")
        return
    for segment in recording.segments:
        name = f"{recording.name}/{segment.key}" if segment.key else recording.name
        problem = _segment_problem(name, segment, info, habits)
        if problem is not None:
            yield problem
            continue
        try:
            sample = _sample(recording, segment, info)
        except InputError as error:
            yield Problem(name, "masks unreadable", str(error))
            continue
        tally.actions += 1
        tally.splits[segment.split or "drawn"] += 1
        tally.masks[_origin(segment)] += 1
        tally.verbs[segment.description.verb] += 1
        tally.objects[segment.description.object_name] += 1
        if shown:
            tally.samples.append((f"{segment.description.caption or 'no caption'}: {name}", sample))
            shown = False


def _origin(segment: Segment) -> str:
    if segment.masks is not None:
        return "given"
    return "to be found" if segment.prompts is None else "to be found from prompts"


def _check_pictures(recording: Recording, info: VideoInfo) -> None:
    """Decodes all pictures of a recording whose scan has only read their headers."""
    if len(recording.footage.files) > 1:
        recording.footage.read(range(len(info.times)), (8, 8))


def _segment_problem(name: str, segment: Segment, info: VideoInfo, habits: Habits) -> Problem | None:
    frames = len(frames_between(info, segment.start, segment.stop))
    end = float(info.times[-1]) + 1 / info.fps
    if segment.stop is not None and segment.stop > end + _LATE:
        return Problem(
            name, "action ends after the video", f"it ends at {segment.stop:.2f} s, the video has {end:.2f} s"
        )
    if frames < habits.min_frames:
        return Problem(name, "action too short", f"{frames} source frames, at least {habits.min_frames} are needed")
    if segment.prompts is not None:
        try:
            segment.prompts.check(info.size)
        except InputError as error:
            return Problem(name, "prompt outside the picture", str(error))
    return None


def _sample(recording: Recording, segment: Segment, info: VideoInfo) -> UInt8Array:
    """First, middle and last frame of an action with its masks painted over, uint8 [3, H, W, 3]."""
    frames = frames_between(info, segment.start, segment.stop)
    chosen = [int(frames[0]), int(frames[len(frames) // 2]), int(frames[-1])]
    chosen = sorted(set(chosen))
    scale = min(1.0, *(tile / side for tile, side in zip(_TILE, info.size, strict=True)))
    size = (max(1, round(scale * info.size[0])), max(1, round(scale * info.size[1])))
    pictures = recording.footage.read(chosen, size)
    if segment.masks is not None:
        # At full size: a colour without a meaning may cover a few pixels.
        labels = segment.masks.read(chosen, info, info.size)
        pictures = overlay(pictures, resize_mask(labels, size))
    elif segment.prompts is not None:
        pictures[0] = _marked(pictures[0], segment.prompts.scaled(info.size, size))
    return placed_image(pictures, place(size, _TILE, "pad"))


def _marked(picture: UInt8Array, prompts: Prompts) -> UInt8Array:
    """A picture with boxes and points drawn in it, in the colours of object and actor."""
    page = Image.fromarray(picture)
    draw = ImageDraw.Draw(page)
    for label, (x, y, *extent) in zip((Label.OBJECT, Label.ACTOR), prompts.all, strict=False):
        left, top, w, h = (x, y, *extent) if extent else (x - 2, y - 2, 4, 4)
        colour = tuple(LABEL_COLOURS[label].tolist())
        draw.rectangle((left, top, left + w, top + h), outline=colour, fill=None if extent else colour)
    return np.array(page)


def report_lines(found: Examination, limit: int = 8) -> list[str]:
    """An examination in words, one line each.

    Args:
        found: see :func:`examine`.
        limit: how many verbs and objects are named.
    """
    version = f", version {found.version}" if found.version else ""
    lines = [
        f"{found.root}: {_NAMES.get(found.kind, found.kind)}{version}",
        f"recordings: {found.recordings}"
        + (f", {found.opened} of them opened" if found.opened < found.recordings else ""),
        f"actions: {found.actions} can be used",
        f"frames: {found.frames}",
    ]
    lines += [f"{name}: {_listed(getattr(found, name), limit)}" for name in _COUNTED if getattr(found, name)]
    total = sum(one.count for one in found.skipped)
    lines.append(f"skipped: {total}" + (", by reason:" if total else ""))
    lines += [f"  {one.count} x {one.reason}: {one.example}: {one.details}" for one in found.skipped]
    return lines


_NAMES = {
    "hoi4d": "HOI4D",
    "bridge": "BridgeData V2",
    "lerobot": "LeRobot data set",
    "clipset": "clip set",
    "folder": "folder of videos",
    "video": "video",
}


def _listed(counts: dict[str, int], limit: int) -> str:
    shown = [f"{name or 'unknown'} {count}" for name, count in list(counts.items())[:limit]]
    more = [f"and {len(counts) - limit} more"] if len(counts) > limit else []
    return ", ".join([*shown, *more])


def record(found: Examination) -> dict[str, object]:
    """An examination as JSON values: all but the samples."""
    return {name: plain(value) for name, value in vars(found).items() if name != "samples"}
