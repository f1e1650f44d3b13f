"""Training of stage 1 (mask trajectories) and stage 2 (videos) on cached latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from mask2iv.conditions import (
    ConditionEncoder,
    Conditions,
    MaskLayout,
    VideoConditioning,
    trajectory_conditions,
    video_conditions,
)
from mask2iv.diffusion.losses import contact_weight, foreground_weight
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.masks import labels_to_tensor, perturb_labels
from mask2iv.models.config import UNetConfig
from mask2iv.models.controlnet import ControlNet, ControlNetConfig
from mask2iv.models.resampler import Resampler
from mask2iv.models.unet import VideoUNet
from mask2iv.recipes import StageRecipe
from mask2iv.stages.stage import Stage
from mask2iv.training.cache import LatentCache
from mask2iv.training.loop import Trainer, batch_indices

StageName = Literal["trajectory", "video"]


@dataclass(frozen=True)
class StageData:
    """What a stage is trained on: cached latents and the clips' captions and frame rate.

    `actor_masks`, [N, C, T, h, w] in half precision, are the latents of the trajectories without the object, for a
    stage 2 that sees no others.
    """

    cache: LatentCache
    captions: list[str]
    fps: torch.Tensor
    actor_masks: torch.Tensor | None = None


class StageBatches:
    """Assembles a training step's latents, conditions and weights; conditions are dropped at random here.

    Args:
        name: which stage.
        recipe: its recipe.
        layout: of the mask conditions.
        encoder: frozen encoders; encode prompts, the "no image" case and perturbed masks.
        data: the training clips.
        conditioning: what stage 2 is told.

    Raises:
        InputError: stage 2 sees the actors' masks only, and the data lack them.
    """

    def __init__(
        self,
        name: StageName,
        recipe: StageRecipe,
        layout: MaskLayout,
        encoder: ConditionEncoder,
        data: StageData,
        conditioning: VideoConditioning | None = None,
    ) -> None:
        self.name, self.recipe, self.layout, self.encoder, self.data = name, recipe, layout, encoder, data
        self.conditioning = conditioning or VideoConditioning()
        if name == "video" and self.conditioning.needs_actor_masks and data.actor_masks is None:
            raise InputError("stage 2 sees the actors' masks only, but their latents are not given")
        self._texts = {text: encoder.text([text])[0] for text in sorted({"", *data.captions})}
        height, width = data.cache.labels.shape[-2:]
        self._no_image = encoder.image_features(torch.zeros(1, 3, height, width, device=encoder.device))[0]

    def step(self, step: int, generator: torch.Generator) -> tuple[torch.Tensor, Conditions, torch.Tensor]:
        """(clean latents, conditions, loss weights) of a training step."""
        training = self.recipe.training
        rows = batch_indices(len(self.data.captions), training.batch_size, training.seed, step)
        cache = self.data.cache
        device = self.encoder.device
        batch = LatentCache(**{name: getattr(cache, name)[rows].to(device) for name in cache.__dataclass_fields__})
        latents = batch.video if self.name == "video" else batch.masks
        image_latent = batch.video[:, :, 0].float()
        cells = (latents.shape[-2], latents.shape[-1])
        if self.name == "video":
            text = self._prompts(rows, generator) if self.conditioning.text else ["" for _ in rows]
            first = image_latent
            masks = self._trajectory_latents(batch, rows, generator) if self.conditioning.takes_masks else None
            concat = video_conditions(self.conditioning, image_latent, masks, latents.shape[2])
            weight = contact_weight(batch.labels, cells, self.recipe.loss_weight)
        else:
            text = self._prompts(rows, generator)
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

    def _prompts(self, rows: list[int], generator: torch.Generator) -> list[str]:
        """Captions, some left out."""
        dropped = self._chance(len(rows), self.recipe.drop_text, generator).tolist()
        return ["" if drop else self.data.captions[row] for drop, row in zip(dropped, rows, strict=True)]

    def _mask_latent(self, batch: LatentCache, generator: torch.Generator) -> torch.Tensor:
        """First-frame masks, some without the actor."""
        bare = self._chance(len(batch.masks), self.recipe.drop_actor, generator).view(-1, 1, 1, 1)
        return torch.where(bare, batch.first_object, batch.masks[:, :, 0]).float()

    def _trajectory_concat(
        self, batch: LatentCache, mask_latent: torch.Tensor, image_latent: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        has_target = ~self._chance(len(image_latent), self.recipe.drop_target, generator)
        frames = batch.masks.shape[2]
        return trajectory_conditions(self.layout, mask_latent, batch.target.float(), has_target, image_latent, frames)

    def _trajectory_latents(self, batch: LatentCache, rows: list[int], generator: torch.Generator) -> torch.Tensor:
        """Mask latents, those of perturbed clips encoded anew (few clips a step, so no variants are cached)."""
        seen = self.conditioning.shown(batch.labels)
        labels = perturb_labels(seen, self.recipe.perturb, self.recipe.perturb_kernels, generator)
        if self.conditioning.needs_actor_masks:
            assert self.data.actor_masks is not None
            latents = self.data.actor_masks[rows].to(self.encoder.device).float()
        else:
            latents = batch.masks.float()
        for row in torch.nonzero((labels != seen).flatten(1).any(dim=1)).flatten().tolist():
            latents[row] = self.encoder.latents(labels_to_tensor(labels[row : row + 1]))[0]
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
    conditioning: VideoConditioning | None = None,
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
        conditioning: what stage 2 is told; a ControlNet, where it asks for one, is trained together with the UNet.

    Raises:
        InputError: the networks to start from are not of the recipe's sizes.
    """
    torch.manual_seed(recipe.training.seed)
    stage = Stage(VideoUNet(recipe.unet), Resampler(recipe.resampler), change_std)
    if name == "video" and conditioning is not None and conditioning.control == "controlnet":
        stage.controlnet = ControlNet(control_config(recipe.unet))
    if initial is not None:
        _start_from(stage, initial)
    if stage.controlnet is not None and (initial is None or initial.controlnet is None):
        stage.controlnet.copy_from(stage.unet)
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


def control_config(unet: UNetConfig) -> ControlNetConfig:
    """Of the ControlNet that belongs to a stage's UNet: its control are mask latents."""
    return ControlNetConfig(**{f.name: getattr(unet, f.name) for f in fields(unet)}, control_channels=unet.out_channels)


def _start_from(stage: Stage, initial: Stage) -> None:
    both = stage.controlnet is not None and initial.controlnet is not None
    for name in ("unet", "resampler", *(["controlnet"] if both else [])):
        wanted, found = getattr(stage, name), getattr(initial, name)
        shapes = {key: tuple(value.shape) for key, value in found.state_dict().items()}
        for key, value in wanted.state_dict().items():
            if shapes.get(key) != tuple(value.shape):
                raise InputError(
                    f"--initial-weights: {name} {key} has shape {list(value.shape)} in the recipe, found "
                    f"{list(shapes.get(key, ()))}; use the recipe that these weights were trained with"
                )
        wanted.load_state_dict(found.state_dict())
