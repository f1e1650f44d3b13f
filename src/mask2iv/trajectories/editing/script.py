"""Edits as a file: a versioned list of operations that :mod:`mask2iv.trajectories.editing.replay` replays.

Frames are counted from 0, places are (x, y) in pixels of the trajectory from the centre of the top left pixel, angles
in degrees, clockwise as seen. Each class below but the last two is one operation; its arguments are those of the
function of the same name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from mask2iv.config import from_dict, read_config, to_dict
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.trajectories.editing.motion import After, Easing, Interpolation, Keyframe, Place, Point
from mask2iv.trajectories.editing.parts import Frames, Front, Part, Uncovered
from mask2iv.trajectories.editing.shaping import Brush, Polygon, RunLengths, Stroke
from mask2iv.trajectories.editing.timing import Between, TimeKey

VERSION = 1
"""Of the files that this package writes and reads."""
MOST_EDITS = 10_000


@dataclass(frozen=True)
class Transform:
    """:func:`mask2iv.trajectories.editing.motion.transform`."""

    op: Literal["transform"]
    part: Part = "object"
    frames: Frames = (0, None)
    move: Point = (0.0, 0.0)
    scale: float = 1.0
    rotate: float = 0.0
    easing: Easing = "ease-in-out"
    after: After = "stay"
    pivot: Point | None = None
    front: Front = "object"
    uncovered: Uncovered = "complete"


@dataclass(frozen=True)
class Keyframes:
    """:func:`mask2iv.trajectories.editing.motion.keyframes`."""

    op: Literal["keyframes"]
    keys: tuple[Keyframe, ...]
    part: Part = "object"
    interpolation: Interpolation = "smooth"
    pivot: Point | None = None
    front: Front = "object"
    uncovered: Uncovered = "complete"


@dataclass(frozen=True)
class Path:
    """:func:`mask2iv.trajectories.editing.motion.along_path`."""

    op: Literal["path"]
    places: tuple[Place, ...]
    interpolation: Interpolation = "smooth"
    actors: Literal["stay", "follow"] = "follow"
    front: Front = "object"
    uncovered: Uncovered = "complete"


@dataclass(frozen=True)
class Retime:
    """:func:`mask2iv.trajectories.editing.timing.retime`."""

    op: Literal["retime"]
    curve: tuple[TimeKey, ...]
    interpolation: Interpolation = "linear"
    part: Part = "all"
    between: Between = "blend"
    length: int | None = None
    front: Front = "object"


@dataclass(frozen=True)
class Hold:
    """:func:`mask2iv.trajectories.editing.timing.hold`."""

    op: Literal["hold"]
    frame: int
    count: int
    part: Part = "all"
    front: Front = "object"


@dataclass(frozen=True)
class Reverse:
    """:func:`mask2iv.trajectories.editing.timing.reverse`."""

    op: Literal["reverse"]
    frames: Frames = (0, None)
    part: Part = "all"
    front: Front = "object"


@dataclass(frozen=True)
class Paint:
    """:func:`mask2iv.trajectories.editing.shaping.paint`."""

    op: Literal["paint"]
    label: Brush
    frames: Frames = (0, None)
    strokes: tuple[Stroke, ...] = ()
    polygons: tuple[Polygon, ...] = ()
    masks: tuple[RunLengths, ...] = ()


@dataclass(frozen=True)
class Remove:
    """:func:`mask2iv.trajectories.editing.shaping.remove`."""

    op: Literal["remove"]
    part: Part
    frames: Frames = (0, None)
    uncovered: Uncovered = "complete"


@dataclass(frozen=True)
class Simplify:
    """:func:`mask2iv.trajectories.editing.shaping.simplify`."""

    op: Literal["simplify"]
    part: Part = "all"
    frames: Frames = (0, None)
    islands: float = 0.1
    holes: float = 0.1
    outline: float = 0.0
    path: float = 0.0


@dataclass(frozen=True)
class Compose:
    """:func:`mask2iv.trajectories.editing.shaping.compose`; `source` is a trajectory's file or folder, relative to the
    script."""

    op: Literal["compose"]
    source: str
    part: Part = "actors"
    frames: Frames = (0, None)
    front: Front = "object"
    uncovered: Uncovered = "complete"


Edit = Transform | Keyframes | Path | Retime | Hold | Reverse | Paint | Remove | Simplify | Compose


@dataclass(frozen=True)
class Pin:
    """What must stay: after each edit, a part is in these frames what it was before the first.

    Attributes:
        part: what stays.
        frames: when.
    """

    part: Part = "all"
    frames: Frames = (0, None)


@dataclass(frozen=True)
class EditScript:
    """A file of edits.

    Attributes:
        version: 1.
        edits: in the order in which they are made.
        pins: what must stay.
        keep_first_frame: whether the first frame stays as it is, which the picture shows; as a pin of it.
        num_frames: what the script was made for, where it says so.
        size: likewise, (H, W).

    Raises:
        InputError: more than :data:`MOST_EDITS` edits.
    """

    version: Literal[1]
    edits: tuple[Annotated[Edit, Field(discriminator="op")], ...] = ()
    pins: tuple[Pin, ...] = ()
    keep_first_frame: bool = True
    num_frames: int | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.edits) > MOST_EDITS:
            raise InputError("edits", f"at most {MOST_EDITS} are replayed, found {len(self.edits)}")


def read_script(path: str | os.PathLike[str]) -> EditScript:
    """A script from a JSON file.

    Raises:
        InputError: no such file, another version, an unknown operation or key, or a value out of range; names the file
            and the place in it.
    """
    return read_config(path, EditScript)


def script_of(values: Mapping[str, Any]) -> EditScript:
    """A script from plain values, as of a parsed JSON file. Raises InputError as :func:`read_script`."""
    return from_dict(EditScript, values)


def write_script(path: str | os.PathLike[str], script: EditScript) -> None:
    """Writes a script as JSON, with all defaults. Raises InputError where that cannot be written."""
    write_json(path, to_dict(script))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a script, for editors and other programs."""
    return TypeAdapter(EditScript).json_schema()
