"""The components of a model folder and how each is trained: what it needs, what it writes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mask2iv.conditions import ConditionEncoder
from mask2iv.data.vocabulary import words_of
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.text import unknown_words
from mask2iv.recipes import Recipe, StageRecipe
from mask2iv.stages.components import INDEX, load_component, read_index, save_component, write_index
from mask2iv.stages.stage import Stage
from mask2iv.training.cache import EncodedSource, FreshlyEncoded, build_cache, cache_key
from mask2iv.training.clips import ClipMemory
from mask2iv.training.encoders import train_encoders
from mask2iv.training.filmstrips import stage_pictures
from mask2iv.training.reference import train_reference
from mask2iv.training.stages import StageBatches, StageData, StageName, train_stage
from mask2iv.training.vae import train_vae

FROZEN = ("vae", "tokenizer", "text_encoder", "image_encoder", "reference_decoder")
"""Components that a stage needs and does not train."""

_AUTOCAST: Mapping[str, torch.dtype | None] = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


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
        if trained_by in self.recipe.components:
            raise InputError(
                f"--out {self.model_dir} holds no {name} yet; run `mask2iv train {trained_by}` into it first"
            )
        raise InputError(
            f"--recipe {self.recipe.name} trains no {name}; give the imported folder that has it as --initial-weights"
        )

    def adopt(self) -> None:
        """Take the frozen components that --out lacks from the folder that training starts from.

        Files are linked where the file system can, since components are replaced as folders and never written into.
        """
        if self.initial is None:
            return
        _, given = read_index(self.initial, "--initial-weights")
        known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
        names = [name for name in FROZEN if name in given and name not in known]
        for name in names:
            with atomic_directory(self.model_dir / name, overwrite=True) as folder:
                shutil.copytree(self.initial / name, folder, copy_function=_link, dirs_exist_ok=True)
        if names:
            self._write_index({**known, **{name: given[name] for name in names}})

    def save(self, components: Mapping[str, Any]) -> None:
        """Write trained components and list them in the index."""
        known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
        for name, component in components.items():
            save_component(self.model_dir, name, component)
            known[name] = type(component).__name__
        self._write_index(known)

    def _write_index(self, components: Mapping[str, str]) -> None:
        pipeline = self.recipe.pipeline
        if self.recipe.trajectory is None and (self.model_dir / INDEX).is_file():
            # Stage 1 was trained by another recipe; what its networks are given is not for this one to say.
            pipeline = replace(pipeline, mask_layout=read_index(self.model_dir)[0].mask_layout)
        write_index(self.model_dir, pipeline, components)

    def codec(self) -> LatentCodec:
        """The trained autoencoder; many frames a call: training needs speed, not independence of the batch."""
        vae = self.load("vae", "vae").requires_grad_(False)
        return LatentCodec(vae, self.recipe.pipeline.latent_patch, chunk=16)


def _vae(context: TrainContext) -> dict[str, float]:
    vae, figures = train_vae(
        context.recipe.of("vae"), context.clips, context.held_out, context.run_dir, context.resume, context.identity
    )
    context.save({"vae": vae})
    return figures


def _encoders(context: TrainContext) -> dict[str, float]:
    vocabulary = words_of(context.clips.captions + context.held_out.captions)
    tokenizer, text, image, figures = train_encoders(
        context.recipe.of("encoders"),
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
        context.recipe.of("reference"),
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
        context.adopt()
        stage_recipe = recipe.of(name)
        encoder = ConditionEncoder(
            context.codec(),
            context.load("tokenizer", "encoders"),
            context.load("text_encoder", "encoders").requires_grad_(False),
            context.load("image_encoder", "encoders").requires_grad_(False),
            pipeline.text_skip_last,
        )
        batches, held_out = (
            StageBatches(
                name, stage_recipe, pipeline.mask_layout, encoder, _stage_data(context, stage_recipe, encoder, clips)
            )
            for clips in (context.clips, context.held_out)
        )
        if name == "trajectory" and stage_recipe.drop_text < 1:
            _warn_of_unknown_words(encoder, context.clips.captions)
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
        )
        context.save({f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler, "scheduler": scheduler})
        return figures

    return train


def _warn_of_unknown_words(encoder: ConditionEncoder, captions: list[str]) -> None:
    """A closed vocabulary is that of the clips its encoders were trained on; other words all look the same to it."""
    words = {word: None for caption in captions for word in unknown_words(encoder.tokenizer, caption)}
    if words:
        print(
            f"mask2iv: warning: captions: words that mean nothing to the text encoder: {', '.join(words)}; they cannot "
            "steer what is trained (`mask2iv train encoders` makes encoders that know them)",
            file=sys.stderr,
        )


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


def _stage_data(context: TrainContext, recipe: StageRecipe, encoder: ConditionEncoder, clips: ClipMemory) -> StageData:
    rate = clips.clips.fps * (clips.dataset.num_frames - 1) / max(clips.clips.num_frames - 1, 1)
    return StageData(_encoded(context, recipe, encoder, clips), clips.captions, torch.full((len(clips),), rate))


def _encoded(context: TrainContext, recipe: StageRecipe, encoder: ConditionEncoder, clips: ClipMemory) -> EncodedSource:
    if not recipe.cache_latents:
        return FreshlyEncoded(encoder, clips)
    codec, precision = encoder.codec, recipe.training.mixed_precision
    settings = f"{clips.dataset.size} {clips.dataset.num_frames} {codec.scaling_factor} {codec.patch} {precision}"
    key = cache_key(clips.clips, (codec, encoder.image_encoder), settings)
    return build_cache(encoder, clips, key, context.model_dir / "training" / "cache", _AUTOCAST[precision])


TRAINERS: Mapping[str, Callable[[TrainContext], dict[str, float]]] = {
    "vae": _vae,
    "encoders": _encoders,
    "reference": _reference,
    "trajectory": _stage("trajectory"),
    "video": _stage("video"),
}
