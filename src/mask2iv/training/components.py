"""The components of a model folder and how each is trained: what it needs, what it writes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mask2iv.checkpoint import cannot_write
from mask2iv.conditions import ConditionEncoder, VideoConditioning
from mask2iv.data.vocabulary import words_of
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, copy_linked, remove_leftovers, sha256_file
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.text import add_words, encode_text, unknown_words
from mask2iv.recipes import Recipe, ReferenceRecipe, StageRecipe
from mask2iv.stages.components import INDEX, load_component, read_index, save_component, write_index
from mask2iv.stages.pipeline import Mask2IVPipeline
from mask2iv.stages.stage import Stage
from mask2iv.training.actor_masks import build_actor_masks
from mask2iv.training.cache import FreshlyEncoded, build_cache, cache_key
from mask2iv.training.clips import ClipMemory
from mask2iv.training.encoders import train_encoders
from mask2iv.training.loop import Run, Trainer, Validation
from mask2iv.training.painter import train_painter
from mask2iv.training.planner import train_planner
from mask2iv.training.plans import PlanRows, build_plans, mirrored_caption
from mask2iv.training.pretrained import from_image_to_video
from mask2iv.training.reference import train_reference
from mask2iv.training.rendered import build_rendered, reconstruction, stage_two
from mask2iv.training.stages import StageBatches, StageData, StageName, make_stage, train_stage
from mask2iv.training.trainable import merge_adapters, save_adapter
from mask2iv.training.vae import train_vae
from mask2iv.training.validation import MEASURES, StageValidation

FROZEN = ("vae", "tokenizer", "text_encoder", "image_encoder", "reference_decoder")
"""Components that a stage needs and does not train."""
_VIDEO = ("video_unet", "video_resampler", "video_controlnet")
_ADOPTED: Mapping[str, tuple[str, ...]] = {
    "painter": FROZEN,
    "planner": (*FROZEN, "painter"),
    "reference": (*FROZEN[:-1], *_VIDEO, "scheduler"),
}
"""What a component's run takes from the folder that it starts from, beside its own network; see :meth:`adopt`."""

_AUTOCAST: Mapping[str, torch.dtype | None] = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        from_video: whether it starts from that folder's image-to-video network, whichever stage it is.
        cache_dir: where latents are cached; None for a folder of the model folder. Models trained on the same clips
            with the same encoders may share it.
        add_words: whether a text encoder with a closed vocabulary gets the words of the captions that it lacks.
    """

    recipe: Recipe
    clips: ClipMemory
    held_out: ClipMemory
    model_dir: Path
    run: Run
    left_out: Mapping[str, str]
    initial: Path | None = None
    from_video: bool = False
    cache_dir: Path | None = None
    add_words: bool = False

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
        if trained_by in self.recipe.components:
            raise InputError(
                f"--out {self.model_dir} holds no {name} yet; run `mask2iv train {trained_by}` into it first"
            )
        raise InputError(
            f"--recipe {self.recipe.name} trains no {name}; give the imported folder that has it as --initial-weights"
        )

    def adopt(self, frozen: Sequence[str] = FROZEN) -> None:
        """Take the frozen components that --out lacks from the folder that training starts from; the main process does.

        Files are linked where the file system can, since components are replaced as folders and never written into.
        """
        if self.initial is not None and self.run.accelerator.is_main_process:
            _, given = read_index(self.initial, "--initial-weights")
            known = read_index(self.model_dir)[1] if (self.model_dir / INDEX).is_file() else {}
            names = [name for name in frozen if name in given and name not in known]
            for name in names:
                with atomic_directory(self.model_dir / name, overwrite=True) as folder:
                    copy_linked(self.initial / name, folder)
            if names:
                self._write_index({**known, **{name: given[name] for name in names}})
        self.run.accelerator.wait_for_everyone()

    def start_of(self, name: str) -> Any:
        """The network of this name in the folder that training starts from; None where there is none, which is said."""
        if self.initial is None:
            return None
        components = read_index(self.initial)[1]
        if name not in components:
            if self.run.accelerator.is_main_process:
                print(f"mask2iv: {self.initial} holds no {name}: it starts from random weights", file=sys.stderr)
            return None
        return load_component(self.initial, name, components[name], torch.float32)

    def teach_words(self) -> None:
        """Deal with captions' words that the text encoder does not know: add them, or warn; the main process does."""
        if self.run.accelerator.is_main_process:
            tokenizer = self.load("tokenizer", "encoders")
            captions = self.clips.captions + self.held_out.captions
            words = sorted({word for caption in captions for word in words_of(unknown_words(tokenizer, caption))})
            if words and self.add_words:
                larger = add_words(tokenizer, self.load("text_encoder", "encoders"), words)
                # The encoder first: one that knows more words than its tokenizer is harmless, and is grown again.
                self.save({"text_encoder": larger})
                self.save({"tokenizer": tokenizer})
            elif words:
                print(
                    "mask2iv: warning: captions: words that mean nothing to the text encoder: "
                    f"{', '.join(words)}; they cannot steer what is trained (--add-words gives it these words)",
                    file=sys.stderr,
                )
        self.run.accelerator.wait_for_everyone()

    def vouch_for(self, frozen: Sequence[str]) -> None:
        """Make the frozen components part of what the run is: it is not resumed with others."""
        digest = hashlib.sha256()
        for name in frozen:
            for path in sorted((self.model_dir / name).iterdir()):
                digest.update(f"{name}/{path.name} {sha256_file(path)}\n".encode())
        self.run.identity["frozen"] = digest.hexdigest()

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
            self._write_index(known)
        self.run.accelerator.wait_for_everyone()

    def _write_index(self, components: Mapping[str, str]) -> None:
        pipeline = self.recipe.pipeline
        if self.recipe.trajectory is None and (self.model_dir / INDEX).is_file():
            # Stage 1 was trained by another recipe; what its networks are given is not for this one to say.
            pipeline = replace(pipeline, mask_layout=read_index(self.model_dir)[0].mask_layout)
        write_index(self.model_dir, pipeline, components)

    def codec(self) -> LatentCodec:
        """The trained autoencoder; many frames a call: training needs speed, not independence of the batch."""
        vae = self.load("vae", "vae").requires_grad_(False)
        # A processor's caches hold no more; a GPU is kept busy by no less.
        return LatentCodec(vae, self.recipe.pipeline.latent_patch, chunk=16 if self.device.type == "cpu" else 256)


def _vae(context: TrainContext) -> dict[str, float]:
    vae, figures = train_vae(context.recipe.of("vae"), context.clips, context.held_out, context.run)
    context.save({"vae": vae})
    return figures


def _encoders(context: TrainContext) -> dict[str, float]:
    vocabulary = words_of(context.clips.captions + context.held_out.captions)
    tokenizer, text, image, figures = train_encoders(
        context.recipe.of("encoders"), vocabulary, context.clips, context.held_out, context.run
    )
    context.save({"tokenizer": tokenizer, "text_encoder": text, "image_encoder": image})
    return figures


def _plan_rows(context: TrainContext) -> tuple[PlanRows, list[str], PlanRows, torch.Tensor]:
    """Rows to train on with the clip of each, held-out rows, and the tokens of the empty prompt."""
    tokenizer, text_encoder = context.load("tokenizer", "encoders"), context.load("text_encoder", "encoders")

    def tokens(captions: Sequence[str]) -> torch.Tensor:
        each = {
            caption: encode_text(tokenizer, text_encoder, [caption], context.recipe.pipeline.text_skip_last)
            for caption in dict.fromkeys(captions)
        }
        return torch.cat([each[caption] for caption in captions]).detach()

    found = []
    for clips in (context.clips, context.held_out):
        key = cache_key(clips.clips, (), f"plans 2 {clips.dataset.size} {clips.dataset.num_frames}")
        shards = build_plans(clips, key, context.cache_dir or context.model_dir / "training" / "cache")
        captions = [text for caption in clips.captions for text in (caption, mirrored_caption(caption))]
        found.append(PlanRows(shards, tokens(captions), context.device))
    names = [name for name in context.clips.clips.ids for _ in range(2)]
    return found[0], names, found[1], tokens([""])


def _painter(context: TrainContext) -> dict[str, float]:
    context.adopt(_ADOPTED["painter"])
    context.teach_words()
    context.vouch_for(("tokenizer", "text_encoder"))
    start = context.start_of("painter")
    painter, figures = train_painter(context.recipe.of("painter"), *_plan_rows(context), context.run, start)
    context.save({"painter": painter})
    return figures


def _planner(context: TrainContext) -> dict[str, float]:
    context.adopt(_ADOPTED["planner"])
    context.teach_words()
    context.vouch_for(("tokenizer", "text_encoder", "painter"))
    painter, start = context.load("painter", "painter").requires_grad_(False), context.start_of("planner")
    planner, figures = train_planner(context.recipe.of("planner"), painter, *_plan_rows(context), context.run, start)
    context.save({"planner": planner})
    return figures


def _reference(context: TrainContext) -> dict[str, float]:
    context.adopt(_ADOPTED["reference"])
    recipe: ReferenceRecipe = context.recipe.of("reference")
    present = read_index(context.model_dir)[1] if (context.model_dir / INDEX).is_file() else {}
    networks = [name for name in _VIDEO if name in present]
    context.vouch_for(("vae", *networks))
    if networks:
        precision = _AUTOCAST[recipe.training.mixed_precision] or torch.float32
        pipeline = Mask2IVPipeline.from_pretrained(context.model_dir, precision).to(context.device)
        render = stage_two(pipeline)
    else:
        render = reconstruction(context.codec(), recipe.latent_noise)
    pictures = []
    for clips in (context.clips, context.held_out):
        settings = f"rendered {context.run.identity['frozen']} {recipe.latent_noise} {clips.dataset.size}"
        key = cache_key(clips.clips, (), settings)
        root = context.cache_dir or context.model_dir / "training" / "cache"
        pictures.append(build_rendered(render, clips, key, root))
    start = context.start_of("reference_decoder")
    decoder, figures = train_reference(
        recipe, context.clips, pictures[0], context.held_out, pictures[1], context.run, start
    )
    context.save({"reference_decoder": decoder})
    return figures


def _stage(name: StageName) -> Callable[[TrainContext], dict[str, float]]:
    def train(context: TrainContext) -> dict[str, float]:
        recipe, pipeline = context.recipe, context.recipe.pipeline
        context.adopt()
        stage_recipe: StageRecipe = recipe.of(name)
        change_std = getattr(pipeline, f"{name}_change_std")
        if recipe.reads_captions(name):
            context.teach_words()
        stage = make_stage(stage_recipe, change_std, _initial(context, name), _conditioning(context, name))
        encoder = ConditionEncoder(
            context.codec(),
            context.load("tokenizer", "encoders"),
            context.load("text_encoder", "encoders").requires_grad_(False),
            context.load("image_encoder", "encoders").requires_grad_(False),
            pipeline.text_skip_last,
        )
        context.vouch_for(("vae", "tokenizer", "text_encoder", "image_encoder"))
        batches, held_out = (
            StageBatches(
                name,
                stage_recipe,
                pipeline.mask_layout,
                encoder,
                _stage_data(context, name, encoder, clips),
                pipeline.video_conditioning,
            )
            for clips in (context.clips, context.held_out)
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
        trained = {f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler, "scheduler": scheduler}
        if stage.controlnet is not None:
            trained[f"{name}_controlnet"] = stage.controlnet
        context.save(trained)
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
        stage = make_stage(context.recipe.of(name), change_std, _initial(context, name), _conditioning(context, name))
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
    source = "video" if context.from_video else name
    parts = [f"{source}_unet", f"{source}_resampler"]
    flag = "--image-to-video" if context.from_video else "--initial-weights"
    for part in parts:
        if part not in components:
            raise InputError(f"{flag}: {context.initial} holds no {part}; give a folder with this stage")
    optional = f"{source}_controlnet"
    parts += [optional] if optional in components else []
    unet, resampler, *rest = (load_component(context.initial, part, components[part], torch.float32) for part in parts)
    if context.from_video:
        return from_image_to_video(name, context.recipe.of(name), unet, resampler)
    return Stage(unet, resampler, controlnet=rest[0] if rest else None)


def _conditioning(context: TrainContext, name: StageName) -> VideoConditioning | None:
    """What stage 2 is told; None for stage 1."""
    return context.recipe.pipeline.video_conditioning if name == "video" else None


def _stage_data(context: TrainContext, name: StageName, encoder: ConditionEncoder, clips: ClipMemory) -> StageData:
    """The encoded clips, from caches that are made now as far as they are not there."""
    recipe = context.recipe.of(name)
    rate = clips.clips.fps * (clips.dataset.num_frames - 1) / max(clips.clips.num_frames - 1, 1)
    if not recipe.cache_latents:
        return StageData(FreshlyEncoded(encoder, clips), clips.captions, torch.full((len(clips),), rate))
    codec, precision = encoder.codec, recipe.training.mixed_precision
    settings = f"{clips.dataset.size} {clips.dataset.num_frames} {codec.scaling_factor} {codec.patch} {precision}"
    key = cache_key(clips.clips, (codec, encoder.image_encoder), settings)
    root = context.cache_dir or context.model_dir / "training" / "cache"
    source, actor_masks = build_cache(encoder, clips, key, root, _AUTOCAST[precision]), None
    if name == "video" and context.recipe.pipeline.video_conditioning.needs_actor_masks:
        actor_masks = build_actor_masks(encoder, source, key, root, _AUTOCAST[precision])
    return StageData(source, clips.captions, torch.full((len(clips),), rate), actor_masks)


TRAINERS: Mapping[str, Callable[[TrainContext], dict[str, float]]] = {
    "vae": _vae,
    "encoders": _encoders,
    "painter": _painter,
    "planner": _planner,
    "reference": _reference,
    "trajectory": _stage("trajectory"),
    "video": _stage("video"),
}
