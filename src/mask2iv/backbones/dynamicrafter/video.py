"""Stage 2 of the paper: from first frame and mask trajectory to a video."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions, video_conditions
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder, join_conditions, stacked, unprompted
from mask2iv.backbones.dynamicrafter.sizes import video_channels
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.models.palette import chosen_palette
from mask2iv.models.reference import FirstFrame, ReferenceDecoder
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import SamplingOptions, VideoRequest
from mask2iv.stages.sampling import OnStep, sample_in_batches, stage_generator


@dataclass(frozen=True, eq=False)
class DiffusionRenderer:
    """The :class:`~mask2iv.stages.interfaces.VideoRenderer` that samples videos by diffusion.

    Attributes:
        stage: the trained networks.
        encoder: encodes the conditions, and decodes the videos.
        reference_decoder: sharpens them with the first frame; None leaves them as they are.
        config: sizes, conditioning, sampling defaults.
        solver: the scheduler of a name, or the model's own for None.
    """

    stage: Stage
    encoder: SharedEncoder
    reference_decoder: ReferenceDecoder | None
    config: PipelineConfig
    solver: Callable[[str | None], Any]

    @property
    def size_multiple(self) -> int:
        """See the interface."""
        multiple = self.encoder.codec.factor * self.stage.unet.config.size_multiple
        return multiple if self.reference_decoder is None else math.lcm(multiple, self.reference_decoder.size_multiple)

    @property
    def takes_masks(self) -> bool:
        """See the interface."""
        return self.config.video_conditioning.takes_masks

    @property
    def takes_text(self) -> bool:
        """See the interface."""
        return self.config.video_conditioning.text

    @property
    def num_frames(self) -> int:
        """See the interface."""
        return self.config.num_frames

    @torch.no_grad()
    def render(
        self, requests: Sequence[VideoRequest], seeds: Sequence[int], options: SamplingOptions
    ) -> list[UInt8Array]:
        """See the interface."""
        scheduler, config = self.solver(options.sampler), self.config
        steps = options.steps or config.video_num_inference_steps

        def render(batch: list[int], on_step: OnStep) -> list[UInt8Array]:
            randoms = [stage_generator(seeds[index], 2) for index in batch]
            shown = [self._shown(requests[index]) for index in batch]
            prepared = [
                self._branches(requests[index], labels, random)
                for index, labels, random in zip(batch, shown, randoms, strict=True)
            ]
            branches = [join_conditions(parts) for parts in zip(*prepared, strict=True)]
            scales = [config.video_guidance_scale] * (len(branches) - 1)
            shape = (len(batch), self.encoder.codec.latent_channels, *branches[0].concat.shape[2:])
            # Solvers of several steps keep what they saw; this makes them forget it.
            scheduler.set_timesteps(steps)
            latents = self.stage.generate(
                scheduler,
                shape,
                branches,
                scales,
                config.guidance_rescale,
                randoms,
                on_step,
                stack=stacked(options, self.encoder),
            )
            decoded = self.encoder.codec.decode(latents)
            return [
                self._finished(frames.transpose(0, 1), requests[index].image, labels)
                for frames, index, labels in zip(decoded, batch, shown, strict=True)
            ]

        return sample_in_batches([request.size for request in requests], options, render)

    def _shown(self, request: VideoRequest) -> UInt8Array:
        """The labels that the model may see, uint8 [T, H, W]."""
        if request.trajectory is None:
            return np.zeros((self.config.num_frames, *request.size), dtype=np.uint8)
        labels = np.ascontiguousarray(request.trajectory.labels)
        shown: UInt8Array = self.config.video_conditioning.shown(torch.from_numpy(labels)).numpy()
        return shown

    def _branches(self, request: VideoRequest, labels: UInt8Array, random: torch.Generator) -> list[Conditions]:
        """Conditions from least to most conditioned: where there is guidance by text, without and with the prompt."""
        encoder, config = self.encoder, self.config
        conditioning = config.video_conditioning
        image_latent = encoder.image_latents(request.image, random)
        mask_latents = self._mask_latents(request, labels, random) if conditioning.takes_masks else None
        complete = Conditions(
            concat=video_conditions(conditioning, image_latent, mask_latents, config.num_frames),
            text=encoder.text(request.prompt),
            image_features=encoder.image_features(request.image),
            fps=torch.full((1,), config.fps, device=encoder.device),
            first=image_latent.unsqueeze(2),
        )
        if not conditioning.text or config.video_guidance_scale == 1:
            return [complete]
        return [unprompted(encoder, config, complete, request.size), complete]

    def _mask_latents(self, request: VideoRequest, labels: UInt8Array, random: torch.Generator) -> torch.Tensor:
        """Latents [1, C, T, h, w] of the masks: of the colours that stage 1 painted, where this model knows them."""
        painted = None if request.trajectory is None else request.trajectory.painted
        sees_all = self.config.video_conditioning.masks == "actor+object"
        if painted is not None and sees_all and self.config.snapping == "channels":
            return self.encoder.painted_latents(painted, random)
        return self.encoder.mask_latents(labels, random)

    def _finished(self, frames: torch.Tensor, image: UInt8Array, labels: UInt8Array) -> UInt8Array:
        """Decoded frames [T, 3, H, W] in [-1, 1] as a video, finished by the reference decoder where there is one."""
        if self.reference_decoder is not None:
            frames = sharpen(self.reference_decoder, frames, image, torch.from_numpy(labels))
        return image_bytes(frames)


def check_video_networks(config: PipelineConfig, unet: VideoUNet, controlnet: ControlNet | None) -> None:
    """Whether stage 2's networks are those of ``config.video_conditioning``.

    Raises:
        InputError: they are not; the folder's index and weights do not belong together.
    """
    conditioning = config.video_conditioning
    wanted, found = video_channels(conditioning, unet.config.out_channels), unet.config.in_channels
    mismatch = "the folder's model_index.json and its weights do not belong together; import or train the model again"
    if wanted != found:
        raise InputError(
            "video_unet", f"it has {found} input channels, but the model's video_conditioning needs {wanted}", mismatch
        )
    if (conditioning.control == "controlnet") != (controlnet is not None):
        raise InputError(
            "video_conditioning.control",
            f"it is {conditioning.control!r}, but the folder holds {'no' if controlnet is None else 'a'} "
            "video_controlnet",
            mismatch,
        )
    if not conditioning.frames_together and unet.config.mixes_frames:
        raise InputError(
            "video_conditioning.frames_together", "it is false, but the video_unet has temporal layers", mismatch
        )


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
