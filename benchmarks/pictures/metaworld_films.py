"""Films of Meta-World episodes: predicted masks on the left, what the robot does on the right.

    python benchmarks/pictures/metaworld_films.py --model runs/metaworld --layout 0 --out films

Needs ``make metaworld``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch

from mask2iv import Mask2IVPipeline, Trajectory
from mask2iv.contract import LABEL_COLOURS, UInt8Array
from mask2iv.execution.metaworld.benchmark import GUIDANCE, STEPS
from mask2iv.execution.metaworld.bridge import do_jobs
from mask2iv.execution.metaworld.films import SIZE
from mask2iv.execution.metaworld.planners import by_model
from mask2iv.execution.metaworld.tasks import CAMERAS, TASKS
from mask2iv.execution.metaworld.trials import Observation, all_trials, run_trials
from mask2iv.media.animations import write_animation

FRAMES = 40
"""Of a film."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--layout", type=int, default=0)
    parser.add_argument("--camera", default=CAMERAS[0], choices=CAMERAS)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--replans", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)

    drawn: dict[str, tuple[Observation, Trajectory]] = {}

    def keep(observation: Observation, trajectory: Trajectory) -> None:
        drawn.setdefault(observation.trial.name, (observation, trajectory))

    trials = all_trials(options.tasks, [options.camera], [options.layout])
    pipe = Mask2IVPipeline.from_pretrained(options.model)
    work = options.out / "work"
    planner = by_model(pipe, keep=keep, guidance_scale=GUIDANCE, num_inference_steps=STEPS)
    run_trials(trials, planner, 1 + options.replans, work)
    common = {"kind": "run", "camera": options.camera, "size": list(SIZE), "film": FRAMES}
    jobs = [
        {"id": trial.name, "task": trial.task.name, "seed": trial.seed, "programs": trial.programs, **common}
        for trial in trials
    ]
    do_jobs(jobs, work / "films")
    for trial in trials:
        if trial.name not in drawn:
            print(f"{trial.name}: the camera does not see the object")
            continue
        with np.load(work / "films" / trial.name / "film.npz") as stored:
            film = np.concatenate([over(*drawn[trial.name]), stored["video"]], axis=2)
        end = "done" if trial.success else "failed"
        write_animation(options.out / f"{trial.name}-{end}.webp", film, 8.0)
        print(f"{trial.name}: {end} after {len(trial.programs)} plans, {trial.steps} steps")
    shutil.rmtree(work)


def over(observation: Observation, trajectory: Trajectory) -> UInt8Array:
    """The first predicted masks over the first picture, uint8 [FRAMES, H, W, 3]."""
    frames = np.linspace(0, trajectory.num_frames - 1, FRAMES).round().astype(int)
    colours = LABEL_COLOURS[trajectory.labels[frames]]
    shade = np.where(trajectory.labels[frames][..., None] > 0, 0.5, 0.0)
    return (observation.picture[None] * (1 - shade) + colours * shade).astype(np.uint8)


if __name__ == "__main__":
    main()
