"""What a training run will need, before there are data or weights: parameters, memory per device, steps.

Everything here is an estimate. Weights, gradients, optimiser states and the moving average follow from the number of
parameters; the memory of forward and backward pass is counted by running them on the meta device
(:func:`mask2iv.training.estimates.memory.pass_memory`). Not included: the CUDA context and libraries, and the
allocator's fragmentation, together about 1 to 2 GB on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.planning.painter import KnownMaps, MaskPainter, Painted
from mask2iv.backbones.planning.planner import FACTS, PICTURE, PICTURE_CHANNELS, InteractionPlanner, PlannerConditions
from mask2iv.diffusion.losses import weighted_mse
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.models.autoencoder import embedded_autoencoder
from mask2iv.models.discriminator import PAIR_CHANNELS
from mask2iv.models.reference import FirstFrame
from mask2iv.official.layout import original_parts, preset
from mask2iv.recipes import EncodersRecipe, Recipe, StageRecipe
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.samples import step_samples
from mask2iv.training.engine.trainable import choose_trainable
from mask2iv.training.estimates.memory import pass_memory
from mask2iv.training.inputs.windows import FRAMES_PER_CLIP
from mask2iv.training.networks.encoders import contrastive_loss, make_clip
from mask2iv.training.networks.painter import PainterPair, judged_maps, painting_loss
from mask2iv.training.networks.reference_decoder import ReferencePair
from mask2iv.training.networks.stages import control_config
from mask2iv.trajectories.distances import SHRINK
from mask2iv.trajectories.plan import ACTOR_NUMBERS, ACTORS, NUMBERS, OBJECT_NUMBERS

AUTOCAST: Mapping[str, torch.dtype | None] = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_FLOAT32 = 4
_MOMENTS = {"adamw": 8.0, "adamw-fused": 8.0, "adamw-8bit": 2.0}
"""Bytes of optimiser state for each trained weight."""
_VOCABULARY = 200
"""Assumed size of a closed vocabulary; its effect is negligible."""


@dataclass(frozen=True)
class Memory:
    """Memory of one device, in bytes.

    Attributes:
        weights: of the trained networks, including their frozen weights, in float32.
        encoders: of the frozen networks used alongside, in float32.
        optimizer: states of the optimiser.
        moving_average: of the trained weights; 0 if it is kept on the CPU.
        passes: what forward and backward pass add at their peak, gradients included.
        update: what the optimiser's step adds at its peak, gradients included.
        buckets: the copy of the gradients that several processes exchange.
    """

    weights: int
    encoders: int
    optimizer: int
    moving_average: int
    passes: int
    update: int
    buckets: int

    @property
    def peak(self) -> int:
        """Peak memory."""
        kept = self.weights + self.encoders + self.optimizer + self.moving_average + self.buckets
        return kept + max(self.passes, self.update)


@dataclass(frozen=True)
class Estimate:
    """What training one component needs.

    Attributes:
        component: its name.
        trained, frozen: numbers of weights in its networks.
        encoders: number of weights of the frozen networks used alongside.
        clips_at_once: samples that go through the networks together on one device.
        processes: number of devices.
        steps: optimiser steps.
        batch_size: samples of a step.
        memory: with gradient checkpointing as the recipe has it.
        memory_other: with gradient checkpointing switched the other way; None if it was not counted.
        checkpointing: whether the recipe has it on.
    """

    component: str
    trained: int
    frozen: int
    encoders: int
    clips_at_once: int
    processes: int
    steps: int
    batch_size: int
    memory: Memory
    memory_other: Memory | None
    checkpointing: bool

    def to_dict(self, clips: int | None) -> dict[str, Any]:
        """Plain values; `clips`, the number of training clips, determines the epochs."""

        def plain(memory: Memory | None) -> dict[str, int] | None:
            return None if memory is None else {**vars(memory), "peak": memory.peak}

        return {
            "component": self.component,
            "parameters": {"trained": self.trained, "frozen": self.frozen, "frozen_encoders": self.encoders},
            "steps": self.steps,
            "batch_size": self.batch_size,
            "clips": clips,
            "epochs": None if not clips else round(self.steps * self.batch_size / clips, 2),
            "processes": self.processes,
            "clips_at_once_per_device": self.clips_at_once,
            "gradient_checkpointing": self.checkpointing,
            "memory_per_device_bytes": {
                "estimated": True,
                "of_this_recipe": plain(self.memory),
                "with_gradient_checkpointing_switched": plain(self.memory_other),
            },
        }

    def lines(self, clips: int | None) -> list[str]:
        """The same as text."""
        epochs = f", {self.steps * self.batch_size / clips:.1f} epochs of {clips} clips" if clips else ""
        kept = self.memory
        parts = {
            "weights": kept.weights,
            "frozen encoders": kept.encoders,
            "optimizer": kept.optimizer,
            "moving average": kept.moving_average,
            "exchange": kept.buckets,
            "forward and backward pass" if kept.passes >= kept.update else "update": max(kept.passes, kept.update),
        }
        made = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in parts.items() if size)
        state = "with" if self.checkpointing else "without"
        lines = [
            f"{self.component}: {self.trained / 1e6:.1f} M weights trained, {self.frozen / 1e6:.1f} M frozen, "
            f"{self.encoders / 1e6:.1f} M in frozen encoders",
            f"{self.steps} steps of {self.batch_size} clips{epochs}; {self.processes} process(es), "
            f"{self.clips_at_once} clip(s) at once on each",
            f"estimated memory of a device: {kept.peak / 1e9:.2f} GB ({made})",
        ]
        if self.memory_other is not None:
            other = "without" if self.checkpointing else "with"
            lines[-1] += f" {state} gradient checkpointing, {self.memory_other.peak / 1e9:.2f} GB {other}"
        return lines


def device_memory(
    settings: TrainingConfig, trained: int, frozen: int, encoders: int, passes: int, processes: int
) -> Memory:
    """Memory from the numbers of weights and the bytes that forward and backward pass add.

    Args:
        settings: the optimiser, and where the moving average is kept.
        trained, frozen: weights of the networks.
        encoders: weights of the frozen networks used alongside.
        passes: see :class:`Memory`.
        processes: number of devices.
    """
    return Memory(
        weights=(trained + frozen) * _FLOAT32,
        encoders=encoders * _FLOAT32,
        optimizer=round(trained * _MOMENTS[settings.optimizer]),
        moving_average=trained * _FLOAT32 if settings.ema_decay and settings.ema_device == "same" else 0,
        passes=passes,
        # PyTorch's default AdamW computes the square roots of all second moments at once.
        update=trained * _FLOAT32 * (2 if settings.optimizer == "adamw" else 1),
        buckets=trained * _FLOAT32 if processes > 1 else 0,
    )


def estimate(recipe: Recipe, component: str, processes: int = 1, compare: bool = True) -> Estimate:
    """What training a component of a recipe needs.

    Args:
        recipe: the resolved recipe.
        component: one that it trains.
        processes: number of devices that share a step's samples (DDP; sharding is not counted).
        compare: whether to count a pass with gradient checkpointing switched the other way, too.

    Raises:
        InputError: the recipe does not train the component, the processes cannot share a batch evenly, or adapters need
            a library that is missing.
    """
    settings: TrainingConfig = recipe.of(component).training
    at_once = settings.batch_size // settings.gradient_accumulation_steps
    if component != "encoders":
        step_samples(settings, 1, 0, 0, processes)  # refuses a batch that cannot be divided
        at_once //= processes
    module, loss = build_probe(recipe, component, at_once, torch.device("meta"))
    is_stage = isinstance(module, Stage)
    if is_stage:
        choose_trainable(module, settings)
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters()) - trained
    encoders = _encoder_weights(recipe, component)

    def memory(checkpointing: bool) -> Memory:
        blocks: list[nn.Module] = []
        if isinstance(module, Stage):
            module.enable_gradient_checkpointing(checkpointing)
            blocks = module.blocks if checkpointing else []
        dtype = AUTOCAST[settings.mixed_precision]
        passes = pass_memory(module, loss, dtype, settings.gradient_accumulation_steps, blocks)
        return device_memory(settings, trained, frozen, encoders, passes, processes)

    on = settings.gradient_checkpointing and is_stage
    return Estimate(
        component=component,
        trained=trained,
        frozen=frozen,
        encoders=encoders,
        clips_at_once=at_once,
        processes=processes,
        steps=settings.max_steps,
        batch_size=settings.batch_size,
        memory=memory(on),
        memory_other=memory(not on) if is_stage and compare else None,
        checkpointing=on,
    )


# --- a component's networks and a pass through them

_Probe = tuple[nn.Module, Callable[[], Tensor]]


def build_probe(recipe: Recipe, component: str, count: int, device: torch.device) -> _Probe:
    """Fresh networks of a component, and a function that computes their loss on `count` empty samples."""
    with device:
        module, loss = _PROBES[component](recipe, count)
    return module.train(), loss


def _stage(recipe: Recipe, name: str, count: int) -> _Probe:
    settings: StageRecipe = recipe.of(name)
    pipeline, unet = recipe.pipeline, settings.unet
    stage = Stage(VideoUNet(unet), Resampler(settings.resampler), getattr(pipeline, f"{name}_change_std"))
    controlled = name == "video" and pipeline.video_conditioning.control == "controlnet"
    if controlled:
        stage.controlnet = ControlNet(control_config(unet))
    cells = [side // (8 * pipeline.latent_patch) for side in (pipeline.height, pipeline.width)]
    frames, channels = pipeline.num_frames, unet.out_channels
    tokens = _image_tokens(recipe.encoders)
    latents = torch.zeros(count, channels, frames, *cells)
    conditions = Conditions(
        concat=torch.zeros(count, unet.in_channels - channels + controlled * channels, frames, *cells),
        text=torch.zeros(count, unet.text_tokens, unet.context_dim),
        image_features=torch.zeros(count, tokens, settings.resampler.embedding_dim),
        fps=torch.zeros(count),
        first=torch.zeros(count, channels, 1, *cells),
    )
    alphas = NoiseSchedule(recipe.schedule).to(latents.device).alphas_cumprod

    def loss() -> Tensor:
        context = stage.context(conditions.text, conditions.image_features)
        timesteps = torch.zeros(count, dtype=torch.int64, device=latents.device)
        prediction = stage(latents, timesteps, conditions, context, alphas)
        return weighted_mse(prediction.float(), latents, None)

    return stage, loss


def _image_tokens(encoders: EncodersRecipe | None) -> int:
    """Image tokens of a frame: one per patch and one for the whole; ViT-H/14 has 256 patches."""
    return 1 + (256 if encoders is None else (encoders.image_size // encoders.patch_size) ** 2)


def _vae(recipe: Recipe, count: int) -> _Probe:
    settings = recipe.of("vae")
    autoencoder: Any = _autoencoder(recipe)
    images = torch.zeros(count, 3, settings.crop, settings.crop)

    def loss() -> Tensor:
        latents = autoencoder.encode(images, return_dict=False)[0]
        decoded = autoencoder.decode(latents + torch.empty_like(latents), return_dict=False)[0].float()
        edges = sum((decoded.diff(dim=dim) - images.diff(dim=dim)).abs().mean() for dim in (-1, -2))
        return (decoded - images).abs().mean() + edges + latents.float().square().mean()

    return autoencoder, loss


def _encoders(recipe: Recipe, count: int) -> _Probe:
    settings = recipe.of("encoders")
    model = make_clip(settings, _VOCABULARY)
    ids = torch.zeros(count, settings.text_tokens, dtype=torch.int64)
    pixels = torch.zeros(2 * count, 3, settings.image_size, settings.image_size)
    return model, lambda: contrastive_loss(model, ids, pixels)


def _painter(recipe: Recipe, count: int) -> _Probe:
    settings, frames = recipe.of("painter"), recipe.of("painter").frames
    painter = MaskPainter(settings.widths, settings.depth, settings.code, _text_width(recipe))
    pair = PainterPair(painter)
    size = (recipe.pipeline.height // SHRINK, recipe.pipeline.width // SHRINK)
    maps = torch.zeros(count, frames, *size)
    known = KnownMaps(maps.unsqueeze(2), maps[:, :1], maps[:, :1])
    plans, text = torch.zeros(count, frames, NUMBERS), torch.zeros(count, 1, _text_width(recipe))

    def loss() -> Tensor:
        code, _ = painter.encoder(Painted(maps, maps))
        found = painter(plans, plans[:, 0, :2], known, code, text)
        verdict, _ = pair.adversary(torch.cat([judged_maps(one, known) for one in (found, Painted(maps, maps))]))
        return painting_loss(found, Painted(maps, maps)) + verdict.float().mean()

    return pair, loss


def _planner(recipe: Recipe, count: int) -> _Probe:
    settings, code = recipe.of("planner"), recipe.of("painter").code
    sizes = (settings.width, settings.layers, settings.heads, code, _text_width(recipe))
    planner = InteractionPlanner(recipe.pipeline.num_frames, *sizes)
    numbers, flags = torch.zeros(count, FACTS), torch.zeros(count, dtype=torch.bool)
    scene = PlannerConditions(
        picture=torch.zeros(count, PICTURE_CHANNELS, *PICTURE),
        start=numbers[:, :3],
        has_target=flags,
        target=numbers[:, :OBJECT_NUMBERS],
        has_actor=flags,
        actors=numbers[:, : ACTORS * ACTOR_NUMBERS],
        text=torch.zeros(count, _text_tokens(recipe), _text_width(recipe)),
    )
    states = torch.zeros(count, planner.state_size)
    return planner, lambda: planner(states, states[:, 0], scene).float().square().mean()


def _reference(recipe: Recipe, count: int) -> _Probe:
    settings, size = recipe.of("reference"), (recipe.pipeline.height, recipe.pipeline.width)
    pair, clips = ReferencePair(settings), max(count // FRAMES_PER_CLIP, 1)
    image = torch.zeros(clips, 3, *size)
    motions = torch.zeros(clips, FRAMES_PER_CLIP, 3, 2, 3)
    first = FirstFrame(image, image, torch.zeros(clips, *size, dtype=torch.uint8), motions, image[:, :2, 0, :3])
    frames = torch.zeros(clips, FRAMES_PER_CLIP, 3, *settings.crop)
    labels = torch.zeros(clips, FRAMES_PER_CLIP, *settings.crop, dtype=torch.uint8)
    seen = torch.zeros(2 * clips, PAIR_CHANNELS, *settings.crop)

    def loss() -> Tensor:
        verdict, _ = pair.adversary(seen)
        return (pair.decoder(frames, labels, first).float() - frames).abs().mean() + verdict.float().mean()

    return pair, loss


def _text_width(recipe: Recipe) -> int:
    return 128 if recipe.encoders is None else recipe.encoders.text_width


def _text_tokens(recipe: Recipe) -> int:
    return 24 if recipe.encoders is None else recipe.encoders.text_tokens


_PROBES: Mapping[str, Callable[[Recipe, int], _Probe]] = {
    "vae": _vae,
    "encoders": _encoders,
    "painter": _painter,
    "planner": _planner,
    "reference": _reference,
    "trajectory": lambda recipe, count: _stage(recipe, "trajectory", count),
    "video": lambda recipe, count: _stage(recipe, "video", count),
}


def _autoencoder(recipe: Recipe) -> Any:
    vae = recipe.of("vae")
    widths, layers = (vae.encoder_widths, vae.decoder_widths), (vae.encoder_layers, vae.decoder_layers)
    return embedded_autoencoder(vae.latent_channels, widths[0], layers[0], widths[1], layers[1])


def _encoder_weights(recipe: Recipe, component: str) -> int:
    """Number of weights of the frozen networks on the device while a component is trained."""
    if component in ("vae", "encoders"):
        return 0
    if recipe.vae is None:
        parts = original_parts(preset("512"), 12)
        networks = [part.module for part in parts if part.name in ("vae", "text_encoder", "image_encoder")]
    else:
        with torch.device("meta"):
            networks = [_autoencoder(recipe)]
            networks += [_encoders(recipe, 1)[0]] if component in ("trajectory", "video") else []
    return sum(parameter.numel() for network in networks for parameter in network.parameters())
