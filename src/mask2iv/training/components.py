"""The components of a model folder and how each is trained: what it needs, what it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mask2iv.conditions import ConditionEncoder
from mask2iv.data.vocabulary import words_of
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.recipes import Recipe
from mask2iv.stages.components import INDEX, load_component, read_index, save_component, write_index
from mask2iv.stages.stage import Stage
from mask2iv.training.actor_masks import build_actor_masks
from mask2iv.training.cache import LatentCache, build_cache, cache_key
from mask2iv.training.clips import ClipMemory
from mask2iv.training.encoders import train_encoders
from mask2iv.training.filmstrips import stage_pictures
from mask2iv.training.reference import train_reference
from mask2iv.training.stages import StageBatches, StageData, StageName, train_stage
from mask2iv.training.vae import train_vae


@dataclass(frozen=True)
class TrainContext:
    """Everything a training run is given.

    Attributes:
        recipe: the resolved recipe.
        clips, held_out: training and validation clips.
        model_dir: the model folder.
        run_dir: the run's own folder, for checkpoints and log.
        resume: checkpoint folder, "latest" or None.
        identity: what a resumed checkpoint must agree on.
        device: where to train.
        initial: model folder whose networks a stage starts from; None starts from random ones.
        cache_dir: where latents are cached; None for a folder of the model folder. Models trained on the same clips
            with the same encoders may share it.
    """

    recipe: Recipe
    clips: ClipMemory
    held_out: ClipMemory
    model_dir: Path
    run_dir: Path
    resume: str | None
    identity: dict[str, Any]
    device: torch.device
    initial: Path | None = None
    cache_dir: Path | None = None

    def load(self, name: str, trained_by: str) -> Any:
        """A component that an earlier run wrote.

        Raises:
            InputError: it has not been trained yet.
        """
        if (self.model_dir / INDEX).is_file():
            _, components = read_index(self.model_dir)
            if name in components:
                component = load_component(self.model_dir, name, components[name], torch.float32)
                return component.to(self.device) if isinstance(component, torch.nn.Module) else component
        raise InputError(f"--out {self.model_dir} holds no {name} yet; run `mask2iv train {trained_by}` into it first")

    def save(self, components: Mapping[str, Any]) -> None:
        """Write trained components and list them in the index."""
        known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
        for name, component in components.items():
            save_component(self.model_dir, name, component)
            known[name] = type(component).__name__
        write_index(self.model_dir, self.recipe.pipeline, known)

    def codec(self) -> LatentCodec:
        """The trained autoencoder; many frames a call: training needs speed, not independence of the batch."""
        vae = self.load("vae", "vae").requires_grad_(False)
        return LatentCodec(vae, self.recipe.pipeline.latent_patch, chunk=16)


def _vae(context: TrainContext) -> dict[str, float]:
    vae, figures = train_vae(
        context.recipe.vae, context.clips, context.held_out, context.run_dir, context.resume, context.identity
    )
    context.save({"vae": vae})
    return figures


def _encoders(context: TrainContext) -> dict[str, float]:
    vocabulary = words_of(context.clips.captions + context.held_out.captions)
    tokenizer, text, image, figures = train_encoders(
        context.recipe.encoders,
        vocabulary,
        context.clips,
        context.held_out,
        context.run_dir,
        context.resume,
        context.identity,
    )
    context.save({"tokenizer": tokenizer, "text_encoder": text, "image_encoder": image})
    return figures


def _reference(context: TrainContext) -> dict[str, float]:
    decoder, figures = train_reference(
        context.recipe.reference,
        context.codec(),
        context.clips,
        context.held_out,
        context.run_dir,
        context.resume,
        context.identity,
    )
    context.save({"reference_decoder": decoder})
    return figures


def _stage(name: StageName) -> Callable[[TrainContext], dict[str, float]]:
    def train(context: TrainContext) -> dict[str, float]:
        recipe, pipeline = context.recipe, context.recipe.pipeline
        stage_recipe = getattr(recipe, name)
        encoder = ConditionEncoder(
            context.codec(),
            context.load("tokenizer", "encoders"),
            context.load("text_encoder", "encoders").requires_grad_(False),
            context.load("image_encoder", "encoders").requires_grad_(False),
            pipeline.text_skip_last,
        )
        batches, held_out = (
            StageBatches(
                name,
                stage_recipe,
                pipeline.mask_layout,
                encoder,
                _stage_data(context, name, encoder, clips, part),
                pipeline.video_conditioning,
            )
            for clips, part in ((context.clips, "train"), (context.held_out, "held_out"))
        )
        schedule = NoiseSchedule(recipe.schedule).to(context.device)
        scheduler = DDIMScheduler.from_schedule(recipe.schedule, eta=pipeline.eta)
        picture = stage_pictures(name, encoder.codec, scheduler, held_out, pipeline, context.run_dir)
        stage, figures = train_stage(
            name,
            stage_recipe,
            schedule,
            batches,
            held_out,
            getattr(pipeline, f"{name}_change_std"),
            context.run_dir,
            context.resume,
            context.identity,
            picture,
            _initial(context, name),
            pipeline.video_conditioning,
        )
        trained = {f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler, "scheduler": scheduler}
        if stage.controlnet is not None:
            trained[f"{name}_controlnet"] = stage.controlnet
        context.save(trained)
        return figures

    return train


def _initial(context: TrainContext, name: StageName) -> Stage | None:
    """The networks that training starts from."""
    if context.initial is None:
        return None
    _, components = read_index(context.initial)
    parts = [f"{name}_unet", f"{name}_resampler"]
    for part in parts:
        if part not in components:
            raise InputError(f"--initial-weights: {context.initial} holds no {part}; give a folder with this stage")
    optional = f"{name}_controlnet"
    parts += [optional] if optional in components else []
    unet, resampler, *rest = (load_component(context.initial, part, components[part], torch.float32) for part in parts)
    return Stage(unet, resampler, controlnet=rest[0] if rest else None)


def _stage_data(
    context: TrainContext, name: StageName, encoder: ConditionEncoder, clips: ClipMemory, part: str
) -> StageData:
    codec = encoder.codec
    mixed = context.recipe.trajectory.training.mixed_precision == "bf16"
    settings = f"{clips.dataset.size} {clips.dataset.num_frames} {codec.scaling_factor} {codec.patch} {mixed}"
    key = cache_key(clips.clips, (codec, encoder.image_encoder), settings)
    folder = context.cache_dir or context.model_dir / "training" / "cache"
    cache: LatentCache = build_cache(encoder, clips.dataset, key, folder / f"{part}.safetensors", mixed)
    actor_masks = None
    if name == "video" and context.recipe.pipeline.video_conditioning.needs_actor_masks:
        actor_masks = build_actor_masks(
            encoder,
            len(clips),
            lambda row: cache.labels[row : row + 1],
            key,
            folder / f"{part}_actor.safetensors",
            mixed,
        )
    rate = clips.clips.fps * (clips.dataset.num_frames - 1) / max(clips.clips.num_frames - 1, 1)
    return StageData(cache, clips.captions, torch.full((len(clips),), rate), actor_masks)


TRAINERS: Mapping[str, Callable[[TrainContext], dict[str, float]]] = {
    "vae": _vae,
    "encoders": _encoders,
    "reference": _reference,
    "trajectory": _stage("trajectory"),
    "video": _stage("video"),
}
