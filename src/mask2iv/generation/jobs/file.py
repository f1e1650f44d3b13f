"""The file of ``mask2iv generate --jobs``: one scene per line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mask2iv.config import from_dict
from mask2iv.errors import InputError, within
from mask2iv.files import require_file
from mask2iv.generation.inputs import check_fitting, check_seed, with_sample
from mask2iv.generation.options import Fitting, SceneOptions
from mask2iv.parsing import read_lines

FAILURES, SUMMARY = "failures.json", "jobs-manifest.json"
"""Files beside the folders of the jobs, which therefore cannot have these names."""
_PATHS = ("image", "object_mask", "target_mask", "actor_mask", "object_path", "segmenter_weights")
_SCENE = tuple(f.name for f in fields(SceneOptions))
_FIT = {f.name for f in fields(Fitting)}
_KEYS = ("id", "seed", *_SCENE, *sorted(_FIT))
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Job:
    """One line of a jobs file: the scene, how its picture is fitted, its seed, and the name of its folder."""

    id: str
    line: int
    scene: SceneOptions
    fitting: Fitting
    seed: int


@dataclass(frozen=True)
class _Named:
    """Keys of a job besides those of its scene."""

    id: str | None = None
    seed: int | None = None


def read_jobs(path: Path, seed: int, fitting: Fitting) -> list[Job]:
    """The jobs of a file, one JSON object per line; blank lines are skipped.

    Args:
        path: paths in the file are relative to its folder.
        seed, fitting: of jobs that have none of their own.

    Raises:
        InputError: no such file, no jobs, a line that is not a job, or an id twice; names line and key.
    """
    require_file(path, "jobs")
    jobs: list[Job] = []
    taken: dict[str, int] = {}
    with within("jobs"):
        lines = list(read_lines(path))
    for number, line in lines:
        place = f"jobs: {path}: line {number}"
        if not isinstance(line, dict):
            raise InputError(place, f"expected a JSON object, found {type(line).__name__}")
        with within(place):
            job = _job(line, number, path.parent, f"job-{len(jobs):05d}", seed, fitting)
        # Some file systems do not tell upper from lower case.
        name = job.id.casefold()
        if name in taken:
            raise InputError(
                "jobs", f"lines {taken[name]} and {number} of {path} both have the id {job.id!r}", "rename one of them"
            )
        taken[name] = number
        jobs.append(job)
    if not jobs:
        raise InputError("jobs", f"{path} holds no jobs", "write one JSON object per line")
    return jobs


def _job(line: Mapping[str, Any], number: int, folder: Path, default_id: str, seed: int, fitting: Fitting) -> Job:
    values = {key: value for key, value in line.items() if value is not None}
    for key in ("object_box", "object_point"):
        # A box or point may be a list of numbers too.
        if isinstance(values.get(key), list):
            values[key] = ",".join(map(str, values[key]))
    named = from_dict(_Named, values, unknown="ignore")
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise InputError(unknown[0], "unknown key", f"known keys: {', '.join(_KEYS)}")
    scene = with_sample(from_dict(SceneOptions, {key: values[key] for key in _SCENE if key in values}))
    if scene.image is None:
        raise InputError("image", "it is missing")
    name = default_id if named.id is None else named.id
    own_seed = seed if named.seed is None else named.seed
    check_seed(own_seed, 1)
    # A scale goes with its fit.
    own_fit = {key: values[key] for key in _FIT & values.keys()}
    from_dict(Fitting, own_fit)
    fitting = replace(Fitting() if "fit" in values else fitting, **own_fit)
    check_fitting(fitting)
    if not _ID.fullmatch(name) or name.endswith(".") or name.casefold() in (FAILURES, SUMMARY):
        raise InputError(
            "id",
            f"{name!r} cannot be a folder name here",
            "use up to 100 letters, digits, '-', '_' and '.', a letter or digit first",
        )
    paths = {key: folder / path for key in _PATHS if (path := getattr(scene, key)) is not None}
    return Job(name, number, replace(scene, **paths), fitting, own_seed)
