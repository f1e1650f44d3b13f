"""Stage 2: from first frame and mask trajectory to a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions, video_channels, video_conditions
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder, join_conditions, unprompted
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.models.palette import chosen_palette
from mask2iv.models.reference import FirstFrame, ReferenceDecoder
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import OnStep, SamplingPlan, image_tensor, stage_generator
from mask2iv.trajectories.labels import labels_to_tensor


@dataclass(frozen=True)
class VideoRequest:
    """One video to render.

    Attributes:
        image: first frame, uint8 [H, W, 3].
        trajectory: what the video shall follow; its size is the video's. None for a model that takes no masks.
        prompt: "" for none.
        size: (height, width) of the video.
    """

    image: UInt8Array
    trajectory: Trajectory | None
    prompt: str
    size: tuple[int, int]

    def inputs(self, config: PipelineConfig) -> tuple[torch.Tensor, torch.Tensor]:
        """First frame, float [1, 3, H, W] in [-1, 1], and the labels that the model may see, uint8 [1, T, H, W]."""
        if self.trajectory is None:
            labels = torch.zeros(1, config.num_frames, *self.size, dtype=torch.uint8)
        else:
            labels = torch.from_numpy(np.ascontiguousarray(self.trajectory.labels))[None]
        return image_tensor(self.image, self.size), config.video_conditioning.shown(labels)


def check_video_networks(config: PipelineConfig, unet: VideoUNet, controlnet: ControlNet | None) -> None:
    """Whether stage 2's networks are those of ``config.video_conditioning``.

    Raises:
        InputError: they are not; the folder's index and weights do not belong together.
    """
    conditioning = config.video_conditioning
    wanted, found = video_channels(conditioning, unet.config.out_channels), unet.config.in_channels
    if wanted != found:
        raise InputError(
            f"video_unet has {found} input channels, but the model's video_conditioning needs {wanted}; the folder's "
            "model_index.json and its weights do not belong together"
        )
    if (conditioning.control == "controlnet") != (controlnet is not None):
        raise InputError(
            f"the model's video_conditioning.control is {conditioning.control!r}, but its folder holds "
            f"{'no' if controlnet is None else 'a'} video_controlnet"
        )
    if not conditioning.frames_together and unet.config.mixes_frames:
        raise InputError(
            "the model's video_conditioning makes each frame by itself, but its video_unet has temporal layers"
        )


def video_inputs(config: PipelineConfig, trajectory: Any, prompt: Any) -> dict[str, Any]:
    """`trajectory` and `prompt` (one or a list of each) as ``render`` wants them: None for what is not taken.

    For callers that put different systems to the same task.
    """
    conditioning = config.video_conditioning
    return {
        "trajectory": trajectory if conditioning.takes_masks else None,
        "prompt": prompt if conditioning.text else None,
    }


def video_requests(
    config: PipelineConfig,
    images: Sequence[UInt8Array],
    trajectories: Sequence[Trajectory | None],
    prompts: Sequence[str | None],
    size: tuple[int, int],
) -> list[VideoRequest]:
    """One request per image; `size` where there is no trajectory.

    Raises:
        InputError: a trajectory is missing or has another number of frames than the model, a prompt is missing, or one
            of the two is given to a model that does not take it.
    """
    conditioning = config.video_conditioning
    for trajectory, prompt in zip(trajectories, prompts, strict=True):
        if conditioning.takes_masks and trajectory is None:
            raise InputError("trajectory: this model's stage 2 follows masks; give a trajectory for every image")
        if trajectory is not None and not conditioning.takes_masks:
            raise InputError("trajectory: this model's stage 2 takes no masks; leave it out")
        if conditioning.text and not prompt:
            raise InputError("prompt: this model's stage 2 takes one; give a prompt for every image")
        if prompt and not conditioning.text:
            raise InputError("prompt: this model's stage 2 takes none; leave it out")
        if trajectory is not None and trajectory.num_frames != config.num_frames:
            raise InputError(
                f"trajectory has {trajectory.num_frames} frames, this model renders {config.num_frames}; resample it"
            )
    return [
        VideoRequest(image, trajectory, prompt or "", size if trajectory is None else trajectory.size)
        for image, trajectory, prompt in zip(images, trajectories, prompts, strict=True)
    ]


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
    """Sample one video per request, uint8 [T, H, W, 3], each from its own seed."""

    def render(batch: list[int], on_step: OnStep) -> list[UInt8Array]:
        randoms = [stage_generator(seeds[index], 2) for index in batch]
        inputs = [requests[index].inputs(config) for index in batch]
        prepared = [
            _branches(encoder, config, requests[index].prompt, first, labels_to_tensor(labels), random)
            for index, (first, labels), random in zip(batch, inputs, randoms, strict=True)
        ]
        branches = [join_conditions(parts) for parts in zip(*prepared, strict=True)]
        scales = [config.video_guidance_scale] * (len(branches) - 1)
        shape = (len(batch), encoder.codec.latent_channels, *branches[0].concat.shape[2:])
        latents = stage.generate(
            plan.scheduler, shape, branches, scales, config.guidance_rescale, randoms, on_step, stack=plan.stack
        )
        videos = []
        for decoded, (first, labels) in zip(encoder.codec.decode(latents), inputs, strict=True):
            frames = decoded.transpose(0, 1)
            if reference_decoder is not None:
                frames = sharpen(reference_decoder, frames, image_bytes(first)[0], labels[0])
            videos.append(image_bytes(frames))
        return videos

    return plan.run([request.size for request in requests], render)


def _branches(
    encoder: SharedEncoder,
    config: PipelineConfig,
    prompt: str,
    first: torch.Tensor,
    masks: torch.Tensor,
    random: torch.Generator,
) -> list[Conditions]:
    """Conditions from least to most conditioned: where there is guidance by text, without and with the prompt."""
    conditioning = config.video_conditioning
    image_latent = encoder.latents(first, random)
    mask_latents = encoder.latents(masks, random) if conditioning.takes_masks else None
    complete = Conditions(
        concat=video_conditions(conditioning, image_latent, mask_latents, config.num_frames),
        text=encoder.text(prompt),
        image_features=encoder.image_features(first),
        fps=torch.full((1,), config.fps, device=encoder.device),
        first=image_latent.unsqueeze(2),
    )
    if not conditioning.text or config.video_guidance_scale == 1:
        return [complete]
    return [unprompted(encoder, config, complete, first), complete]


def image_bytes(frames: torch.Tensor) -> UInt8Array:
    """Float [T, 3, H, W] in [-1, 1] to uint8 [T, H, W, 3]."""
    pixels: UInt8Array = ((frames.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def sharpen(decoder: ReferenceDecoder, frames: torch.Tensor, image: UInt8Array, labels: torch.Tensor) -> torch.Tensor:
    """Decoded frames [T, 3, H, W] finished with the first frame uint8 [H, W, 3]; labels uint8 [T, H, W]."""
    palette = chosen_palette(decoder.bank, image, image_bytes(frames), labels.numpy())
    first = FirstFrame.of(image, labels.numpy(), palette, frames)
    finished: torch.Tensor = decoder(frames[None], labels[None].to(frames.device), first)[0]
    return finished
