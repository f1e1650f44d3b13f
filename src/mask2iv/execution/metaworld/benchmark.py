"""Task success on Meta-World, as AVDC (Ko et al. 2023) measures it: eleven tasks, three cameras, up to 500 steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array
from mask2iv.execution.measuring.shares import percent, wilson
from mask2iv.execution.metaworld.bridge import do_jobs, metaworld_python
from mask2iv.execution.metaworld.films import FRAMES, SIZE
from mask2iv.execution.metaworld.planners import by_model, by_true_masks, by_truth, straight
from mask2iv.execution.metaworld.tasks import CAMERAS, MAX_STEPS, TASKS
from mask2iv.execution.metaworld.trials import Planner, Trial, all_trials, run_trials
from mask2iv.files import atomic_write, write_json

if TYPE_CHECKING:
    from mask2iv.pipelines.pipeline import Mask2IVPipeline

PLANS = {
    "text": "stage 1 from the caption",
    "oracle": "true masks",
    "oracle-motion": "true motion in 3-D in place of masks",
    "slide": "a straight move of the part",
    "rest": "nothing is done",
    "expert": "Meta-World's scripted policy",
}
"""Whose plans are carried out."""
REPLANNED = ("text", "slide")
"""Plans that are made again from a new picture; those of the truth, which begins with the episode, are not."""
PORTION = 5
"""Layouts that are simulated together."""
GUIDANCE, STEPS = 1.0, 4
"""Of stage 1. On the validation layout, more guidance put the part farther from where it goes, and 8 steps changed
nothing."""


def execute(
    out: Path,
    plans: Sequence[str],
    layouts: Sequence[int],
    pipe: Mask2IVPipeline | None,
    replans: int = 5,
    seed: int = 0,
    processes: int = 1,
    tasks: Sequence[str] = tuple(TASKS),
    cameras: Sequence[str] = CAMERAS,
    told: Callable[[str], None] = print,
) -> None:
    """Carry plans out, and write a journal of each: ``OUT/PLAN.jsonl``.

    It grows by :data:`PORTION` layouts at a time. Episodes that it has already are left out: so a stopped call goes on,
    and more layouts can follow.

    A plan is made again up to `replans` times from a new picture, where the last one has been carried out and the task
    is not done. Each row says after how many plans it was: so one run shows success without planning again, too.

    Args:
        out: folder of the journals; the simulator's files lie there, too, until a plan is finished.
        plans: see :data:`PLANS`.
        layouts: seeds.
        pipe: the model of "text".
        replans: how often, of :data:`REPLANNED`.
        seed: of the model's draws.
        processes: how many simulate side by side.
        tasks, cameras: which.
        told: is told what has been done.

    Raises:
        InputError: unknown plans, or as :func:`~mask2iv.execution.metaworld.bridge.do_jobs`.
    """
    check_plans(plans)
    for name in plans:
        for start in range(0, len(layouts), PORTION):
            every = all_trials(tasks, cameras, layouts[start : start + PORTION])
            rows = read_journal(out, name)
            known = {(row["task"], row["camera"], row["seed"]) for row in rows}
            trials = [one for one in every if (one.task.name, one.camera, one.seed) not in known]
            if not trials:
                continue
            _carry_out(name, trials, out, pipe, replans, seed, processes, told)
            with atomic_write(out / f"{name}.jsonl") as temporary:
                rows += [trial.row() for trial in trials]
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
            shutil.rmtree(out / f"work-{name}", ignore_errors=True)
            _tell(told, name, rows)
    shutil.rmtree(out / "work-expert", ignore_errors=True)


def _carry_out(
    name: str,
    trials: Sequence[Trial],
    out: Path,
    pipe: Mask2IVPipeline | None,
    replans: int,
    seed: int,
    processes: int,
    told: Callable[[str], None],
) -> None:
    """Carry one of :data:`PLANS` out in trials, which change; the rest is of :func:`execute`."""
    simulate = partial(_experts, out / "work-expert", trials, processes)
    if name == "expert":
        experts = simulate(filmed=False)
        for trial in trials:
            found = experts[f"{trial.task.name}-{trial.seed}"]
            trial.success, trial.steps = found["success"], found["steps"]
    elif name == "rest":
        _rest(trials, out / "work-rest", processes)
    else:
        planner = _planner(name, trials, partial(simulate, filmed=True), pipe, seed)
        count = 1 + replans if name in REPLANNED else 1

        def report(plans: int) -> None:
            if plans:
                _tell(told, name, [trial.row() for trial in trials], plans)
            else:
                told(f"{name}: {len(trials)} scenes seen, making plans")

        run_trials(trials, planner, count, out / f"work-{name}", processes, report)


def check_plans(plans: Sequence[str]) -> None:
    """Whether these are plans, and Meta-World is there to carry them out.

    Raises:
        InputError: they are not, or it is not.
    """
    unknown = [name for name in plans if name not in PLANS]
    if unknown or not plans:
        raise InputError("plans", f"must be among {', '.join(PLANS)}, found {', '.join(unknown) or 'none'}")
    metaworld_python()


def _tell(told: Callable[[str], None], name: str, rows: Sequence[Mapping[str, Any]], plans: int | None = None) -> None:
    when = "in all" if plans is None else f"after {plans} plans"
    told(f"{name}: {sum(row['success'] for row in rows)} of {len(rows)} done {when}")


def _planner(
    name: str,
    trials: Sequence[Trial],
    experts: Callable[[], Mapping[str, Any]],
    pipe: Mask2IVPipeline | None,
    seed: int,
) -> Planner:
    if name == "text":
        assert pipe is not None
        return by_model(pipe, seed, guidance_scale=GUIDANCE, num_inference_steps=STEPS)
    if name == "slide":
        return straight
    found = experts()
    folder: Path = found["folder"]
    labels: dict[str, UInt8Array] = {}
    poses: dict[str, Array] = {}
    for trial in trials:
        episode = folder / f"{trial.task.name}-{trial.seed}"
        if found[episode.name]["success"]:
            with np.load(episode / "truth.npz") as stored:
                poses[trial.name] = stored["pose"][0]
            with np.load(episode / f"{trial.camera}.npz") as stored:
                labels[trial.name] = stored["labels"][0]
    return by_true_masks(labels) if name == "oracle" else by_truth(poses)


def _experts(work: Path, trials: Sequence[Trial], processes: int, filmed: bool) -> dict[str, Any]:
    """The experts' episodes: results by TASK-SEED, and the folder of their masks as the trials' cameras see them."""
    folder = work / ("films" if filmed else "episodes")
    common: dict[str, Any] = {
        "kind": "record",
        "cameras": list(dict.fromkeys(trial.camera for trial in trials)) if filmed else [],
        "films": 1,
        "frames": FRAMES,
        "pictures": False,
        "size": list(SIZE) if filmed else None,
    }
    episodes = dict.fromkeys((trial.task.name, trial.seed) for trial in trials)
    jobs = [{"id": f"{task}-{seed}", "task": task, "seed": seed, **common} for task, seed in episodes]
    return {**do_jobs(jobs, folder, processes), "folder": folder}


def _rest(trials: Sequence[Trial], work: Path, processes: int) -> None:
    """Let the gripper stay where it is; what a camera sees does not matter."""
    stay = {"to": None, "effort": -1.0, "near": 0.0, "steps": MAX_STEPS, "still": MAX_STEPS}
    common: dict[str, Any] = {"kind": "run", "camera": CAMERAS[0], "programs": [[stay]], "size": None}
    episodes = {(trial.task.name, trial.seed) for trial in trials}
    jobs = [{"id": f"{task}-{seed}", "task": task, "seed": seed, **common} for task, seed in sorted(episodes)]
    results = do_jobs(jobs, work, processes)
    for trial in trials:
        found = results[f"{trial.task.name}-{trial.seed}"]
        trial.success, trial.steps = found["success"], found["steps"]


def read_journal(out: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a plan in a folder; none where it has not been carried out."""
    path = out / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def summary(out: Path) -> dict[str, Any]:
    """Success by plan and task, with 95 % Wilson intervals; written to ``OUT/success.json``.

    A plan that was made again where it failed has a second entry, NAME-once, of its first plans alone. "all" is over
    all episodes, which are as many for each task.
    """
    result: dict[str, Any] = {}
    for name in PLANS:
        rows = read_journal(out, name)
        if not rows:
            continue
        if any(row["plans"] > 1 for row in rows):
            result[f"{name}-once"] = _shares([{**row, "success": row["success"] and row["plans"] == 1} for row in rows])
        result[name] = _shares(rows)
    write_json(out / "success.json", result)
    return result


def _shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    groups = {"all": list(rows), **{task: [row for row in rows if row["task"] == task] for task in tasks}}
    for camera in CAMERAS:
        groups[camera] = [row for row in rows if row["camera"] == camera]
    return {key: wilson(sum(row["success"] for row in chosen), len(chosen)) for key, chosen in groups.items() if chosen}


def markdown(result: Mapping[str, Any]) -> str:
    """The table of :func:`summary`: tasks and cameras by plans, in percent."""
    lines = [f"| success, % | {' | '.join(result)} |", "|---|" + "---:|" * len(result)]
    keys = [key for key in ("all", *TASKS, *CAMERAS) if any(key in shares for shares in result.values())]
    for key in keys:
        cells = [percent(shares[key], sign="") if key in shares else "-" for shares in result.values()]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
