"""The components of a model folder and how each is trained: what it needs, what it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mask2iv.checkpoint import cannot_write
from mask2iv.conditions import ConditionEncoder
from mask2iv.data.vocabulary import words_of
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.files import remove_leftovers
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.recipes import Recipe, StageRecipe
from mask2iv.stages.components import INDEX, load_component, read_index, save_component, write_index
from mask2iv.stages.stage import Stage
from mask2iv.training.cache import LatentCache, build_cache, cache_key
from mask2iv.training.clips import ClipMemory
from mask2iv.training.encoders import train_encoders
from mask2iv.training.loop import Run, Trainer, Validation
from mask2iv.training.reference import train_reference
from mask2iv.training.stages import StageBatches, StageData, StageName, make_stage, train_stage
from mask2iv.training.trainable import merge_adapters, save_adapter
from mask2iv.training.vae import train_vae
from mask2iv.training.validation import MEASURES, StageValidation


@dataclass(frozen=True)
class TrainContext:
    """Everything a training run is given.

    Attributes:
        recipe: the resolved recipe.
        clips, held_out: training and validation clips.
        model_dir: the model folder.
        run: where the training happens.
        left_out: why each clip that is not trained on cannot be read, by its id.
        initial: model folder whose networks a stage starts from; None starts from random ones.
    """

    recipe: Recipe
    clips: ClipMemory
    held_out: ClipMemory
    model_dir: Path
    run: Run
    left_out: Mapping[str, str]
    initial: Path | None = None

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.run.accelerator.device

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
        """Write trained components and list them in the index; the main process does."""
        if self.run.accelerator.is_main_process:
            remove_leftovers(self.model_dir, prefix=INDEX.partition(".")[0])
            known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
            for name, component in components.items():
                remove_leftovers(self.model_dir, prefix=name)
                try:
                    save_component(self.model_dir, name, component)
                except (OSError, SafetensorError) as error:
                    raise cannot_write(str(self.model_dir / name), self.run.directory, error) from error
                known[name] = type(component).__name__
            write_index(self.model_dir, self.recipe.pipeline, known)
        self.run.accelerator.wait_for_everyone()

    def codec(self) -> LatentCodec:
        """The trained autoencoder; many frames a call: training needs speed, not independence of the batch."""
        vae = self.load("vae", "vae").requires_grad_(False)
        return LatentCodec(vae, self.recipe.pipeline.latent_patch, chunk=16)


def _vae(context: TrainContext) -> dict[str, float]:
    vae, figures = train_vae(context.recipe.vae, context.clips, context.held_out, context.run)
    context.save({"vae": vae})
    return figures


def _encoders(context: TrainContext) -> dict[str, float]:
    vocabulary = words_of(context.clips.captions + context.held_out.captions)
    tokenizer, text, image, figures = train_encoders(
        context.recipe.encoders, vocabulary, context.clips, context.held_out, context.run
    )
    context.save({"tokenizer": tokenizer, "text_encoder": text, "image_encoder": image})
    return figures


def _reference(context: TrainContext) -> dict[str, float]:
    decoder, figures = train_reference(
        context.recipe.reference, context.codec(), context.clips, context.held_out, context.run
    )
    context.save({"reference_decoder": decoder})
    return figures


def _stage(name: StageName) -> Callable[[TrainContext], dict[str, float]]:
    def train(context: TrainContext) -> dict[str, float]:
        recipe, pipeline = context.recipe, context.recipe.pipeline
        stage_recipe: StageRecipe = getattr(recipe, name)
        change_std = getattr(pipeline, f"{name}_change_std")
        stage = make_stage(stage_recipe, change_std, _initial(context, name))
        encoder = ConditionEncoder(
            context.codec(),
            context.load("tokenizer", "encoders"),
            context.load("text_encoder", "encoders").requires_grad_(False),
            context.load("image_encoder", "encoders").requires_grad_(False),
            pipeline.text_skip_last,
        )
        batches, held_out = (
            StageBatches(name, stage_recipe, pipeline.mask_layout, encoder, _stage_data(context, encoder, clips, part))
            for clips, part in ((context.clips, "train"), (context.held_out, "held_out"))
        )
        schedule = NoiseSchedule(recipe.schedule).to(context.device)
        scheduler = DDIMScheduler.from_schedule(recipe.schedule, eta=pipeline.eta)
        main = context.run.accelerator.is_main_process
        measured = StageValidation(
            held_out,
            context.held_out,
            schedule,
            scheduler,
            pipeline.num_inference_steps if name == "trajectory" else pipeline.video_num_inference_steps,
            stage_recipe.training.validation_clips,
            context.run.directory if main else None,
        )
        validation = Validation(partial(measured.figures, stage), MEASURES[name])
        trainer = train_stage(stage, schedule, batches, context.clips.clips.ids, context.run, validation)
        stage = _plain_stage(context, trainer, name, change_std)
        context.save({f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler, "scheduler": scheduler})
        return trainer.progress.figures

    return train


def _plain_stage(context: TrainContext, trainer: Trainer, name: StageName, change_std: float | None) -> Stage:
    """The trained networks as they are saved: in one piece, adapters merged (and kept beside the run)."""
    stage = trainer.module
    assert isinstance(stage, Stage)
    if context.run.accelerator.is_fsdp2:
        weights = trainer.full_state()
        if not context.run.accelerator.is_main_process:
            return stage
        stage = make_stage(getattr(context.recipe, name), change_std, _initial(context, name))
        stage.load_state_dict(weights)
    if context.run.accelerator.is_main_process and trainer.config.lora_rank:
        save_adapter(stage, context.run.directory / "adapter")
        merge_adapters(stage)
    return stage


def _initial(context: TrainContext, name: StageName) -> Stage | None:
    """The networks that training starts from."""
    if context.initial is None:
        return None
    _, components = read_index(context.initial)
    parts = [f"{name}_unet", f"{name}_resampler"]
    for part in parts:
        if part not in components:
            raise InputError(f"--initial-weights: {context.initial} holds no {part}; give a folder with this stage")
    unet, resampler = (load_component(context.initial, part, components[part], torch.float32) for part in parts)
    return Stage(unet, resampler)


def _stage_data(context: TrainContext, encoder: ConditionEncoder, clips: ClipMemory, part: str) -> StageData:
    codec = encoder.codec
    mixed = context.recipe.trajectory.training.mixed_precision == "bf16"
    settings = f"{clips.dataset.size} {clips.dataset.num_frames} {codec.scaling_factor} {codec.patch} {mixed}"
    key = cache_key(clips.clips, (codec, encoder.image_encoder), settings)
    path = context.model_dir / "training" / "cache" / f"{part}.safetensors"
    with context.run.accelerator.main_process_first():  # the others read what it has written
        cache: LatentCache = build_cache(encoder, clips.dataset, key, path, mixed)
    rate = clips.clips.fps * (clips.dataset.num_frames - 1) / max(clips.clips.num_frames - 1, 1)
    return StageData(cache, clips.captions, torch.full((len(clips),), rate))


TRAINERS: Mapping[str, Callable[[TrainContext], dict[str, float]]] = {
    "vae": _vae,
    "encoders": _encoders,
    "reference": _reference,
    "trajectory": _stage("trajectory"),
    "video": _stage("video"),
}
