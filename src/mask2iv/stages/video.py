"""Stage 2: from first frame and mask trajectory to a video."""

from __future__ import annotations

import numpy as np
import torch

from mask2iv.conditions import ConditionEncoder, Conditions, video_conditions
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.diffusion.samplers import Scheduler
from mask2iv.errors import InputError
from mask2iv.masks import labels_to_tensor
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import image_tensor, stage_generator
from mask2iv.stages.stage import Stage
from mask2iv.stages.trajectory import OnStep


@torch.no_grad()
def render_video(
    stage: Stage,
    encoder: ConditionEncoder,
    reference_decoder: ReferenceDecoder | None,
    scheduler: Scheduler,
    config: PipelineConfig,
    image: UInt8Array,
    trajectory: Trajectory,
    seed: int,
    on_step: OnStep,
) -> UInt8Array:
    """Sample one video, uint8 [T, H, W, 3]. The scheduler's timesteps must be set.

    Raises:
        InputError: the trajectory has another number of frames than the model.
    """
    if trajectory.num_frames != config.num_frames:
        raise InputError(
            f"trajectory has {trajectory.num_frames} frames, this model renders {config.num_frames}; resample it"
        )
    device, dtype = encoder.device, encoder.dtype
    random = stage_generator(seed, 2)
    first = image_tensor(image, trajectory.size).to(device, dtype)
    masks = labels_to_tensor(torch.from_numpy(np.ascontiguousarray(trajectory.labels))[None]).to(device, dtype)
    image_latent, mask_latents = encoder.latents(first, [random]), encoder.latents(masks, [random])
    conditions = Conditions(
        concat=video_conditions(image_latent, mask_latents),
        text=encoder.text([""]),
        image_features=encoder.image_features(first),
        fps=torch.full((1,), config.fps, device=device),
        first=image_latent.unsqueeze(2),
    )
    latents = stage.generate(scheduler, mask_latents.shape, [conditions], [], 0.0, random, on_step)
    frames = encoder.codec.decode(latents)[0].transpose(0, 1)
    if reference_decoder is not None:
        frames = sharpen(reference_decoder, frames, first, masks[0].transpose(0, 1))
    pixels: UInt8Array = ((frames.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def sharpen(decoder: ReferenceDecoder, frames: torch.Tensor, first: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Decoded frames [T, 3, H, W] with the first frame [1, 3, H, W] as reference; masks [T, 3, H, W]."""
    outputs = [
        decoder(frame, first, mask, masks[:1]) for frame, mask in zip(frames.split(1), masks.split(1), strict=True)
    ]
    return torch.cat(outputs)
