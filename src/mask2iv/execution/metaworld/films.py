"""Clip sets of Meta-World's scripted experts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.contract import Clip, Trajectory
from mask2iv.data.store import ClipSetWriter
from mask2iv.execution.metaworld.bridge import do_jobs
from mask2iv.execution.metaworld.tasks import CAMERAS, TASKS

SIZE, FILMS, FRAMES, FPS = (160, 256), 3, 16, 8.0
LAYOUTS: Mapping[str, Sequence[int]] = {"train": range(1000, 1005), "validation": [1100], "test": range(25)}
"""Seeds of the layouts of a split."""
LEAST_OBJECT = 6
"""A film begins with at least this many pixels of the object, or is left out."""


def make_films(
    out: Path,
    work: Path,
    seeds: Sequence[int],
    tasks: Sequence[str] = tuple(TASKS),
    cameras: Sequence[str] = CAMERAS,
    processes: int = 1,
) -> dict[str, int]:
    """Write the clip set of the experts' films of these layouts, three a film: see
    :mod:`mask2iv.execution.metaworld.server.record`.

    Args:
        out: a new folder.
        work: a folder for the simulator's files, which goes when the set is complete; a stopped call goes on from it.
        seeds: of the layouts.
        tasks, cameras: which.
        processes: how many simulate side by side.

    Returns:
        Numbers of episodes, of those in which the expert succeeded, of films and clips, and of clips left out since
        their first frame hides the object.

    Raises:
        InputError: no environment, or `out` is not empty.
    """
    common: dict[str, Any] = {"kind": "record", "cameras": list(cameras), "size": list(SIZE)}
    common |= {"films": FILMS, "frames": FRAMES, "pictures": True}
    jobs = [{"id": f"{task}-{seed}", "task": task, "seed": seed, **common} for seed in seeds for task in tasks]
    results = do_jobs(jobs, work, processes)
    counts = {"episodes": len(jobs), "successes": 0, "films": 0, "clips": 0, "hidden": 0}
    provenance: dict[str, Any] = {
        "generator": "Meta-World 3.1.1, scripted experts",
        "seeds": list(seeds),
        "tasks": list(tasks),
    }
    with ClipSetWriter(out, SIZE, FRAMES, FPS, provenance) as writer:
        for job in jobs:
            result = results[str(job["id"])]
            counts["successes"] += result["success"]
            for camera, geometry in result.get("cameras", {}).items():
                counts["films"] += 1
                for clip in film_clips(work / str(job["id"]) / f"{camera}.npz", job, camera, geometry):
                    if clip.object_mask.sum() < LEAST_OBJECT:
                        counts["hidden"] += 1
                        continue
                    writer.add(clip)
                    counts["clips"] += 1
    shutil.rmtree(work)
    return counts


def film_clips(path: Path, job: Mapping[str, Any], camera: str, geometry: Mapping[str, Any]) -> Iterator[Clip]:
    """The clips of one camera's films: from the start, from a third and from two thirds of the episode."""
    task = TASKS[job["task"]]
    fields = {}
    for file in (path, path.parent / "truth.npz"):
        with np.load(file) as stored:
            fields.update({name: stored[name] for name in stored.files})
    for film, (video, labels) in enumerate(zip(fields["video"], fields["labels"], strict=True)):
        known = {name: fields[name][film].tolist() for name in ("steps", "hand", "fingers", "opening", "pose")}
        yield Clip(
            clip_id=f"{task.name}-{job['seed']}-{camera}-{film}",
            video=video,
            trajectory=Trajectory(labels, FPS),
            caption=task.caption,
            verb=task.verb,
            object_name=task.object_name,
            actor="robot",
            contact=None,
            metadata={
                "task": task.name,
                "seed": job["seed"],
                "film": film,
                "camera": {"name": camera, **geometry},
                **known,
            },
        )
