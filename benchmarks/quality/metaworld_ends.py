"""How far from its true place a handled part ends in the plans of a model, by task, in pixels of the films.

    python benchmarks/quality/metaworld_ends.py --model runs/mw --data data/mw data/mw-validation --camera corner2

A model that is as far off on the films that it was trained on as on others needs more training, not more films.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from mask2iv import Mask2IVPipeline
from mask2iv.backbones.planning.predictor import PlanningPredictor
from mask2iv.data.store import ClipSet
from mask2iv.execution.metaworld.benchmark import GUIDANCE, STEPS
from mask2iv.execution.metaworld.tasks import CAMERAS
from mask2iv.stages.interfaces import Guidance, SamplingOptions
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.plan import plan_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--camera", choices=CAMERAS, help="default: all")
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)

    predictor = Mask2IVPipeline.from_pretrained(options.model).predictor
    assert isinstance(predictor, PlanningPredictor), "its stage 1 draws plans"
    columns = [ends(predictor, ClipSet(data), options.camera or "", options.draws) for data in options.data]
    for task in columns[0]:
        print(task, *(f"{column[task]:.1f}" for column in columns if task in column))
    print("mean", *(f"{np.mean(list(column.values())):.1f}" for column in columns))


def ends(predictor: PlanningPredictor, clips: ClipSet, camera: str, draws: int) -> dict[str, float]:
    """The mean distance at the end by task, of films from the start of an episode."""
    names = [name for name in clips.ids if name.endswith(f"{camera}-0")]
    chosen = [clips[clips.ids.index(name)] for name in names]
    actors = [clip.trajectory.actor[0] for clip in chosen]
    scenes = [
        Scene(clip.image, clip.object_mask, clip.caption, None, actor)
        for clip, actor in zip(chosen, actors, strict=True)
        for _ in range(draws)
    ]
    sampling = SamplingOptions(steps=STEPS, batch_size=32, guidance=Guidance(text=GUIDANCE))
    drawn = predictor.draw(scenes, list(range(draws)) * len(chosen), sampling)
    found = defaultdict(list)
    for index, clip in enumerate(chosen):
        true = plan_of(clip.trajectory.labels).shift[-1]
        unit = clip.video.shape[1] - 1
        for one in drawn[index * draws : (index + 1) * draws]:
            found[str(clip.metadata["task"])].append(unit * float(np.linalg.norm(one.plan.shift[-1] - true)))
    return {task: float(np.mean(values)) for task, values in found.items()}


if __name__ == "__main__":
    main()
