"""Quality against sampling steps, for each solver: python benchmarks/quality/steps.py --data data/validation --clips 6

Stage 1 is given the target position, stage 2 the true trajectory; figures are means over the clips.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mask2iv.contract import Clip, Trajectory
from mask2iv.data.store import ClipSet
from mask2iv.diffusion.config import SAMPLERS
from mask2iv.evaluation.measures import metrics
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.scoring import movement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--steps", default="4,8,12,20,50")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--stages", default="trajectory,video")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipeline = Mask2IVPipeline.from_pretrained(args.model)
    clips = [ClipSet(args.data)[index] for index in range(args.clips)]
    measures = {"trajectory": trajectory_figures, "video": video_figures}
    for stage in args.stages.split(","):
        for sampler in args.samplers.split(","):
            for steps in map(int, args.steps.split(",")):
                started = time.perf_counter()
                rows = [measures[stage](pipeline, clip, sampler, steps, seed) for seed, clip in enumerate(clips)]
                figures = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
                said = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
                seconds = (time.perf_counter() - started) / len(clips)
                print(f"{stage}, {sampler}, {steps} steps: {said}, {seconds:.1f} s a clip", flush=True)


def trajectory_figures(
    pipeline: Mask2IVPipeline, clip: Clip, sampler: str, steps: int, seed: int
) -> dict[str, float | bool]:
    actor = clip.trajectory.actor[0]
    predicted: Trajectory = pipeline.trajectory(
        clip.image,
        clip.object_mask,
        target_mask=clip.target_mask,
        actor_mask=actor if actor.any() else None,
        num_inference_steps=steps,
        sampler=sampler,
        generator=[seed],
        progress=False,
    )[0]
    distance, gone = movement.final_distance(predicted, clip.target_mask, clip.object_mask)
    return {
        "final distance (%)": 100 * distance,
        "gone": gone,
        "object IoU": metrics.object_iou(predicted, clip.trajectory),
        "actor IoU": metrics.actor_iou(predicted, clip.trajectory),
    }


def video_figures(pipeline: Mask2IVPipeline, clip: Clip, sampler: str, steps: int, seed: int) -> dict[str, float]:
    [video] = pipeline.render(
        clip.image, clip.trajectory, num_inference_steps=steps, sampler=sampler, generator=[seed], progress=False
    )
    return {"PSNR (dB)": metrics.psnr(video, clip.video) or float("nan"), "SSIM": metrics.ssim(video, clip.video)}


if __name__ == "__main__":
    main()
