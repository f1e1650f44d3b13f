"""Stage 1: from first frame, object mask and instruction and/or target position to a mask trajectory."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions, trajectory_conditions
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder, join_conditions, unprompted
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import (
    OnStep,
    SamplingPlan,
    as_list,
    check_image,
    image_tensor,
    labels_of_first_frame,
    listed,
    positive,
    stage_generator,
    target_labels,
)
from mask2iv.trajectories.labels import labels_to_tensor, tensor_to_labels


@dataclass(frozen=True)
class Guidance:
    """Guidance of stage 1: scales (1 for none) of text and of target position, and the rescale share in [0, 1]."""

    text: float
    target: float
    rescale: float

    @classmethod
    def of(cls, config: PipelineConfig, text: float | None, target: float | None, rescale: float | None) -> Guidance:
        """What is given, and the model's defaults for what is None."""
        return cls(
            text=config.guidance_scale if text is None else text,
            target=config.target_guidance_scale if target is None else target,
            rescale=config.guidance_rescale if rescale is None else rescale,
        )


@dataclass(frozen=True)
class TrajectoryRequest:
    """One trajectory to predict.

    Attributes:
        image: uint8 [H, W, 3].
        object_mask, target_mask, actor_mask: what :func:`mask2iv.trajectories.masks.load_mask` reads; the latter two
            may be None.
        prompt: "" for none.
        size: (height, width) of the result.
    """

    image: UInt8Array
    object_mask: Any
    prompt: str
    target_mask: Any
    actor_mask: Any
    size: tuple[int, int]


def trajectory_requests(
    image: Any,
    object_mask: Any,
    prompt: str | Sequence[str | None] | None,
    target_mask: Any,
    actor_mask: Any,
    size: tuple[int, int],
    outputs: int,
) -> list[TrajectoryRequest]:
    """One request per output from what the pipeline is given; the `outputs` of one image are neighbours.

    Raises:
        InputError: an unusable image, lists of different lengths, or a number below 1.
    """
    positive(outputs, 1, "num_videos_per_prompt")
    images = [check_image(one) for one in listed(image)]
    columns = {"object_mask": object_mask, "prompt": prompt, "target_mask": target_mask, "actor_mask": actor_mask}
    lists = [as_list(value, len(images), field) for field, value in columns.items()]
    return [
        TrajectoryRequest(picture, mask, text or "", target, actor, size)
        for picture, mask, text, target, actor in zip(images, *lists, strict=True)
        for _ in range(outputs)
    ]


@torch.no_grad()
def predict_trajectories(
    stage: Stage,
    encoder: SharedEncoder,
    plan: SamplingPlan,
    config: PipelineConfig,
    requests: Sequence[TrajectoryRequest],
    guidance: Guidance,
    seeds: Sequence[int],
) -> list[Trajectory]:
    """Sample one trajectory per request, each from its own seed.

    Raises:
        InputError: no condition at all, one that this model's layout cannot take, or an unusable mask.
    """

    def predict(batch: list[int], on_step: OnStep) -> list[Trajectory]:
        randoms = [stage_generator(seeds[index], 1) for index in batch]
        # Equal keys mean equally many branches with the same scales, so that these can be joined one by one.
        prepared = [
            _branches(encoder, config, requests[index], guidance, random)
            for index, random in zip(batch, randoms, strict=True)
        ]
        branches = [join_conditions(parts) for parts in zip(*(found for found, _ in prepared), strict=True)]
        scales = prepared[0][1]
        height, width = requests[batch[0]].size
        codec = encoder.codec
        shape = (len(batch), codec.latent_channels, config.num_frames, height // codec.factor, width // codec.factor)
        latents = stage.generate(
            plan.scheduler, shape, branches, scales, guidance.rescale, randoms, on_step, stack=plan.stack
        )
        labels = tensor_to_labels(codec.decode(latents).float()).cpu().numpy()
        return [Trajectory(one, config.fps) for one in labels]

    return plan.run([_checked_key(request, config) for request in requests], predict)


def _checked_key(request: TrajectoryRequest, config: PipelineConfig) -> Hashable:
    """What requests must share to go through the network together: size and guidance branches.

    Raises:
        InputError: no condition, or one that this model's layout cannot take.
    """
    has_target = request.target_mask is not None
    if not request.prompt and not has_target:
        raise InputError("no condition: give a prompt, a target mask, or both")
    if request.prompt and config.mask_layout == "position":
        raise InputError("prompt: this model's stage 1 takes a target position only; give a target mask instead")
    if has_target and config.mask_layout == "text":
        raise InputError("target_mask: this model's stage 1 takes text only; give a prompt instead")
    return request.size, bool(request.prompt), has_target


def _branches(
    encoder: SharedEncoder,
    config: PipelineConfig,
    request: TrajectoryRequest,
    guidance: Guidance,
    random: torch.Generator,
) -> tuple[list[Conditions], list[float]]:
    """Conditions from least to most conditioned, and the guidance scale of each step between them."""
    image = image_tensor(request.image, request.size)
    first = labels_of_first_frame(request.image, request.object_mask, request.actor_mask, request.size)
    image_latent = encoder.latents(image, random)
    mask_latent = encoder.latents(_mask_tensor(first), random)
    target_latent = torch.zeros_like(mask_latent)
    has_target = request.target_mask is not None
    if has_target:
        target = target_labels(request.image, request.target_mask, request.size)
        target_latent = encoder.latents(_mask_tensor(target), random)

    def concat(with_target: bool) -> torch.Tensor:
        flag = torch.tensor([with_target], device=encoder.device)
        return trajectory_conditions(
            config.mask_layout, mask_latent, target_latent, flag, image_latent, config.num_frames
        )

    fps = torch.full((1,), config.fps, device=encoder.device)
    features = encoder.image_features(image)
    empty, full = encoder.text(""), encoder.text(request.prompt)
    first_latent = mask_latent.unsqueeze(2)
    complete = Conditions(concat(has_target), full, features, fps, first_latent)
    branches = [complete]
    scales: list[float] = []
    if request.prompt:
        branches.insert(0, unprompted(encoder, config, complete, image))
        scales.insert(0, guidance.text)
    # In the official position layout the target is part of every training sample, so there is no branch without it.
    if has_target and config.mask_layout == "joint":
        branches.insert(0, Conditions(concat(False), empty, features, fps, first_latent))
        scales.insert(0, guidance.target)
    return branches, scales


def _mask_tensor(labels: UInt8Array) -> torch.Tensor:
    """Labels [H, W] in label colours, float [1, 3, H, W]."""
    return labels_to_tensor(torch.from_numpy(labels)[None, None])[:, :, 0]
