"""The model that ships with the package, and smaller ones derived from it."""

from __future__ import annotations

from dataclasses import replace

from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig, trajectory_channels
from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.recipes.training import TrainingConfig
from mask2iv.recipes.types import (
    AutoencoderRecipe,
    EncodersRecipe,
    PainterRecipe,
    PlannerRecipe,
    Recipe,
    ReferenceRecipe,
    StageRecipe,
)
from mask2iv.stages.conditioning import MaskLayout
from mask2iv.stages.config import PipelineConfig

LATENT_PATCH = 2
"""Latent cells of 16 x 16 pixels: on a grid 2 x 2 times coarser, a small UNet can afford more width."""

_LAYOUT: MaskLayout = "joint"
_TRAINING = TrainingConfig(
    gradient_clip=1.0, adam_beta2=0.99, mixed_precision="bf16", checkpoint_every=500, validate_every=1000
)


def _steps(base: TrainingConfig, steps: int, decay: int) -> TrainingConfig:
    return replace(base, max_steps=steps, decay_steps=decay)


def _with_sizes(recipe: Recipe, unet: UNetConfig, resampler: ResamplerConfig) -> Recipe:
    """The recipe with these networks in both stages; sizes that must agree with other components are filled in."""
    vae, encoders = recipe.of("vae"), recipe.of("encoders")
    channels = vae.latent_channels * LATENT_PATCH**2
    shared = replace(unet, out_channels=channels, text_tokens=encoders.text_tokens, context_dim=encoders.text_width)
    resampler = replace(resampler, embedding_dim=encoders.image_width, output_dim=encoders.text_width)
    trajectory = replace(shared, in_channels=trajectory_channels(_LAYOUT, channels))
    video = replace(shared, in_channels=3 * channels)
    return replace(
        recipe,
        trajectory=replace(recipe.of("trajectory"), unet=trajectory, resampler=resampler),
        video=replace(recipe.of("video"), unet=video, resampler=resampler),
    )


def _embedded_unet() -> UNetConfig:
    return UNetConfig(
        model_channels=64,
        channel_mult=(1, 2),
        num_res_blocks=2,
        attention_resolutions=(2, 1),
        num_head_channels=16,
        image_tokens_per_frame=4,
        default_fps=8,
        dropout=0.0,
        temporal_conv_dropout=0.0,
    )


def _embedded_pipeline() -> PipelineConfig:
    return PipelineConfig(
        mask_layout=_LAYOUT,
        latent_patch=LATENT_PATCH,
        trajectory_change_std=0.47,
        video_change_std=0.77,
        # Chosen from the curve in docs/performance.md. A network trained so little predicts the mean of what may
        # happen, and further steps move away from it: a video's second step already costs 0.5 dB.
        num_inference_steps=4,
        video_num_inference_steps=1,
        guidance_scale=2.0,
        target_guidance_scale=2.0,
    )


def embedded() -> Recipe:
    """The model that ships with the package: 16 frames at 160x256, sized for minutes on one data-centre GPU."""
    encoders = TrainingConfig(
        batch_size=64,
        learning_rate=1e-3,
        adam_beta2=0.99,
        warmup_steps=30,
        weight_decay=0.1,
        gradient_clip=1.0,
        ema_decay=0.99,
        checkpoint_every=250,
        validate_every=500,
    )
    vae = replace(_TRAINING, batch_size=32, learning_rate=6e-4, warmup_steps=100, ema_decay=0.995)
    reference = replace(vae, batch_size=16, learning_rate=4e-4, ema_decay=0.998)
    painter = replace(vae, batch_size=8, learning_rate=8e-4, ema_decay=0.998)
    planner = replace(painter, batch_size=64, learning_rate=5e-4, weight_decay=0.05, ema_decay=0.999)
    stage = replace(_TRAINING, batch_size=16, learning_rate=6e-4, warmup_steps=50, checkpoint_every=250)
    stage = _steps(stage, 40000, 8000)
    recipe = Recipe(
        name="embedded",
        pipeline=_embedded_pipeline(),
        # Unlike the paper's network this one predicts the clean latents, as a change to the first frame: at 16 x 16
        # pixels a cell, a network this narrow cannot pass the noise of all channels through, which v-prediction asks of
        # it (its loss did not fall in 200 steps).
        # No dynamic rescale: with few sampling steps it leaves the latents faded.
        schedule=NoiseScheduleConfig(prediction_type="sample", base_scale=None),
        vae=AutoencoderRecipe(training=_steps(vae, 20000, 6000)),
        encoders=EncodersRecipe(training=_steps(encoders, 1500, 500)),
        painter=PainterRecipe(training=_steps(painter, 12000, 4000)),
        planner=PlannerRecipe(training=_steps(planner, 20000, 6000)),
        reference=ReferenceRecipe(training=_steps(reference, 30000, 8000), adversarial_from=20000),
        trajectory=StageRecipe(
            drop_text=0.3,
            drop_target=0.5,
            drop_actor=0.3,
            # Where the actor's place is uncertain, a weight on it favours painting it in every possible place. A
            # network as small as this one, trained with 5 on the error (25-fold), painted clouds of all these places.
            loss_weight=1.0,
            timestep_shift=3.0,
            training=stage,
        ),
        video=StageRecipe(perturb=0.2, timestep_shift=3.0, training=stage),
    )
    resampler = ResamplerConfig(dim=128, depth=2, dim_head=32, heads=4, num_queries=4, video_length=16)
    return _with_sizes(recipe, _embedded_unet(), resampler)


def embedded_cpu() -> Recipe:
    """`embedded` with smaller UNets and fewer steps, for a few hours on a laptop's CPU."""
    base = embedded()
    shorter = {
        "vae": (1800, 700),
        "encoders": (300, 150),
        "painter": (6000, 2000),
        "planner": (6000, 2000),
        "reference": (12000, 3000),
    }
    parts = {
        name: replace(base.of(name), training=_steps(base.of(name).training, *steps)) for name, steps in shorter.items()
    }
    parts["painter"] = replace(parts["painter"], adversarial_from=4000)
    reference = parts["reference"]
    small = replace(reference.training, batch_size=8)
    parts["reference"] = replace(reference, training=small, adversarial_from=8000)
    for name in ("trajectory", "video"):
        stage = base.of(name)
        training = replace(_steps(stage.training, 3000, 1000), batch_size=4, ema_decay=0.998)
        parts[name] = replace(stage, unet=replace(stage.unet, num_res_blocks=1), training=training)
    return replace(base, name="embedded-cpu", **parts)


def tiny() -> Recipe:
    """Seconds of training at 32x64 and 4 frames, with v-prediction: shows that everything runs, not how well."""
    base = embedded()
    training = TrainingConfig(
        max_steps=4,
        batch_size=2,
        learning_rate=1e-3,
        adam_beta2=0.99,
        gradient_clip=1.0,
        ema_decay=0.5,
        checkpoint_every=2,
        log_every=1,
    )
    small = {"text_width": 32, "text_layers": 1, "image_width": 32, "image_layers": 1, "heads": 2, "image_size": 32}
    widths = (16, 32, 64)
    vae = replace(
        base.of("vae"),
        latent_channels=4,
        encoder_widths=widths,
        decoder_widths=widths,
        decoder_layers=(1, 1, 1),
        crop=32,
        training=training,
    )
    recipe = replace(
        base,
        name="tiny",
        pipeline=replace(
            base.pipeline,
            height=32,
            width=64,
            num_frames=4,
            num_inference_steps=2,
            video_num_inference_steps=2,
            target_guidance_scale=1.0,
            trajectory_change_std=None,
            video_change_std=None,
        ),
        schedule=NoiseScheduleConfig(),
        vae=vae,
        encoders=replace(base.of("encoders"), **small, training=training),
        painter=PainterRecipe(widths=(8, 16, 16), frames=2, code=4, adversarial_from=2, training=training),
        planner=PlannerRecipe(width=32, layers=1, heads=2, training=training),
        reference=replace(
            base.of("reference"),
            widths=(16, 24, 32),
            crop=(32, 32),
            adversarial_from=2,
            training=replace(training, batch_size=4),
        ),
        trajectory=replace(base.of("trajectory"), loss_weight=5.0, foreground_loss="squared-error", training=training),
        video=replace(base.of("video"), training=training),
    )
    unet = replace(base.of("trajectory").unet, model_channels=32, num_res_blocks=1)
    return _with_sizes(recipe, unet, replace(base.of("trajectory").resampler, dim=32, depth=1, video_length=4))
