"""Training of stage 1 (mask trajectories) and stage 2 (videos) on cached latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mask2iv.conditions import ConditionEncoder, Conditions, MaskLayout, trajectory_conditions, video_conditions
from mask2iv.diffusion.losses import contact_weight, foreground_weight
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.masks import perturb_labels
from mask2iv.models.resampler import Resampler
from mask2iv.models.unet import VideoUNet
from mask2iv.recipes import StageRecipe
from mask2iv.stages.stage import Stage
from mask2iv.training.cache import EncodedClips, EncodedSource, encode_masks
from mask2iv.training.loop import Trainer, batch_indices

StageName = Literal["trajectory", "video"]


@dataclass(frozen=True)
class StageData:
    """What a stage is trained on: encoded clips and their captions and frame rate."""

    cache: EncodedSource
    captions: list[str]
    fps: torch.Tensor


class StageBatches:
    """Assembles a training step's latents, conditions and weights; conditions are dropped at random here.

    Args:
        name: which stage.
        recipe: its recipe.
        layout: of the mask conditions.
        encoder: frozen encoders; encode prompts, the "no image" case and perturbed masks.
        data: the training clips.
    """

    def __init__(
        self, name: StageName, recipe: StageRecipe, layout: MaskLayout, encoder: ConditionEncoder, data: StageData
    ) -> None:
        self.name, self.recipe, self.layout, self.encoder, self.data = name, recipe, layout, encoder, data
        self._texts = {text: encoder.text([text])[0] for text in sorted({"", *data.captions})}
        height, width = data.cache.size
        self._no_image = encoder.image_features(torch.zeros(1, 3, height, width, device=encoder.device))[0]

    def step(self, step: int, generator: torch.Generator) -> tuple[torch.Tensor, Conditions, torch.Tensor]:
        """(clean latents, conditions, loss weights) of a training step."""
        training = self.recipe.training
        rows = batch_indices(len(self.data.captions), training.batch_size, training.seed, step)
        device = self.encoder.device
        batch = self.data.cache.rows(rows).to(device)
        latents = batch.video if self.name == "video" else batch.masks
        image_latent = batch.video[:, :, 0].float()
        cells = (latents.shape[-2], latents.shape[-1])
        if self.name == "video":
            text = ["" for _ in rows]
            first = image_latent
            concat = video_conditions(image_latent, self._trajectory_latents(batch, rows, generator))
            weight = contact_weight(batch.labels, cells, self.recipe.loss_weight)
        else:
            dropped = self._chance(len(rows), self.recipe.drop_text, generator).tolist()
            text = ["" if drop else self.data.captions[row] for drop, row in zip(dropped, rows, strict=True)]
            first = self._mask_latent(batch, generator)
            concat = self._trajectory_concat(batch, first, image_latent, generator)
            weight = foreground_weight(batch.labels, cells, self.recipe.loss_weight)
        features = batch.image_features.float()
        blind = self._chance(len(rows), self.recipe.drop_image, generator)
        features = torch.where(blind.view(-1, 1, 1), self._no_image, features)
        tokens = torch.stack([self._texts[one] for one in text])
        fps = self.data.fps[rows].to(device)
        conditions = Conditions(concat, tokens, features, fps, first.unsqueeze(2))
        return latents.float(), conditions, weight

    def _mask_latent(self, batch: EncodedClips, generator: torch.Generator) -> torch.Tensor:
        """First-frame masks, some without the actor."""
        bare = self._chance(len(batch.masks), self.recipe.drop_actor, generator).view(-1, 1, 1, 1)
        return torch.where(bare, batch.first_object, batch.masks[:, :, 0]).float()

    def _trajectory_concat(
        self, batch: EncodedClips, mask_latent: torch.Tensor, image_latent: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        has_target = ~self._chance(len(image_latent), self.recipe.drop_target, generator)
        frames = batch.masks.shape[2]
        return trajectory_conditions(self.layout, mask_latent, batch.target.float(), has_target, image_latent, frames)

    def _trajectory_latents(self, batch: EncodedClips, rows: list[int], generator: torch.Generator) -> torch.Tensor:
        """Mask latents, those of perturbed clips encoded anew (few clips a step, so no variants are cached)."""
        labels = perturb_labels(batch.labels, self.recipe.perturb, self.recipe.perturb_kernels, generator)
        latents = batch.masks.float()
        for row in torch.nonzero((labels != batch.labels).flatten(1).any(dim=1)).flatten().tolist():
            latents[row] = encode_masks(self.encoder, labels[row : row + 1], self.data.cache.clip_ids[rows[row]])[0]
        return latents

    def _chance(self, count: int, probability: float, generator: torch.Generator) -> torch.Tensor:
        return (torch.rand(count, generator=generator) < probability).to(self.encoder.device)


def train_stage(
    name: StageName,
    recipe: StageRecipe,
    schedule: NoiseSchedule,
    batches: StageBatches,
    held_out: StageBatches,
    change_std: float | None,
    run_dir: Path,
    resume: str | None,
    identity: dict[str, Any],
    picture: Callable[[Stage, int], None] | None = None,
    initial: Stage | None = None,
) -> tuple[Stage, dict[str, float]]:
    """Train one stage. The figure is its loss on held-out clips, at fixed noise.

    Args:
        name: which stage.
        recipe: networks and optimisation.
        schedule: noise schedule.
        batches, held_out: training and validation clips.
        change_std: see :class:`Stage`.
        run_dir: receives checkpoints, log and pictures.
        resume: checkpoint to go on from, or "latest", or None.
        identity: see :class:`Trainer`.
        picture: draws a filmstrip of held-out clips with the stage at a step.
        initial: networks to start from; None starts from random ones.

    Raises:
        InputError: the networks to start from are not of the recipe's sizes.
    """
    torch.manual_seed(recipe.training.seed)
    stage = Stage(VideoUNet(recipe.unet), Resampler(recipe.resampler), change_std)
    if initial is not None:
        _start_from(stage, initial)
    stage.to(batches.encoder.device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        latents, conditions, weight = batches.step(step, generator)
        return {"loss": stage.loss(schedule, latents, conditions, weight, generator, recipe.timestep_shift)}

    def validate(step: int) -> dict[str, float]:
        losses = []
        for index in range(8):
            generator = torch.Generator().manual_seed(index)
            latents, conditions, weight = held_out.step(index, generator)
            value = stage.loss(schedule, latents, conditions, weight, generator, recipe.timestep_shift)
            losses.append(float(value))
        if picture is not None:
            picture(stage, step)
        return {"loss": sum(losses) / len(losses)}

    return stage, Trainer(stage, recipe.training, run_dir, loss, validate, identity).run(resume)


def _start_from(stage: Stage, initial: Stage) -> None:
    for name in ("unet", "resampler"):
        wanted, found = getattr(stage, name), getattr(initial, name)
        shapes = {key: tuple(value.shape) for key, value in found.state_dict().items()}
        for key, value in wanted.state_dict().items():
            if shapes.get(key) != tuple(value.shape):
                raise InputError(
                    f"--initial-weights: {name} {key} has shape {list(value.shape)} in the recipe, found "
                    f"{list(shapes.get(key, ()))}; use the recipe that these weights were trained with"
                )
        wanted.load_state_dict(found.state_dict())
