"""Named full configurations: each derives from a base in a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mask2iv.conditions import MaskLayout, trajectory_channels
from mask2iv.diffusion.schedule import NoiseScheduleConfig
from mask2iv.errors import InputError
from mask2iv.models.config import ResamplerConfig, UNetConfig
from mask2iv.stages.config import PipelineConfig
from mask2iv.training.config import TrainingConfig


@dataclass(frozen=True)
class AutoencoderRecipe:
    """The autoencoder and how it is trained on crops of frames and mask images.

    Attributes:
        latent_channels: channels of the latents.
        encoder_widths, encoder_layers, decoder_widths, decoder_layers: at 1/2, 1/4 and 1/8 of the resolution; the
            encoder is the lighter one because every training clip passes it.
        crop: side of the training crops in pixels, a multiple of 8.
        mask_share: share of the samples that are mask images.
        latent_noise: standard deviation of noise added to the latents in training, relative to theirs; keeps the
            latent space smooth, which the diffusion models need.
        gradient_weight: weight of the L1 loss on image gradients, for sharp edges.
        training: optimisation.
    """

    latent_channels: int = 8
    encoder_widths: tuple[int, ...] = (32, 64, 256)
    encoder_layers: tuple[int, ...] = (1, 1, 1)
    decoder_widths: tuple[int, ...] = (32, 128, 256)
    decoder_layers: tuple[int, ...] = (1, 1, 2)
    crop: int = 64
    mask_share: float = 0.3
    latent_noise: float = 0.1
    gradient_weight: float = 0.5
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class EncodersRecipe:
    """A small CLIP, trained by contrast of a clip set's first and last frames with its captions.

    Attributes:
        text_tokens: tokens of a prompt, padding included.
        text_width, text_layers, image_width, image_layers, heads: sizes of the two transformers.
        image_size, patch_size: of the image encoder in pixels.
        training: optimisation.
    """

    text_tokens: int = 24
    text_width: int = 128
    text_layers: int = 2
    image_width: int = 128
    image_layers: int = 3
    heads: int = 4
    image_size: int = 96
    patch_size: int = 16
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class ReferenceRecipe:
    """The reference decoder (see :class:`mask2iv.models.reference.ReferenceDecoder`).

    Attributes:
        width, depth, patch: its size.
        crop: side of the training crops in pixels.
        latent_noise: largest standard deviation of the noise added to the latents before decoding, so that it learns to
            work on generated latents too.
        training: optimisation.
    """

    width: int = 96
    depth: int = 3
    patch: int = 4
    crop: int = 96
    latent_noise: float = 0.3
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class StageRecipe:
    """Networks and training of one stage.

    Attributes:
        unet, resampler: sizes; input channels follow from the layout.
        drop_text, drop_target, drop_image: chance that a condition is left out of a training sample, independently.
        drop_actor: chance that the actor is left out of the first-frame mask, so that users need not give it (stage 1).
        perturb: chance that a clip's masks are dilated or eroded (stage 2; paper: 0.2).
        perturb_kernels: square kernels it draws from (paper: 3, 5, 7).
        loss_weight: weight of foreground cells (stage 1) or contact cells (stage 2); paper: 5.
        timestep_shift: above 1, training sees more of the noisy timesteps; paper: 1 (uniform). See
            :func:`mask2iv.stages.stage.draw_timesteps`.
        training: optimisation.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    resampler: ResamplerConfig = field(default_factory=ResamplerConfig)
    drop_text: float = 0.0
    drop_target: float = 0.0
    drop_image: float = 0.05
    drop_actor: float = 0.0
    perturb: float = 0.0
    perturb_kernels: tuple[int, ...] = (3, 5, 7)
    loss_weight: float = 5.0
    timestep_shift: float = 1.0
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not self.timestep_shift > 0:
            raise InputError(f"timestep_shift must be positive, found {self.timestep_shift}")


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a model and its training.

    Attributes:
        name: of the recipe.
        pipeline: sizes, layouts, sampling defaults.
        schedule: noise schedule of both stages.
        vae, encoders, reference, trajectory, video: one per component, in the order in which they are trained.
    """

    name: str
    pipeline: PipelineConfig
    schedule: NoiseScheduleConfig
    vae: AutoencoderRecipe
    encoders: EncodersRecipe
    reference: ReferenceRecipe
    trajectory: StageRecipe
    video: StageRecipe


LATENT_PATCH = 2
"""Latent cells of 16 x 16 pixels: on 2 x 2 times coarser grids a small UNet can be wide where the compute is."""


def _unets(
    base: UNetConfig, resampler: ResamplerConfig, encoders: EncodersRecipe, vae: AutoencoderRecipe, layout: MaskLayout
) -> tuple[UNetConfig, UNetConfig, ResamplerConfig]:
    """Both stages' UNets and their resampler, with every size that must agree with another one filled in."""
    latent_channels = vae.latent_channels * LATENT_PATCH**2
    shared = replace(
        base, out_channels=latent_channels, text_tokens=encoders.text_tokens, context_dim=encoders.text_width
    )
    trajectory = replace(shared, in_channels=trajectory_channels(layout, latent_channels))
    video = replace(shared, in_channels=3 * latent_channels)
    return (
        trajectory,
        video,
        replace(resampler, embedding_dim=encoders.image_width, output_dim=encoders.text_width),
    )


def embedded() -> Recipe:
    """The model that ships with the package: 16 frames at 160x256, sized for minutes on one data-centre GPU."""
    encoders = EncodersRecipe(
        training=TrainingConfig(
            max_steps=1500,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=30,
            decay_steps=500,
            weight_decay=0.1,
            gradient_clip=1.0,
            ema_decay=0.99,
            checkpoint_every=250,
            validate_every=500,
        )
    )
    vae = AutoencoderRecipe(
        training=TrainingConfig(
            max_steps=20000,
            batch_size=32,
            learning_rate=6e-4,
            warmup_steps=100,
            decay_steps=6000,
            gradient_clip=1.0,
            ema_decay=0.995,
            mixed_precision="bf16",
            checkpoint_every=500,
            validate_every=1000,
        )
    )
    base = UNetConfig(
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
    resampler = ResamplerConfig(dim=128, depth=2, dim_head=32, heads=4, num_queries=4, video_length=16)
    layout: MaskLayout = "joint"
    trajectory_unet, video_unet, resampler = _unets(base, resampler, encoders, vae, layout)
    training = TrainingConfig(
        max_steps=40000,
        batch_size=16,
        learning_rate=6e-4,
        warmup_steps=50,
        decay_steps=8000,
        gradient_clip=1.0,
        ema_decay=0.999,
        mixed_precision="bf16",
        checkpoint_every=250,
        validate_every=1000,
    )
    return Recipe(
        name="embedded",
        pipeline=PipelineConfig(
            mask_layout=layout,
            latent_patch=LATENT_PATCH,
            trajectory_change_std=0.47,
            video_change_std=0.77,
            # Chosen on eight validation clips. More steps sharpen a trajectory's actor; a video of so little trained a
            # network loses 0.6 dB with the second step already, since each leaves some of its noise in the picture.
            num_inference_steps=4,
            video_num_inference_steps=1,
            guidance_scale=2.0,
            target_guidance_scale=2.0,
        ),
        # Unlike the paper's network this one predicts the clean latents, as a change to the first frame: at 16 x 16
        # pixels a cell, a network this narrow cannot pass the noise of all channels through, which v-prediction asks of
        # it (its loss did not fall in 200 steps).
        # No dynamic rescale: with few sampling steps it leaves the latents faded.
        schedule=NoiseScheduleConfig(prediction_type="sample", base_scale=None),
        vae=vae,
        encoders=encoders,
        reference=ReferenceRecipe(
            training=TrainingConfig(
                max_steps=8000,
                batch_size=16,
                learning_rate=5e-4,
                warmup_steps=100,
                decay_steps=3000,
                gradient_clip=1.0,
                ema_decay=0.995,
                mixed_precision="bf16",
                checkpoint_every=500,
                validate_every=1000,
            )
        ),
        trajectory=StageRecipe(
            unet=trajectory_unet,
            resampler=resampler,
            drop_text=0.3,
            drop_target=0.5,
            drop_actor=0.3,
            # The paper's weight of 5 counts a foreground cell 25-fold, so where the actor may be, a network as small as
            # this one paints it: its best guess under that loss is a cloud of everywhere an actor could go.
            loss_weight=1.0,
            timestep_shift=3.0,
            training=training,
        ),
        video=StageRecipe(unet=video_unet, resampler=resampler, perturb=0.2, timestep_shift=3.0, training=training),
    )


def embedded_cpu() -> Recipe:
    """`embedded` with smaller UNets and fewer steps, for a few hours on a laptop's processor."""
    base = embedded()

    def smaller(stage: StageRecipe, steps: int, decay: int) -> StageRecipe:
        unet = replace(stage.unet, num_res_blocks=1)
        return replace(
            stage,
            unet=unet,
            training=replace(stage.training, max_steps=steps, decay_steps=decay, batch_size=4, ema_decay=0.998),
        )

    def shorter(training: TrainingConfig, steps: int, decay: int) -> TrainingConfig:
        return replace(training, max_steps=steps, decay_steps=decay)

    return replace(
        base,
        name="embedded-cpu",
        vae=replace(base.vae, training=shorter(base.vae.training, 1800, 700)),
        encoders=replace(base.encoders, training=shorter(base.encoders.training, 300, 150)),
        reference=replace(base.reference, training=shorter(base.reference.training, 900, 300)),
        trajectory=smaller(base.trajectory, 3000, 1000),
        video=smaller(base.video, 3000, 1000),
    )


def tiny() -> Recipe:
    """Seconds of training at 32x64 and 4 frames, with v-prediction: proves that everything runs, claims nothing."""
    base = embedded()
    training = TrainingConfig(
        max_steps=4, batch_size=2, learning_rate=1e-3, gradient_clip=1.0, ema_decay=0.5, checkpoint_every=2, log_every=1
    )
    encoders = replace(
        base.encoders,
        text_width=32,
        text_layers=1,
        image_width=32,
        image_layers=1,
        heads=2,
        image_size=32,
        training=training,
    )
    vae = replace(
        base.vae,
        latent_channels=4,
        encoder_widths=(16, 32, 64),
        decoder_widths=(16, 32, 64),
        decoder_layers=(1, 1, 1),
        crop=32,
        training=training,
    )
    unet = replace(base.trajectory.unet, model_channels=32, num_res_blocks=1)
    resampler = replace(base.trajectory.resampler, dim=32, depth=1, video_length=4)
    trajectory_unet, video_unet, resampler = _unets(unet, resampler, encoders, vae, "joint")
    return replace(
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
        encoders=encoders,
        reference=replace(base.reference, width=32, depth=1, crop=32, training=training),
        trajectory=replace(
            base.trajectory, unet=trajectory_unet, resampler=resampler, loss_weight=5.0, training=training
        ),
        video=replace(base.video, unet=video_unet, resampler=resampler, training=training),
    )


RECIPES = {"embedded": embedded, "embedded-cpu": embedded_cpu, "tiny": tiny}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name!r} is not known; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()
