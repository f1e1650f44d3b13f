"""Filmstrips of held-out clips during the training of a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.filmstrip import filmstrip
from mask2iv.media import write_png
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.stage import Stage
from mask2iv.training.pictures import to_uint8
from mask2iv.training.stages import StageBatches, StageName


def stage_pictures(
    name: StageName,
    codec: LatentCodec,
    scheduler: DDIMScheduler,
    held_out: StageBatches,
    pipeline: PipelineConfig,
    run_dir: Path,
    count: int = 3,
) -> Callable[[Stage, int], None]:
    """A callable that samples the first `count` held-out clips and writes true and generated rows to ``run_dir``."""
    steps = pipeline.num_inference_steps if name == "trajectory" else pipeline.video_num_inference_steps

    def picture(stage: Stage, step: int) -> None:
        rows = []
        latents, conditions, _ = held_out.step(0, torch.Generator().manual_seed(0))
        for index in range(min(count, len(latents))):
            one = slice(index, index + 1)
            scheduler.set_timesteps(steps)
            sampled = stage.generate(
                scheduler, latents[one].shape, [conditions[one]], [], 0.0, torch.Generator().manual_seed(index)
            )
            rows.append((f"clip {index}, encoded and decoded", to_uint8(codec.decode(latents[one])[0])))
            rows.append((f"clip {index}, generated", to_uint8(codec.decode(sampled)[0])))
        write_png(run_dir / f"held_out_{step:06d}.png", filmstrip(rows))

    return picture
