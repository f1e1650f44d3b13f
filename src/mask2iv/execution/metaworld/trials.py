"""Trials: plans carried out in Meta-World, and made again where they did not succeed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.execution.camera import Array
from mask2iv.execution.metaworld.aims import Seen, camera_of
from mask2iv.execution.metaworld.bridge import do_jobs
from mask2iv.execution.metaworld.films import LEAST_OBJECT, SIZE
from mask2iv.execution.metaworld.policy import Kind, Program, program_of
from mask2iv.execution.metaworld.tasks import TASKS, MetaWorldTask

HELD_WITHIN = 0.06
"""A part that the last plan took is still held where it is so near to the finger tips, metres."""


@dataclass
class Trial:
    """One episode: a task with a layout, seen by a camera.

    Attributes:
        task, camera, seed: which.
        programs: carried out so far.
        kinds: how each handles the part.
        success: whether the task is done.
        steps: of the episode.
        over: whether nothing more is planned.
        track: where finger tips and part were, [N, 6].
    """

    task: MetaWorldTask
    camera: str
    seed: int
    programs: list[Program] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    success: bool = False
    steps: int = 0
    over: bool = False
    track: list[list[float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.task.name}-{self.seed}-{self.camera}"

    def row(self) -> dict[str, Any]:
        """What is kept of it, as JSON values."""
        return {
            "task": self.task.name,
            "camera": self.camera,
            "seed": self.seed,
            "success": self.success,
            "steps": self.steps,
            "plans": len(self.programs),
            "kinds": self.kinds,
        }


@dataclass(frozen=True, eq=False)
class Observation:
    """What is known when a plan is made.

    Attributes:
        trial: whose.
        picture: uint8 [H, W, 3].
        labels: uint8 [H, W], of robot and part.
        seen: the camera, and the depth of the picture.
        fingers: [3], where the finger tips are, world metres.
        round: 0 for the first plan of an episode.
    """

    trial: Trial
    picture: UInt8Array
    labels: UInt8Array
    seen: Seen
    fingers: Array
    round: int


Plan = tuple[Array, Kind]
"""The path [T, 3] of the part's middle, and how the part is handled."""
Planner = Callable[[Sequence[Observation]], Sequence[Plan | None]]
"""Makes plans; None where it has none."""


def run_trials(
    trials: Sequence[Trial],
    planner: Planner,
    plans: int,
    work: Path,
    processes: int = 1,
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Carry out trials. In each round all that have not succeeded yet get one plan more.

    Args:
        trials: which change.
        planner: makes the plans.
        plans: of an episode at most.
        work: folder for the simulator's files.
        processes: how many simulate side by side.
        told: is told how many plans have been carried out.

    Raises:
        InputError: as :func:`~mask2iv.execution.metaworld.bridge.do_jobs`.
    """
    for number in range(plans + 1):
        live = sorted((trial for trial in trials if not trial.over), key=lambda trial: trial.task.name)
        if not live:
            return
        last = number == plans
        folder = work / f"round-{number}"
        results = do_jobs([_job(trial, last) for trial in live], folder, processes)
        observations: list[Observation] = []
        for trial in live:
            result = results[trial.name]
            trial.success, trial.steps, trial.track = result["success"], result["steps"], result["track"]
            trial.over = last or "view" not in result
            if not trial.over:
                seen = _observation(trial, folder / trial.name / "view.npz", result["view"], number)
                if (seen.labels == 2).sum() < LEAST_OBJECT:
                    trial.over = True
                else:
                    observations.append(seen)
        told(number)
        for observation, plan in zip(observations, planner(observations), strict=True):
            _add(observation, plan)


def _job(trial: Trial, last: bool) -> dict[str, Any]:
    return {
        "id": trial.name,
        "kind": "run",
        "task": trial.task.name,
        "seed": trial.seed,
        "camera": trial.camera,
        "programs": trial.programs,
        "size": None if last else list(SIZE),
    }


def _observation(trial: Trial, path: Path, geometry: dict[str, Any], number: int) -> Observation:
    with np.load(path) as stored:
        seen = Seen(camera_of(geometry, SIZE), stored["depth"].astype(np.float64))
        return Observation(trial, stored["picture"], stored["labels"], seen, stored["fingers"], number)


def _add(observation: Observation, plan: Plan | None) -> None:
    """Give a trial its next program; one without a plan is over."""
    trial = observation.trial
    if plan is None:
        trial.over = True
        return
    path, kind = plan
    near = float(np.linalg.norm(observation.fingers - path[0])) < HELD_WITHIN
    held = kind == "grasp" and near and bool(trial.kinds) and trial.kinds[-1] == "grasp"
    trial.programs.append(program_of(path, kind, observation.fingers, held))
    trial.kinds.append(kind)


def all_trials(tasks: Sequence[str], cameras: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """A trial for each task, camera and layout."""
    return [Trial(TASKS[task], camera, seed) for task in tasks for camera in cameras for seed in seeds]
