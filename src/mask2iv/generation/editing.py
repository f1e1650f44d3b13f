"""``mask2iv edit``: a trajectory changed by a script, as a result folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv import __version__
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError, warn
from mask2iv.files import disk_faults, require_file, write_json
from mask2iv.generation.inputs import file_record, read_trajectory
from mask2iv.generation.options import Output
from mask2iv.generation.results import result_folder, write_animations, write_trajectory
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.parsing import read_json
from mask2iv.trajectories.editing.checks import validate
from mask2iv.trajectories.editing.replay import apply, load_sources
from mask2iv.trajectories.editing.script import Compose, read_script, write_script
from mask2iv.trajectories.labels import labels_to_rgb


def edit(trajectory: Path, script: Path, output: Output) -> None:
    """Replays a script on a trajectory: writes ``trajectory/``, ``trajectory.mp4``, ``filmstrip.png`` (before and
    after), ``edits.json`` (the script with all defaults, its sources by absolute paths) and ``manifest.json``.

    Same trajectory and script, same bytes of ``trajectory/``. What then looks wrong is warned of.

    Raises:
        InputError: a file that cannot be read, or an edit that cannot be made; nothing is written then.
    """
    given, record = read_trajectory(trajectory)
    require_file(script, "script")
    try:
        edits = read_script(script)
        sources = load_sources(edits, script.parent)
        found = apply(given, edits, sources)
    except InputError as error:
        raise (error if error.field == "script" else error.within("script")) from error
    inputs = {"trajectory": record, "script": file_record(script), **_picture_of(trajectory)}
    paths = {name: (script.parent / name).resolve() for name in sources}
    if paths:
        inputs["sources"] = {name: read_trajectory(path)[1] for name, path in paths.items()}
    findings = validate(found, given)
    with result_folder(output, [trajectory, script, *paths.values()]) as folder, disk_faults(output.out):
        write_trajectory(folder, found)
        write_animations(folder, output, "trajectory", _shown(found), found.fps)
        write_png(folder / "filmstrip.png", filmstrip([("before", _shown(given)), ("after", _shown(found))]))
        absolute = [
            type(one)(**{**vars(one), "source": str(paths[one.source])}) if isinstance(one, Compose) else one
            for one in edits.edits
        ]
        write_script(folder / "edits.json", type(edits)(**{**vars(edits), "edits": tuple(absolute)}))
        write_json(
            folder / "manifest.json",
            {
                "command": "edit",
                "inputs": inputs,
                "settings": {"num_frames": found.num_frames, "height": found.size[0], "width": found.size[1]},
                "changed_frames": _changed(given, found),
                "findings": [{"kind": one.kind, "frames": one.frames, "text": one.text} for one in findings],
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": {"mask2iv": __version__},
            },
        )
    for finding in findings:
        warn("trajectory", str(finding))
    print(f"{output.out}: trajectory/, trajectory.mp4")


def _picture_of(trajectory: Path) -> dict[str, Any]:
    """The picture for which a trajectory was made, if a manifest beside it says so: render asks for it."""
    folder = trajectory if (trajectory / "trajectory").is_dir() else trajectory.parent
    try:
        return {"image": read_json(folder / "manifest.json")["inputs"]["image"]}
    except (InputError, KeyError, TypeError):
        return {}


def _shown(trajectory: Trajectory) -> UInt8Array:
    return labels_to_rgb(trajectory.labels)


def _changed(before: Trajectory, after: Trajectory) -> list[int]:
    """Frames that differ, and those that are new."""
    common = min(before.num_frames, after.num_frames)
    differ = (before.labels[:common] != after.labels[:common]).any(axis=(1, 2))
    return [*np.flatnonzero(differ).tolist(), *range(common, after.num_frames)]
