"""Fine-tuning of DynamiCrafter-512 as in the paper, one recipe for each of its three networks, and one of both stages.

Where the paper is silent, or the official code and its training log say otherwise, these follow the latter: both stages
freeze the temporal convolutions, no condition is dropped, stage 1's weight multiplies the squared error, and the
network gets a frame rate that depends on the frames a clip spans.

They start from an imported folder (of DynamiCrafter, or of a released Mask2IV checkpoint; the recipe of both stages
from the image-to-video network of an unwidened one), whose autoencoder, CLIP encoders and tokenizer are kept. Sizes,
schedule and sampling are those of the original.

These sizes come with the original networks, so a recipe imports them when it is asked for: naming one must not wait for
PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mask2iv.backbones.dynamicrafter.sizes import UNetConfig, trajectory_channels
from mask2iv.recipes.training import TrainingConfig
from mask2iv.recipes.types import Recipe, StageRecipe

_TRAINING = TrainingConfig(
    max_steps=100_000,
    batch_size=16,  # 8, accumulated twice
    gradient_accumulation_steps=2,
    learning_rate=1e-5,
    gradient_clip=0.5,
    ema_decay=0.0,  # the original keeps none
    mixed_precision="bf16",
    optimizer="adamw-fused",
    gradient_checkpointing=True,
    freeze_temporal=True,
    frozen_temporal="convolutions",
    checkpoint_every=1000,
    validate_every=5000,
    keep="best",
)

_STAGE = StageRecipe(drop_image=0.0, frame_rate="source-frames", training=_TRAINING)
_TRAJECTORY = replace(_STAGE, foreground_loss="squared-error")


def _recipe(name: str) -> Recipe:
    from mask2iv.official.importing import pipeline_config
    from mask2iv.official.layout import preset

    kind = name.removeprefix("dynamicrafter-512-")
    schedule = preset("512").schedule
    if kind == "video":
        stage = replace(_STAGE, drop_text=1.0, perturb=0.2)  # the prompt is empty
        return Recipe(name, pipeline_config(preset("512"), "video"), schedule, video=stage)
    stage = _TRAJECTORY
    if kind == "position":
        stage = replace(stage, drop_text=1.0)
        return Recipe(name, pipeline_config(preset("512"), "trajectory-position"), schedule, trajectory=stage)
    return Recipe(name, pipeline_config(preset("512"), "trajectory-text"), schedule, trajectory=stage)


def _both() -> Recipe:
    """Both stages, for the tables of systems and ablations. Stage 1 is one joint model, for text, target or both.

    Image-to-video variants are trained with prompts, some left out, and sampled with guidance, as DynamiCrafter is;
    those with masks see no prompt. The joint model must learn to do without text and without target.
    """
    from mask2iv.official.importing import pipeline_config
    from mask2iv.official.layout import preset

    pipeline = replace(pipeline_config(preset("512"), "video"), mask_layout="joint", video_guidance_scale=7.5)
    unet = UNetConfig()
    joint = replace(unet, in_channels=trajectory_channels("joint", unet.out_channels))
    return Recipe(
        "dynamicrafter-512",
        pipeline,
        preset("512").schedule,
        trajectory=replace(_TRAJECTORY, unet=joint, drop_text=0.3, drop_target=0.5),
        video=replace(_STAGE, perturb=0.2),
    )


def _lora(name: str) -> Recipe:
    """The same network with adapters trained instead of its weights, at the usual tenfold learning rate."""
    base = _recipe(name.removesuffix("-lora"))
    component = base.components[0]
    stage = base.of(component)
    training = replace(stage.training, lora_rank=64, lora_alpha=64.0, learning_rate=1e-4)
    return replace(base, name=name, **{component: replace(stage, training=training)})


_NAMES = ("dynamicrafter-512-text", "dynamicrafter-512-position", "dynamicrafter-512-video")
DYNAMICRAFTER: dict[str, Callable[[], Recipe]] = {
    "dynamicrafter-512": _both,
    **{name: partial(_recipe, name) for name in _NAMES},
    **{f"{name}-lora": partial(_lora, f"{name}-lora") for name in _NAMES},
}
