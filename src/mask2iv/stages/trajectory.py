"""Stage 1: from first frame, object mask and instruction and/or target position to a mask trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mask2iv.conditions import ConditionEncoder, Conditions, trajectory_conditions
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.diffusion.samplers import SamplingStep, Scheduler
from mask2iv.errors import InputError
from mask2iv.masks import labels_to_tensor, tensor_to_labels
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import image_tensor, labels_of_first_frame, stage_generator, target_labels
from mask2iv.stages.stage import Stage

OnStep = Callable[[SamplingStep], torch.Tensor | None]


@dataclass(frozen=True)
class Guidance:
    """Guidance of stage 1: scales (1 for none) of text and of target position, and the rescale share in [0, 1]."""

    text: float
    target: float
    rescale: float


@dataclass(frozen=True)
class TrajectoryRequest:
    """One trajectory to predict.

    Attributes:
        image: uint8 [H, W, 3].
        object_mask, target_mask, actor_mask: what :func:`mask2iv.masks.load_mask` reads; the latter two may be None.
        prompt: "" for none.
        size: (height, width) of the result.
    """

    image: UInt8Array
    object_mask: Any
    prompt: str
    target_mask: Any
    actor_mask: Any
    size: tuple[int, int]


@torch.no_grad()
def predict_trajectory(
    stage: Stage,
    encoder: ConditionEncoder,
    scheduler: Scheduler,
    config: PipelineConfig,
    request: TrajectoryRequest,
    guidance: Guidance,
    seed: int,
    on_step: OnStep,
) -> Trajectory:
    """Sample one trajectory. The scheduler's timesteps must be set.

    Raises:
        InputError: no condition at all, one that this model's layout cannot take, or an unusable mask.
    """
    if not request.prompt and request.target_mask is None:
        raise InputError("no condition: give a prompt, a target mask, or both")
    if request.prompt and config.mask_layout == "position":
        raise InputError("prompt: this model's stage 1 takes a target position only; give a target mask instead")
    if request.target_mask is not None and config.mask_layout == "text":
        raise InputError("target_mask: this model's stage 1 takes text only; give a prompt instead")
    random = stage_generator(seed, 1)
    branches, scales = _branches(encoder, config, request, guidance, random)
    height, width = request.size
    factor = encoder.codec.factor
    shape = (1, encoder.codec.latent_channels, config.num_frames, height // factor, width // factor)
    latents = stage.generate(scheduler, shape, branches, scales, guidance.rescale, random, on_step)
    labels = tensor_to_labels(encoder.codec.decode(latents).float())
    return Trajectory(labels[0].cpu().numpy(), config.fps)


def _branches(
    encoder: ConditionEncoder,
    config: PipelineConfig,
    request: TrajectoryRequest,
    guidance: Guidance,
    random: torch.Generator,
) -> tuple[list[Conditions], list[float]]:
    """Conditions from least to most conditioned, and the guidance scale of each step between them."""
    device, dtype = encoder.device, encoder.dtype
    image = image_tensor(request.image, request.size).to(device, dtype)
    first = labels_of_first_frame(request.image, request.object_mask, request.actor_mask, request.size)
    image_latent = encoder.latents(image, [random])
    mask_latent = encoder.latents(_mask_tensor(first, encoder), [random])
    target_latent = torch.zeros_like(mask_latent)
    has_target = request.target_mask is not None
    if has_target:
        target = target_labels(request.image, request.target_mask, request.size)
        target_latent = encoder.latents(_mask_tensor(target, encoder), [random])

    def concat(with_target: bool) -> torch.Tensor:
        flag = torch.tensor([with_target], device=device)
        return trajectory_conditions(
            config.mask_layout, mask_latent, target_latent, flag, image_latent, config.num_frames
        )

    fps = torch.full((1,), config.fps, device=device)
    features = encoder.image_features(image)
    empty, full = encoder.text([""]), encoder.text([request.prompt])
    first_latent = mask_latent.unsqueeze(2)
    complete = Conditions(concat(has_target), full, features, fps, first_latent)
    branches = [complete]
    scales: list[float] = []
    if request.prompt:
        unseen = encoder.image_features(torch.zeros_like(image)) if config.drop_image_in_guidance else features
        branches.insert(0, Conditions(complete.concat, empty, unseen, fps, first_latent))
        scales.insert(0, guidance.text)
    # In the official position layout the target is part of every training sample, so there is no branch without it.
    if has_target and config.mask_layout == "joint":
        branches.insert(0, Conditions(concat(False), empty, features, fps, first_latent))
        scales.insert(0, guidance.target)
    return branches, scales


def _mask_tensor(labels: UInt8Array, encoder: ConditionEncoder) -> torch.Tensor:
    """Labels [H, W] in label colours, float [1, 3, H, W]."""
    frame = torch.from_numpy(labels)[None, None]
    return labels_to_tensor(frame)[:, :, 0].to(encoder.device, encoder.dtype)
