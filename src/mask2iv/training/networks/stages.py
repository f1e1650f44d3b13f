"""Training of stage 1 (mask trajectories) and stage 2 (videos) on cached latents."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch

from mask2iv.backbones.dynamicrafter.conditions import (
    ConditionEncoder,
    Conditions,
    trajectory_conditions,
    video_conditions,
)
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet, ControlNetConfig
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.diffusion.losses import Loss, contact_weight, foreground_weight, weighted_mse, weighted_squares
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.recipes import StageRecipe
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples
from mask2iv.training.engine.trainable import choose_trainable
from mask2iv.training.inputs.actor_masks import ACTOR_MASKS, encode_actor_masks
from mask2iv.training.inputs.cache import EncodedClips, EncodedSource, encode_masks
from mask2iv.training.inputs.shards import Shards
from mask2iv.trajectories.morphology import perturb_labels

StageName = Literal["trajectory", "video"]


@dataclass(frozen=True)
class StageData:
    """What a stage is trained on: encoded clips, and the caption and frame rate of each.

    `actor_masks` are the latents of the trajectories without the object, for a stage 2 that sees only those; if None,
    they are encoded in every step.
    """

    cache: EncodedSource
    captions: list[str]
    fps: torch.Tensor
    actor_masks: Shards | None = None


class StageBatches:
    """Assembles a training step's latents, conditions and weights; drops conditions at random.

    Args:
        name: which stage.
        recipe: its recipe.
        layout: of the mask conditions.
        encoder: frozen encoders, for prompts, the "no image" case and perturbed masks.
        data: the training clips.
        conditioning: what stage 2 is conditioned on.
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
        texts = sorted({"", *data.captions})
        self._number = {text: number for number, text in enumerate(texts)}
        self._tokens = torch.cat([encoder.text([text]) for text in texts])
        height, width = data.cache.size
        self._no_image = encoder.image_features(torch.zeros(1, 3, height, width, device=encoder.device))[0]

    def __len__(self) -> int:
        return len(self.data.captions)

    @property
    def criterion(self) -> Loss:
        """The loss that the weights of :meth:`assemble` are made for."""
        outside = self.name == "trajectory" and self.recipe.foreground_loss == "squared-error"
        return weighted_squares if outside else weighted_mse

    def undisturbed(self) -> StageBatches:
        """The same data with every condition given and no mask perturbed."""
        plain = copy.copy(self)
        plain.recipe = replace(self.recipe, drop_text=0.0, drop_target=0.0, drop_image=0.0, drop_actor=0.0, perturb=0.0)
        return plain

    def assemble(
        self, rows: Sequence[int], generators: Sequence[torch.Generator]
    ) -> tuple[torch.Tensor, Conditions, torch.Tensor]:
        """(clean latents, conditions, loss weights) of these rows; each sample draws from its own generator."""
        device = self.encoder.device
        batch = self.data.cache.rows(rows).to(device)
        latents = batch.video if self.name == "video" else batch.masks
        image_latent = batch.video[:, :, 0].float()
        cells = (latents.shape[-2], latents.shape[-1])
        if self.name == "video":
            text = self._prompts(rows, generators) if self.conditioning.text else ["" for _ in rows]
            first = image_latent
            masks = self._trajectory_latents(batch, rows, generators) if self.conditioning.takes_masks else None
            concat = video_conditions(self.conditioning, image_latent, masks, latents.shape[2])
            weight = contact_weight(batch.labels, cells, self.recipe.loss_weight, contact_map=self.recipe.contact_map)
        else:
            text = self._prompts(rows, generators)
            first = self._mask_latent(batch, generators)
            concat = self._trajectory_concat(batch, first, image_latent, generators)
            weight = foreground_weight(batch.labels, cells, self.recipe.loss_weight, self.recipe.foreground_loss)
        features = batch.image_features.float()
        no_image = self._chance(self.recipe.drop_image, generators).to(device)
        features = torch.where(no_image.view(-1, 1, 1), self._no_image, features)
        tokens = self._tokens[torch.tensor([self._number[one] for one in text], device=device)]
        fps = self.data.fps[list(rows)].to(device)
        conditions = Conditions(concat, tokens, features, fps, first.unsqueeze(2))
        return latents.float(), conditions, weight

    def _prompts(self, rows: Sequence[int], generators: Sequence[torch.Generator]) -> list[str]:
        """Captions, some left out."""
        dropped = self._chance(self.recipe.drop_text, generators).tolist()
        return ["" if drop else self.data.captions[row] for drop, row in zip(dropped, rows, strict=True)]

    def _mask_latent(self, batch: EncodedClips, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Latents of the first-frame masks, some without the actor."""
        bare = self._chance(self.recipe.drop_actor, generators).to(self.encoder.device).view(-1, 1, 1, 1)
        return torch.where(bare, batch.first_object, batch.masks[:, :, 0]).float()

    def _trajectory_concat(
        self,
        batch: EncodedClips,
        mask_latent: torch.Tensor,
        image_latent: torch.Tensor,
        generators: Sequence[torch.Generator],
    ) -> torch.Tensor:
        has_target = ~self._chance(self.recipe.drop_target, generators).to(self.encoder.device)
        frames = batch.masks.shape[2]
        return trajectory_conditions(self.layout, mask_latent, batch.target.float(), has_target, image_latent, frames)

    def _trajectory_latents(
        self, batch: EncodedClips, rows: Sequence[int], generators: Sequence[torch.Generator]
    ) -> torch.Tensor:
        """Mask latents; those of perturbed clips are encoded anew (few clips per step, so no variants are cached)."""
        seen = self.conditioning.shown(batch.labels)
        latents = (self._actor_masks(rows) if self.conditioning.needs_actor_masks else batch.masks).float()
        labels = perturb_labels(seen, self.recipe.perturb, self.recipe.perturb_kernels, generators)
        if labels is seen:
            return latents
        changed = (labels != seen).flatten(1).any(dim=1).nonzero().flatten().tolist()
        if changed:
            names = [self.data.cache.clip_ids[rows[index]] for index in changed]
            latents[changed] = encode_masks(self.encoder, labels[changed], names).to(latents.dtype)
        return latents

    def _actor_masks(self, rows: Sequence[int]) -> torch.Tensor:
        """Latents of the masks without the object, [B, C, T, h, w]."""
        cached, source = self.data.actor_masks, self.data.cache
        with torch.autocast(self.encoder.device.type, enabled=False):
            if cached is not None:
                return cached.rows(rows, self.encoder.device)[ACTOR_MASKS]
            return torch.cat([encode_actor_masks(self.encoder, source, row) for row in rows])

    def _chance(self, probability: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """bool [B] on the CPU, true with this probability."""
        return torch.cat([torch.rand(1, generator=generator) for generator in generators]) < probability


def make_stage(
    recipe: StageRecipe,
    change_std: float | None,
    initial: Stage | None,
    conditioning: VideoConditioning | None = None,
) -> Stage:
    """The networks at the start of training: given or random ones (recipe's seed); adapters added, layers frozen.

    Args:
        recipe: networks, and which part of them is trained.
        change_std: see :class:`Stage`.
        initial: networks to start from; None starts from random ones.
        conditioning: of stage 2; if it asks for a ControlNet, this is trained together with the UNet, and starts as a
            copy of it where `initial` has none.

    Raises:
        InputError: the networks to start from are not of the recipe's sizes, or there are none although only a part is
            trained.
    """
    training = recipe.training
    if initial is None:
        training.require_whole()
    torch.manual_seed(training.seed)
    stage = Stage(VideoUNet(recipe.unet), Resampler(recipe.resampler), change_std)
    if conditioning is not None and conditioning.control == "controlnet":
        stage.controlnet = ControlNet(control_config(recipe.unet))
    if initial is not None:
        _start_from(stage, initial)
    if stage.controlnet is not None and (initial is None or initial.controlnet is None):
        stage.controlnet.copy_from(stage.unet)
    stage.enable_gradient_checkpointing(training.gradient_checkpointing)
    choose_trainable(stage, training)
    return stage


def train_stage(
    stage: Stage,
    schedule: NoiseSchedule,
    batches: StageBatches,
    clip_ids: Sequence[str],
    run: Run,
    validation: Validation,
) -> Trainer:
    """Train one stage; afterwards it holds the trained weights (sharded ones in parts).

    Args:
        stage: of :func:`make_stage`.
        schedule: noise schedule.
        batches: training clips.
        clip_ids: clip id of each row of the batches.
        run: where the training happens.
        validation: on held-out clips.
    """
    recipe = batches.recipe

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        generators = samples.generators()
        latents, conditions, weight = batches.assemble(samples.rows, generators)
        shift = recipe.timestep_shift
        return {"loss": stage.loss(schedule, latents, conditions, weight, generators, shift, batches.criterion)}

    trainer = Trainer(stage, recipe.training, run, loss, clip_ids, validation, flops=True)
    trainer.run()
    return trainer


def control_config(unet: UNetConfig) -> ControlNetConfig:
    """Sizes of the ControlNet that belongs to a stage's UNet; its control input is mask latents."""
    return ControlNetConfig(**{f.name: getattr(unet, f.name) for f in fields(unet)}, control_channels=unet.out_channels)


def _start_from(stage: Stage, initial: Stage) -> None:
    both = stage.controlnet is not None and initial.controlnet is not None
    for name in ("unet", "resampler", *(["controlnet"] if both else [])):
        load_fitting(getattr(stage, name), getattr(initial, name).state_dict(), f"initial_weights: {name}")


def load_fitting(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], what: str) -> None:
    """Load weights of exactly the module's names and shapes; ``what`` names them in messages.

    Raises:
        InputError: names or shapes differ.
    """
    wanted = {key: list(value.shape) for key, value in module.state_dict().items()}
    found = {key: list(value.shape) for key, value in weights.items()}
    for key in {**wanted, **found}:
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"{what} {key}",
                f"has shape {wanted.get(key, [])} in the recipe, found {found.get(key, [])}",
                "use the recipe that these weights were trained with",
            )
    module.load_state_dict(weights)
