"""Scripts of edits replayed: same trajectory, same script, same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath

import numpy as np

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError, warn, within
from mask2iv.trajectories.editing import motion, shaping, timing
from mask2iv.trajectories.editing.parts import edited, frame_range, labels_of
from mask2iv.trajectories.editing.script import (
    Compose,
    Edit,
    EditScript,
    Hold,
    Keyframes,
    Paint,
    Path,
    Pin,
    Remove,
    Retime,
    Reverse,
    Simplify,
    Transform,
)
from mask2iv.trajectories.storage import load_trajectory

Sources = Mapping[str, Trajectory]
"""The trajectories that a script takes parts from, by the names it has for them."""


def apply(trajectory: Trajectory, script: EditScript, sources: Sources | None = None) -> Trajectory:
    """A trajectory with all edits of a script.

    Args:
        trajectory: not modified.
        script: the edits.
        sources: what :func:`load_sources` reads; None where the script takes nothing from elsewhere.

    Returns:
        A trajectory of the same frame rate and placement. ``painted`` colours of an official stage 1 are dropped, with
        a warning: they say what lies under what, which edits do not keep. Without edits it is the same trajectory.

    Raises:
        InputError: the script was made for another size or length, or an edit cannot be made; names it, from 0.
    """
    made_for = {"num_frames": script.num_frames, "size": script.size}
    for name, wanted in made_for.items():
        if wanted not in (None, has := getattr(trajectory, name)):
            raise InputError(name, f"the script was made for {wanted}, the trajectory has {has}")
    if not script.edits:
        return trajectory
    if trajectory.painted is not None:
        warn(
            "trajectory",
            "it has the colours that an official stage 1 painted, and an edited trajectory has none",
            "stage 2 follows its labels",
        )
    pins = [*script.pins, *([Pin("all", (0, 0))] if script.keep_first_frame else [])]
    for index, pin in enumerate(script.pins):
        frame_range(pin.frames, trajectory.num_frames, f"pins[{index}].frames")
    found = trajectory
    for index, edit in enumerate(script.edits):
        with within(f"edits[{index}]"):
            found = edited(trajectory, _pinned(_made(found, edit, sources or {}).labels, trajectory.labels, pins))
    return found


def load_sources(script: EditScript, folder: FilePath) -> dict[str, Trajectory]:
    """Reads the trajectories that a script names.

    Args:
        script: its names are relative to `folder`.
        folder: the script's.

    Raises:
        InputError: one of them cannot be read.
    """
    found: dict[str, Trajectory] = {}
    for index, edit in enumerate(script.edits):
        if isinstance(edit, Compose) and edit.source not in found:
            with within(f"edits[{index}]"):
                found[edit.source] = load_trajectory(folder / edit.source)
    return found


def _made(trajectory: Trajectory, edit: Edit, sources: Sources) -> Trajectory:
    arguments = {name: value for name, value in vars(edit).items() if name != "op"}
    match edit:
        case Transform():
            return motion.transform(trajectory, **arguments)
        case Keyframes():
            return motion.keyframes(trajectory, **arguments)
        case Path():
            return motion.along_path(trajectory, **arguments)
        case Retime():
            return timing.retime(trajectory, **arguments)
        case Hold():
            return timing.hold(trajectory, **arguments)
        case Reverse():
            return timing.reverse(trajectory, **arguments)
        case Paint():
            return shaping.paint(trajectory, **arguments)
        case Remove():
            return shaping.remove(trajectory, **arguments)
        case Simplify():
            return shaping.simplify(trajectory, **arguments)
        case Compose():
            if edit.source not in sources:
                raise InputError("source", f"no trajectory is given for {edit.source!r}")
            return shaping.compose(trajectory, **arguments | {"source": sources[edit.source]})


def _pinned(labels: UInt8Array, original: UInt8Array, pins: list[Pin]) -> UInt8Array:
    """Labels with what must stay put back, over whatever is there now."""
    kept = labels.copy()
    for pin in pins:
        chosen = [index for index in frame_range(pin.frames, len(original)) if index < len(kept)]
        if pin.part == "all":
            kept[chosen] = original[chosen]
            continue
        values = [int(label) for label in labels_of(pin.part)]
        frames = kept[chosen]
        frames[np.isin(frames, values)] = 0
        stays = np.isin(original[chosen], values)
        frames[stays] = original[chosen][stays]
        kept[chosen] = frames
    return kept
