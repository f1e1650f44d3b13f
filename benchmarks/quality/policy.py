"""Does generated data help a policy? Small policies cloned from k true demonstrations, from these and 10 k generated
ones, from the generated ones alone, and from 10 k true ones, in the same scenes. See docs/policy.md.

    python benchmarks/quality/policy.py --out policy

Goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from mask2iv.execution.cloning.collecting import TASKS, scenes
from mask2iv.execution.cloning.experiment import arms, evaluate, gather, trained
from mask2iv.execution.cloning.report import report
from mask2iv.execution.measuring.conditions import claim
from mask2iv.execution.measuring.predictions import Predictor
from mask2iv.files import atomic_write
from mask2iv.manifest import weights_digest
from mask2iv.pipelines.folder import model_folder
from mask2iv.sim.world.render import Renderer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--k", type=int, default=3, help="true demonstrations")
    parser.add_argument("--draws", type=int, default=2, help="policies of each arm, from different true demonstrations")
    parser.add_argument("--scenes", type=int, default=40, help="test scenes of each task")
    parser.add_argument("--films", type=int, default=0, help="films of the first N of them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    conditions = {"model": options.model, "model_sha256": weights_digest(model_folder(options.model)), "k": options.k}
    claim(options.out, "trials", conditions)
    predictor = Predictor(options.model)
    needed = {"true": 10 * options.k * options.draws, "generated": 10 * options.k}
    with tqdm(desc="demonstrations", unit="scene") as bar:
        for kind, count in needed.items():
            for task in options.tasks:
                gather(options.out, task, kind, count, predictor, lambda row: bar.update())
    policies = {
        task: {
            (arm.name, draw): trained(options.out, task, arm, draw, options.k)
            for draw in range(options.draws)
            for arm in arms(options.k)
        }
        for task in options.tasks
    }
    config = scenes(options.tasks[0], "test")
    renderer = Renderer(config.height, config.width)
    jobs = [(index, task) for index in range(options.scenes) for task in options.tasks]
    for index, task in tqdm(jobs, desc="scenes"):
        evaluate(options.out, task, index, policies[task], predictor, renderer, index < options.films)
    renderer.close()
    with atomic_write(options.out / "report.md") as temporary:
        temporary.write_text(report(options.out), encoding="utf-8")
    print((options.out / "report.md").read_text(), end="")


if __name__ == "__main__":
    main()
