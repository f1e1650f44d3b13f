"""The parts of a recipe: a recipe for each component, with the settings of its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.diffusion.config import ContactMap, ForegroundLoss, NoiseScheduleConfig
from mask2iv.errors import InputError
from mask2iv.recipes.training import TrainingConfig
from mask2iv.stages.config import PipelineConfig

FrameRate = Literal["clip", "source-frames"]


@dataclass(frozen=True)
class AutoencoderRecipe:
    """The autoencoder and how it is trained on crops of frames and mask images.

    Attributes:
        latent_channels: channels of the latents.
        encoder_widths, encoder_layers, decoder_widths, decoder_layers: at 1/2, 1/4 and 1/8 of the resolution; the
            encoder is the lighter one because every training clip passes through it.
        crop: side of the training crops in pixels, a multiple of 8.
        mask_share: share of the samples that are mask images.
        latent_noise: standard deviation of the noise added to the latents in training, relative to theirs; keeps the
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
    """A small CLIP, trained by contrasting a clip set's first and last frames with its captions.

    Attributes:
        text_tokens: number of tokens of a prompt, including padding.
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
    """The reference decoder (see :class:`mask2iv.models.reference.ReferenceDecoder`) and how it is trained.

    Attributes:
        widths, depth, patch: its size.
        crop: height and width of the training windows in pixels, multiples of 4 x patch.
        latent_noise: largest standard deviation of the noise added to the latents before decoding, if there is no
            stage 2 to learn from.
        perturb, redraw: shares of the clips whose masks are dilated or eroded, or whose object is drawn anew as the
            first frame's, moved; the rest are exact.
        region_weight, object_weight: extra weight of pixels around object and actors or where the picture changes, and
            further extra weight of the pixels of the object, which is small.
        gradient_weight: weight of the L1 loss on image gradients.
        change_weight: weight of the L1 loss on the change between neighbouring frames, against flicker.
        perceptual_weight: weight of LPIPS, with the AlexNet that ships (see :mod:`mask2iv.models.lpips`), which is then
            no independent measure of the result.
        adversarial_from: step from which an adversarial loss (PatchGAN) is used.
        adversarial_weight, feature_weight: weights of the adversarial loss and of feature matching; an
            ``adversarial_weight`` of 0 turns it off.
        training: optimisation.
    """

    widths: tuple[int, int, int] = (96, 160, 256)
    depth: int = 1
    patch: int = 4
    crop: tuple[int, int] = (96, 128)
    latent_noise: float = 0.3
    perturb: float = 0.25
    redraw: float = 0.25
    region_weight: float = 2.0
    object_weight: float = 4.0
    gradient_weight: float = 0.5
    change_weight: float = 0.5
    perceptual_weight: float = 1.0
    adversarial_from: int = 5000
    adversarial_weight: float = 0.02
    feature_weight: float = 0.05
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class PainterRecipe:
    """The painter of masks (see :class:`mask2iv.backbones.planning.painter.MaskPainter`) and how it is trained.

    Attributes:
        widths, depth, code: its size.
        frames: frames of a clip in a batch.
        code_weight: weight of the shape code's KL divergence from a standard normal.
        jitter: standard deviation of the noise added to the plans' numbers, in units of the picture's height.
        drop_text, drop_actor: chance that the prompt, or the first frame's actor, is left out.
        adversarial_from: step from which an adversarial loss (PatchGAN) is used and the shape code's encoder is
            frozen.
        adversarial_weight, feature_weight: weights of the adversarial loss and of feature matching.
        training: optimisation.
    """

    widths: tuple[int, int, int] = (64, 128, 160)
    depth: int = 1
    code: int = 16
    frames: int = 4
    code_weight: float = 1e-3
    jitter: float = 0.01
    drop_text: float = 0.2
    drop_actor: float = 0.3
    adversarial_from: int = 8000
    adversarial_weight: float = 0.02
    feature_weight: float = 0.1
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class PlannerRecipe:
    """The planner (see :class:`mask2iv.backbones.planning.planner.InteractionPlanner`) and how it is trained.

    Attributes:
        width, layers, heads, dropout: its size.
        drop_text, drop_target, drop_actor: chance that a condition is left out of a sample, independently.
        zoom: largest zoom of the scenes, as augmentation: 0.15 for 15 % either way.
        training: optimisation.
    """

    width: int = 224
    layers: int = 6
    heads: int = 7
    dropout: float = 0.1
    drop_text: float = 0.2
    drop_target: float = 0.5
    drop_actor: float = 0.3
    zoom: float = 0.15
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True)
class StageRecipe:
    """Networks and training of one stage.

    `foreground_loss` and `frame_rate` have defaults that are not the original's, but those of earlier versions: the
    configurations of their runs mean what they meant. The recipes of the paper set them.

    Attributes:
        unet, resampler: sizes; input channels follow from the layout.
        drop_text, drop_target, drop_image: chance that a condition is left out of a training sample, independently.
        drop_actor: chance that the actor is left out of the first-frame mask, so that users need not give it (stage 1).
        perturb: chance that a clip's masks are dilated or eroded (stage 2; paper: 0.2).
        perturb_kernels: sizes of the square kernels to draw from (paper: 3, 5, 7).
        loss_weight: weight of foreground cells (stage 1) or contact cells (stage 2); paper: 5.
        foreground_loss: what stage 1's weight multiplies, see :data:`mask2iv.diffusion.losses.ForegroundLoss`; the
            original: "squared-error".
        contact_map: what stage 2's weight lies on, see :data:`mask2iv.diffusion.losses.ContactMap`; paper: "contact".
        frame_rate: the number that the network gets as a clip's frame rate. "clip": its frames per second;
            "source-frames": the original's rule, which also counts how many frames of the source video the clip spans
            (see :func:`mask2iv.training.inputs.frame_rates.frame_rates`).
        timestep_shift: above 1, training samples noisy timesteps more often; paper: 1 (uniform). See
            :func:`mask2iv.backbones.dynamicrafter.stage.draw_timesteps`.
        cache_latents: whether to encode the clips once and keep the result beside the run; otherwise they are encoded
            in every step, which takes no disk space and gives the same losses.
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
    foreground_loss: ForegroundLoss = "error"
    contact_map: ContactMap = "contact"
    frame_rate: FrameRate = "clip"
    timestep_shift: float = 1.0
    cache_latents: bool = True
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not self.timestep_shift > 0:
            raise InputError("timestep_shift", f"must be positive, found {self.timestep_shift}")


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a model and its training.

    A component without a recipe (None) is not trained: it comes with the model folder that training starts from, as the
    original's autoencoder and CLIP encoders do.

    Attributes:
        name: name of the recipe.
        pipeline: sizes, layouts, sampling defaults.
        schedule: noise schedule of both stages.
        vae, encoders, painter, planner, trajectory, video, reference: one per component, in the order of training.
    """

    name: str
    pipeline: PipelineConfig
    schedule: NoiseScheduleConfig
    vae: AutoencoderRecipe | None = None
    encoders: EncodersRecipe | None = None
    painter: PainterRecipe | None = None
    planner: PlannerRecipe | None = None
    trajectory: StageRecipe | None = None
    video: StageRecipe | None = None
    reference: ReferenceRecipe | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components that this recipe trains."""
        names = ("vae", "encoders", "painter", "planner", "trajectory", "video", "reference")
        return tuple(name for name in names if getattr(self, name) is not None)

    def of(self, component: str) -> Any:
        """The recipe of one component.

        Raises:
            InputError: it has none.
        """
        if component not in self.components:
            raise InputError(
                "recipe",
                f"{self.name} does not train {component}, only {', '.join(self.components)}",
                "the rest comes from initial weights",
            )
        return getattr(self, component)

    def reads_captions(self, component: str) -> bool:
        """Whether a component of this recipe is a stage that is trained with the clips' captions."""
        if component == "video" and not self.pipeline.video_conditioning.text:
            return False
        return component in ("painter", "planner", "trajectory", "video") and self.of(component).drop_text < 1
