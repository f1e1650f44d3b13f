"""What a source of recordings is. Nothing is decoded until a worker asks for it; all of this can be pickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mask2iv.contract import Fit, UInt8Array
from mask2iv.data.captions import Description
from mask2iv.media.videos import VideoInfo
from mask2iv.segmentation.prompts import Prompts

Split = Literal["train", "validation", "test"]
ListedSplit = Literal["train", "validation", "test", "not test"]
"""What a source says of splits. "not test": its list names the test clips alone; the others are still to be divided."""


class Footage(Protocol):
    """The pictures of a recording: a video file, a part of one, or a folder of pictures."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read; a change of any of them is a change of the recording."""
        ...

    def scan(self, whole: bool = True) -> VideoInfo:
        """Times, rate and size.

        Args:
            whole: look at all pictures, so that damage anywhere is found; else what headers and time stamps say.

        Raises:
            InputError: the pictures are missing or damaged.
        """
        ...

    def read(self, indices: Sequence[int], size: tuple[int, int], info: VideoInfo | None = None) -> UInt8Array:
        """Some frames, resized as they are decoded; no other frame is kept.

        Args:
            indices: of the frames, rising.
            size: (H, W) of the result.
            info: what was scanned, with which the frames must agree; None: it was scanned whole, or not at all.

        Returns:
            uint8 [len(indices), H, W, 3], upright, in sRGB.

        Raises:
            InputError: a frame is missing, damaged, or of another time.
        """
        ...


class GivenMasks(Protocol):
    """Masks that come with a recording."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What may be read, as far as it is there; a change of any of them is a change of the recording."""
        ...

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        """Labels of some frames.

        Args:
            indices: of the frames, rising.
            info: of the recording's footage.
            size: (H, W) of the result.

        Returns:
            uint8 [len(indices), H, W] with values of :class:`~mask2iv.contract.Label`.

        Raises:
            InputError: masks are missing, damaged, of another number or size, or of colours without a meaning.
        """
        ...


@dataclass(frozen=True)
class Segment:
    """A part of a recording that shows one action; it becomes one clip.

    Attributes:
        key: names it within the recording: letters, digits, - and _; empty where it is the only one.
        description: caption, verb, object and actor.
        start: seconds from the recording's first frame.
        stop: seconds, past its end; None: to the end of the recording.
        split: what an official list says; None: nothing, so it is drawn by the group's name.
        masks: of the recording, seen for this action; None: they must be found.
        phrases: what a detector is asked for, the object's names first: "can", "silver pot".
        prompts: where object and actor are in the recording's first frame; then no detector is asked.
        facts: of the action, for the clip's provenance: JSON values.
    """

    key: str
    description: Description
    start: float = 0.0
    stop: float | None = None
    split: ListedSplit | None = None
    masks: GivenMasks | None = None
    phrases: tuple[str, ...] = ()
    prompts: Prompts | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recording:
    """One recording and the actions seen in it.

    Attributes:
        name: where it lies in the source, with slashes; unique there.
        footage: its pictures.
        segments: its actions, in time.
        group: recordings of one group (the same trajectory seen by several cameras, the same scene) go to one split.
        facts: for the provenance of all of its clips: JSON values.
    """

    name: str
    footage: Footage
    segments: tuple[Segment, ...]
    group: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something of the source that cannot be used.

    Attributes:
        name: of the recording or action, as it would be called.
        reason: a short one that is counted: "no caption", "masks missing", "action left out".
        details: what was found, for the one who wants to mend it.
    """

    name: str
    reason: str
    details: str = ""


@dataclass(frozen=True)
class Habits:
    """How the paper prepares a source; the user's settings go before them.

    Attributes:
        fit, fit_scale: see :func:`mask2iv.media.fitting.place`.
        max_frames: recordings of more source frames are left out; None: any.
        min_frames: actions of fewer source frames are left out.
        actor: "hand" or "robot".
        actor_phrases: what a detector is asked for to find the actor: "robot gripper".
    """

    actor: Literal["hand", "robot"]
    fit: Fit = "crop"
    fit_scale: float = 1.0
    max_frames: int | None = None
    min_frames: int = 2
    actor_phrases: tuple[str, ...] = ()


class Source(Protocol):
    """A data set on disk.

    Attributes:
        kind: "hoi4d", "bridge", "lerobot", "clipset", "folder", "video".
        version: of its layout, or "".
        root: its folder or file.
        habits: of the paper.
    """

    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def root(self) -> Path: ...
    @property
    def habits(self) -> Habits: ...

    def entries(self) -> Iterator[Recording | Problem]:
        """Recordings in an order that does not change, and what cannot be used.

        Only names and small text files are looked at.
        """
        ...
