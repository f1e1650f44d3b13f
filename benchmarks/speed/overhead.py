"""What a training step costs beside the network: python benchmarks/speed/overhead.py

Components of the recipe `tiny` are trained for some steps of 64 samples on the CPU, with one thread. Processor time is
counted, so that other jobs change little: all of a step, and the parts that a GPU would do ("masks": dilating, encoding
and weighing them, and the losses of pixels). What remains (samples, random numbers, assembling, bookkeeping) is Python
and small copies, which cost as much beside a large network on a GPU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.planning.painter import MaskPainter, ShapeEncoder
from mask2iv.backbones.planning.planner import InteractionPlanner
from mask2iv.cli import main as mask2iv
from mask2iv.contract import Clip, Label, Trajectory
from mask2iv.data.store import SIMULATOR, ClipSetWriter
from mask2iv.models.discriminator import PatchDiscriminator
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.training.engine.loop import Trainer
from mask2iv.training.engine.optim import MovingAverage
from mask2iv.training.inputs import windows
from mask2iv.training.networks import reference, stages

STEP = "step"
WATCHED: dict[str, list[tuple[Any, str]]] = {
    STEP: [(Trainer, "_train_step")],
    "forward": [
        (kind, "forward")
        for kind in (
            VideoUNet,
            Resampler,
            MaskPainter,
            ShapeEncoder,
            InteractionPlanner,
            ReferenceDecoder,
            PatchDiscriminator,
        )
    ],
    "masks": [
        (stages, "perturb_labels"),
        (stages, "encode_masks"),
        (stages, "contact_weight"),
        (stages, "foreground_weight"),
        (windows, "perturb_labels"),
        (windows, "moved_object"),
        (reference, "_distances"),
    ],
    "backward": [(Accelerator, "backward")],
    "gradient norm": [(Accelerator, "clip_grad_norm_")],
    "optimiser": [(AcceleratedOptimizer, "step")],
    "average": [(MovingAverage, "step")],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", default="trajectory,video,painter,planner,reference")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="the first quarter of them does not count")
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data, model = Path(folder) / "clips", Path(folder) / "model"
        write_clips(data, args.clips)
        common = ["--recipe", "tiny", "--data", str(data), "--out", str(model), "--threads", "1", "--device", "cpu"]
        rows = []
        for name in ("vae", "encoders", *args.components.split(",")):
            flags = [f"{name}.training.{key}={value}" for key, value in (("max_steps", args.steps), ("log_every", 20))]
            flags += [f"{name}.training.batch_size={args.batch if name in args.components else 2}"]
            flags += [f"{name}.training.checkpoint_every=1000"]
            with watched() as steps:
                if mask2iv(["train", name, *common, *(one for flag in flags for one in ("--set", flag))]):
                    raise SystemExit(1)
            rows.append((name, figures(steps, args.steps // 4)))
    print("\n| ms | " + " | ".join(rows[0][1]) + " |\n| --- |" + " ---: |" * len(rows[0][1]))
    for name, row in rows[2:]:
        print(f"| {name} | " + " | ".join(f"{1000 * value:.1f}" for value in row.values()) + " |")


def figures(steps: list[dict[str, float]], skipped: int) -> dict[str, float]:
    """Mean processor seconds of a step and of its parts; "rest" is what no part accounts for."""
    counted = steps[skipped:]
    means = {name: sum(step[name] for step in counted) / len(counted) for name in WATCHED}
    return {**means, "rest": means[STEP] - sum(value for name, value in means.items() if name != STEP)}


@contextmanager
def watched() -> Iterator[list[dict[str, float]]]:
    """Processor seconds of the watched functions within each step."""
    steps: list[dict[str, float]] = []
    inside: dict[str, float] = {}

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if part == STEP:
                inside.update(dict.fromkeys(WATCHED, 0.0))
            before, started = sum(inside.values()), time.process_time()
            result = function(*args, **kwargs)
            if inside:
                # Without the parts within this one, but for the step, which has all of them.
                within = 0.0 if part == STEP else sum(inside.values()) - before
                inside[part] += time.process_time() - started - within
            if part == STEP:
                steps.append(dict(inside))
                inside.clear()
            return result

        return call

    with ExitStack() as stack:
        # As on a GPU with room for the clips; a processor's steps read them from files.
        stack.enter_context(patch.object(windows.WindowSource, "_fits", lambda _: True))
        for part, places in WATCHED.items():
            for owner, name in places:
                stack.enter_context(patch.object(owner, name, timed(part, getattr(owner, name))))
        yield steps


def write_clips(folder: Path, count: int) -> None:
    """Squares that discs push about."""
    rows, columns = np.mgrid[:32, :64]
    with ClipSetWriter(folder, (32, 64), 4, 8.0, {"generator": SIMULATOR}) as writer:
        for index in range(count):
            side = 1 if index % 2 else -1
            labels = np.zeros((4, 32, 64), dtype=np.uint8)
            for t in range(4):
                centre = 32 + side * 4 * t
                labels[t, 14:24, centre - 5 : centre + 5] = Label.OBJECT
                labels[t, (rows - 20) ** 2 + (columns - centre + side * 10) ** 2 < 36] = Label.ACTOR
            video = np.array([(120, 130, 125), (230, 180, 150), (200, 60, 40)], dtype=np.uint8)[labels]
            where = "right" if side > 0 else "left"
            writer.add(
                Clip(
                    f"clip-{index:04d}",
                    video,
                    Trajectory(labels, 8.0),
                    f"a hand pushing a box to the {where}",
                    "pushing",
                    "box",
                    "hand",
                )
            )


if __name__ == "__main__":
    main()
