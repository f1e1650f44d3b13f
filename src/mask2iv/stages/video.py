"""Stage 2: from first frame and mask trajectory to a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mask2iv.conditions import Conditions, video_conditions
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.masks import labels_to_tensor
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import OnStep, SamplingPlan, SharedEncoder, image_tensor, join_conditions, stage_generator
from mask2iv.stages.stage import Stage


@dataclass(frozen=True)
class VideoRequest:
    """One video to render: its first frame, uint8 [H, W, 3], and a trajectory, whose size is the video's."""

    image: UInt8Array
    trajectory: Trajectory

    @property
    def pixels(self) -> tuple[torch.Tensor, torch.Tensor]:
        """First frame [1, 3, H, W] and painted trajectory [1, 3, T, H, W], float in [-1, 1]."""
        labels = torch.from_numpy(np.ascontiguousarray(self.trajectory.labels))
        return image_tensor(self.image, self.trajectory.size), labels_to_tensor(labels[None])


@torch.no_grad()
def render_videos(
    stage: Stage,
    encoder: SharedEncoder,
    reference_decoder: ReferenceDecoder | None,
    plan: SamplingPlan,
    config: PipelineConfig,
    requests: Sequence[VideoRequest],
    seeds: Sequence[int],
) -> list[UInt8Array]:
    """Sample one video per request, uint8 [T, H, W, 3], each from its own seed.

    Raises:
        InputError: a trajectory has another number of frames than the model.
    """
    for request in requests:
        if request.trajectory.num_frames != config.num_frames:
            raise InputError(
                f"trajectory has {request.trajectory.num_frames} frames, this model renders {config.num_frames}; "
                "resample it"
            )

    def render(batch: list[int], on_step: OnStep) -> list[UInt8Array]:
        randoms = [stage_generator(seeds[index], 2) for index in batch]
        pixels = [requests[index].pixels for index in batch]
        conditions = join_conditions(
            [
                _conditions(encoder, config, first, masks, random)
                for (first, masks), random in zip(pixels, randoms, strict=True)
            ]
        )
        shape = (len(batch), encoder.codec.latent_channels, *conditions.concat.shape[2:])
        latents = stage.generate(plan.scheduler, shape, [conditions], [], 0.0, randoms, on_step)
        videos = []
        for decoded, (first, masks) in zip(encoder.codec.decode(latents), pixels, strict=True):
            frames = decoded.transpose(0, 1)
            if reference_decoder is not None:
                painted = encoder.place(masks)[0].transpose(0, 1)
                frames = sharpen(reference_decoder, frames, encoder.place(first), painted)
            videos.append(_bytes(frames))
        return videos

    return plan.run([request.trajectory.size for request in requests], render)


def _conditions(
    encoder: SharedEncoder, config: PipelineConfig, first: torch.Tensor, masks: torch.Tensor, random: torch.Generator
) -> Conditions:
    image_latent, mask_latents = encoder.latents(first, random), encoder.latents(masks, random)
    return Conditions(
        concat=video_conditions(image_latent, mask_latents),
        text=encoder.text(""),
        image_features=encoder.image_features(first),
        fps=torch.full((1,), config.fps, device=encoder.device),
        first=image_latent.unsqueeze(2),
    )


def _bytes(frames: torch.Tensor) -> UInt8Array:
    """Float [T, 3, H, W] in [-1, 1] to uint8 [T, H, W, 3]."""
    pixels: UInt8Array = ((frames.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def sharpen(decoder: ReferenceDecoder, frames: torch.Tensor, first: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Decoded frames [T, 3, H, W] with the first frame [1, 3, H, W] as reference; masks [T, 3, H, W]."""
    outputs = [
        decoder(frame, first, mask, masks[:1]) for frame, mask in zip(frames.split(1), masks.split(1), strict=True)
    ]
    return torch.cat(outputs)
