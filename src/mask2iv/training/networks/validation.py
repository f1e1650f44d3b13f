"""How a stage in training is measured: loss at fixed noise, and what it generates for fixed held-out clips.

Stage 1 is judged by the overlap of its trajectories with the true ones, stage 2 by the fidelity of its videos, rendered
along the true trajectories (paper, section 4.1, with PSNR in place of FVD, which needs more than a few clips).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.contract import Trajectory
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.evaluation.measures.metrics import actor_iou, object_iou, psnr, ssim
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.training.engine.samples import rows_at, sample_seed
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.networks.pictures import to_uint8
from mask2iv.training.networks.stages import StageBatches
from mask2iv.trajectories.labels import snapped

LOSS_BATCHES = 8
MEASURES = {"trajectory": "miou", "video": "psnr"}


@dataclass(frozen=True)
class StageValidation:
    """Measures a stage on held-out clips; see :meth:`figures`.

    Attributes:
        batches: the held-out clips as conditions.
        clips: the same, as pictures and labels.
        schedule, scheduler: of training and of generation.
        sampling_steps: number of steps per generation.
        count: number of clips to generate.
        directory: receives a filmstrip each time; None on processes that do not write.
    """

    batches: StageBatches
    clips: ClipMemory
    schedule: NoiseSchedule
    scheduler: DDIMScheduler
    sampling_steps: int
    count: int
    directory: Path | None

    def figures(self, stage: Stage, step: int) -> dict[str, float]:
        """Loss, and either object, actor and mean IoU of trajectories or PSNR (dB) and SSIM of videos."""
        return {"loss": self._loss(stage), **self._generated(stage, step)}

    def _loss(self, stage: Stage) -> float:
        batches, size = self.batches, self.batches.recipe.training.batch_size
        losses = []
        for index in range(LOSS_BATCHES):
            rows = rows_at(len(batches), 0, range(index * size, (index + 1) * size))
            generators = [torch.Generator().manual_seed(sample_seed(0, index, position)) for position in range(size)]
            latents, conditions, weight = batches.assemble(rows, generators)
            shift = batches.recipe.timestep_shift
            loss = stage.loss(self.schedule, latents, conditions, weight, generators, shift, batches.criterion)
            losses.append(float(loss))
        return sum(losses) / len(losses)

    def _generated(self, stage: Stage, step: int) -> dict[str, float]:
        """Figures of generated clips; no condition is dropped or perturbed."""
        batches, codec = self.batches.undisturbed(), self.batches.encoder.codec
        rows, measured = [], []
        for row in range(min(self.count, len(batches))):
            latents, conditions, _ = batches.assemble([row], [torch.Generator().manual_seed(row)])
            self.scheduler.set_timesteps(self.sampling_steps)
            generator = torch.Generator().manual_seed(row)
            sampled = stage.generate(self.scheduler, latents.shape, [conditions], [], 0.0, generator)
            decoded = codec.decode(sampled)
            measured.append(self._measure(decoded, row))
            rows.append((f"clip {row}, encoded and decoded", to_uint8(codec.decode(latents)[0])))
            rows.append((f"clip {row}, generated", to_uint8(decoded[0])))
        if self.directory is not None:
            write_png(self.directory / f"held_out_{step:06d}.png", filmstrip(rows))
        return {name: sum(one[name] for one in measured) / len(measured) for name in measured[0]}

    def _measure(self, decoded: torch.Tensor, clip: int) -> dict[str, float]:
        item = self.clips.item(clip)
        if self.batches.name == "video":
            video, true = to_uint8(decoded[0]), item["video"].numpy()
            ratio = psnr(video, true)
            assert ratio is not None
            return {"psnr": ratio, "ssim": ssim(video, true)}
        [predicted] = snapped(decoded, self.batches.encoder.snapping, item["fps"])
        true_trajectory = Trajectory(item["labels"].numpy(), item["fps"])
        of_object, of_actor = object_iou(predicted, true_trajectory), actor_iou(predicted, true_trajectory)
        return {"miou": (of_object + of_actor) / 2, "object_iou": of_object, "actor_iou": of_actor}
