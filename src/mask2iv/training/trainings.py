"""How each component of a model folder is trained: its inputs and the files it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from mask2iv import config
from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.data.vocabulary import words_of
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.models.text import encode_text
from mask2iv.pipelines.components import load_component
from mask2iv.pipelines.folder import INDEX, read_index
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.recipes import PainterRecipe, PlannerRecipe, ReferenceRecipe, StageRecipe
from mask2iv.stages.conditioning import VideoConditioning
from mask2iv.training.context import TrainContext
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.trainable import merge_adapters, save_adapter
from mask2iv.training.inputs.actor_masks import build_actor_masks
from mask2iv.training.inputs.cache import FreshlyEncoded, build_cache, cache_key
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.frame_rates import frame_rates
from mask2iv.training.inputs.mirror import mirrored_caption
from mask2iv.training.inputs.plans import PlanRows, build_plans
from mask2iv.training.inputs.rendered import build_rendered, reconstruction, stage_two
from mask2iv.training.inputs.windows import RenderedClips
from mask2iv.training.networks.encoders import train_encoders
from mask2iv.training.networks.painter import train_painter
from mask2iv.training.networks.planner import train_planner
from mask2iv.training.networks.pretrained import from_image_to_video
from mask2iv.training.networks.reference_decoder import train_reference
from mask2iv.training.networks.stages import StageBatches, StageData, StageName, make_stage, train_stage
from mask2iv.training.networks.vae import train_vae
from mask2iv.training.networks.validation import MEASURES, StageValidation
from mask2iv.training.start import (
    FROZEN,
    VIDEO_NETWORKS,
    painter_sizes,
    planner_sizes,
    reference_sizes,
    stage_parts,
)

_AUTOCAST: Mapping[str, torch.dtype | None] = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def _vae(context: TrainContext) -> dict[str, float]:
    vae, figures = train_vae(context.recipe.of("vae"), context.clips, context.held_out, context.run)
    context.save({"vae": vae})
    return figures


def _encoders(context: TrainContext) -> dict[str, float]:
    vocabulary = words_of(context.captions(mirrored=True))
    tokenizer, text, image, figures = train_encoders(
        context.recipe.of("encoders"), vocabulary, context.clips, context.held_out, context.run
    )
    context.save({"tokenizer": tokenizer, "text_encoder": text, "image_encoder": image})
    return figures


def _plan_rows(context: TrainContext) -> tuple[PlanRows, list[str], PlanRows, torch.Tensor]:
    """Rows to train on with the clip of each, held-out rows, and the tokens of the empty prompt."""
    tokenizer, text_encoder = context.load("tokenizer", "encoders"), context.load("text_encoder", "encoders")

    def tokens(captions: Sequence[str]) -> torch.Tensor:
        with torch.no_grad():
            each = {
                caption: encode_text(tokenizer, text_encoder, [caption], context.recipe.pipeline.text_skip_last)
                for caption in dict.fromkeys(captions)
            }
        return torch.cat([each[caption] for caption in captions])

    found = []
    for clips in (context.clips, context.held_out):
        key = cache_key(clips.clips, (), f"plans 2 {clips.dataset.size} {clips.dataset.num_frames}")
        shards = build_plans(clips, key, context.cache_root)
        captions = [text for caption in clips.captions for text in (caption, mirrored_caption(caption))]
        found.append(PlanRows(shards, tokens(captions), context.device))
    names = [name for name in context.clips.clips.ids for _ in range(2)]
    return found[0], names, found[1], tokens([""])


def _painter(context: TrainContext) -> dict[str, float]:
    context.adopt("painter")
    context.teach_words(mirrored=True)
    context.vouch_for(("tokenizer", "text_encoder"))
    recipe: PainterRecipe = context.recipe.of("painter")
    rows = _plan_rows(context)
    sizes = painter_sizes(context.recipe, rows[0].text.shape[-1])
    painter, figures = train_painter(recipe, *rows, context.run, context.start_of("painter", sizes))
    context.save({"painter": painter})
    return figures


def _planner(context: TrainContext) -> dict[str, float]:
    context.adopt("planner")
    context.teach_words(mirrored=True)
    context.vouch_for(("tokenizer", "text_encoder", "painter"))
    recipe: PlannerRecipe = context.recipe.of("planner")
    painter, rows = context.load("painter", "painter").requires_grad_(False), _plan_rows(context)
    start = context.start_of("planner", planner_sizes(context.recipe, painter.code, rows[0].text.shape[-1]))
    planner, figures = train_planner(recipe, painter, *rows, context.run, start)
    context.save({"planner": planner})
    return figures


def _reference(context: TrainContext) -> dict[str, float]:
    context.adopt("reference")
    recipe: ReferenceRecipe = context.recipe.of("reference")
    start = context.start_of("reference_decoder", reference_sizes(context.recipe))
    present = read_index(context.model_dir)[1] if (context.model_dir / INDEX).is_file() else {}
    precision = recipe.training.mixed_precision
    if "video_unet" in present:
        # Everything that stage 2's pictures depend on.
        context.vouch_for([name for name in (*FROZEN[:-1], "scheduler", *VIDEO_NETWORKS) if name in present])
        pipeline = Mask2IVPipeline.from_pretrained(context.model_dir, _AUTOCAST[precision] or torch.float32)
        render, conditioning = stage_two(pipeline.to(context.device)), pipeline.config.video_conditioning
        made_by = f"{config.to_dict(pipeline.config)} {precision}"
    else:
        context.vouch_for(("vae",))
        render, conditioning = reconstruction(context.codec(), recipe.latent_noise), VideoConditioning()
        made_by = f"reconstruction {recipe.latent_noise}"
    parts = []
    for clips in (context.clips, context.held_out):
        shape = f"{clips.dataset.size} {clips.dataset.num_frames}"
        key = cache_key(clips.clips, (), f"rendered 2 {context.run.identity['frozen']} {made_by} {shape}")
        rendered = build_rendered(render, conditioning, clips, key, context.cache_root)
        parts.append(RenderedClips(clips, rendered, conditioning))
    decoder, figures = train_reference(recipe, parts[0], parts[1], context.run, start)
    context.save({"reference_decoder": decoder})
    return figures


def _stage(name: StageName) -> Callable[[TrainContext], dict[str, float]]:
    def train(context: TrainContext) -> dict[str, float]:
        recipe, pipeline = context.recipe, context.recipe.pipeline
        context.adopt(name)
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
            pipeline.snapping,
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
    """The trained networks as saved: unsharded, with adapters merged (and also kept beside the run)."""
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
    parts = stage_parts(context.initial, components, source, context.from_video)
    unet, resampler, *rest = (load_component(context.initial, part, components[part], torch.float32) for part in parts)
    if context.from_video:
        return from_image_to_video(context.recipe.of(name), unet, resampler)
    return Stage(unet, resampler, controlnet=rest[0] if rest else None)


def _conditioning(context: TrainContext, name: StageName) -> VideoConditioning | None:
    """What stage 2 is conditioned on; None for stage 1."""
    return context.recipe.pipeline.video_conditioning if name == "video" else None


def _stage_data(context: TrainContext, name: StageName, encoder: ConditionEncoder, clips: ClipMemory) -> StageData:
    """The encoded clips, cached where the recipe says so; missing parts of the cache are built now."""
    recipe = context.recipe.of(name)
    rates = torch.tensor(frame_rates(clips, recipe.frame_rate, context.recipe.pipeline.fps))
    if not recipe.cache_latents:
        return StageData(FreshlyEncoded(encoder, clips), clips.captions, rates)
    codec, precision = encoder.codec, recipe.training.mixed_precision
    settings = f"{clips.dataset.size} {clips.dataset.num_frames} {codec.scaling_factor} {codec.patch} {precision}"
    # Caches of earlier versions were painted for the nearest colour.
    settings += "" if encoder.snapping == "nearest" else f" {encoder.snapping}"
    key = cache_key(clips.clips, (codec, encoder.image_encoder), settings)
    root = context.cache_root
    source, actor_masks = build_cache(encoder, clips, key, root, _AUTOCAST[precision]), None
    if name == "video" and context.recipe.pipeline.video_conditioning.needs_actor_masks:
        actor_masks = build_actor_masks(encoder, source, key, root, _AUTOCAST[precision])
    return StageData(source, clips.captions, rates, actor_masks)


TRAINERS: Mapping[str, Callable[[TrainContext], dict[str, float]]] = {
    "vae": _vae,
    "encoders": _encoders,
    "painter": _painter,
    "planner": _planner,
    "reference": _reference,
    "trajectory": _stage("trajectory"),
    "video": _stage("video"),
}
