"""Conditions of both stages: encoded once, by the same code, for training and for generation.

`ConditionEncoder` turns pixels and words into latents and tokens with the frozen networks; `trajectory_conditions` and
`video_conditions` arrange these into what the UNet receives. Training feeds them from a cache, generation directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import nn
from transformers import CLIPTextModel, CLIPVisionModel, PreTrainedTokenizerBase

from mask2iv.errors import InputError
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.models.image import preprocess_clip_image
from mask2iv.models.text import encode_image, encode_text
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning
from mask2iv.trajectories.labels import Snapping, labels_to_tensor


@dataclass(frozen=True)
class Conditions:
    """The conditions of a stage's UNet.

    Attributes:
        concat: float [B, Cc, T, h, w], joined to the noisy latents along the channels.
        text: float [B, L, D], text tokens.
        image_features: float [B, Li, Dv], CLIP image tokens of the first frame, before the resampler.
        fps: float [B].
        first: float [B, C, 1, h, w], latent of the first frame of what is generated: the first-frame mask in stage 1,
            the image in stage 2.
    """

    concat: torch.Tensor
    text: torch.Tensor
    image_features: torch.Tensor
    fps: torch.Tensor
    first: torch.Tensor

    def __getitem__(self, index: slice) -> Conditions:
        return Conditions(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def with_new_channels(weight: torch.Tensor, count: int, copy: bool = False) -> torch.Tensor:
    """An image-to-video network's first convolution with more input channels behind its own, [O, 2 C + N, k, k].

    Its weights stay with the first 2 C channels in both stages, as in the official code, whatever these channels are
    there. In stage 2 they are noisy and image latent, as before. In stage 1 the second C are the mask condition, which
    so begins with the image's weights, while the image latent comes last and begins with the new ones.

    Args:
        weight: of the convolution of [noisy latent, image latent], [O, 2 C, k, k].
        count: N, new channels; with `copy` a multiple of C.
        copy: give each C new channels the image latent's weights instead of zeros.
    """
    channels = weight.shape[1] // 2
    if copy:
        return torch.cat([weight, weight[:, channels:].repeat(1, count // channels, 1, 1)], dim=1)
    return torch.cat([weight, weight.new_zeros(weight.shape[0], count, *weight.shape[2:])], dim=1)


def trajectory_conditions(
    layout: MaskLayout,
    mask_latent: torch.Tensor,
    target_latent: torch.Tensor,
    has_target: torch.Tensor,
    image_latent: torch.Tensor,
    num_frames: int,
) -> torch.Tensor:
    """The concatenated channels of stage 1, float [B, Cc, T, h, w].

    Layouts (paper, section 3.2, and this project's own):

    - "text": first-frame mask latent on all frames, image latent on all frames.
    - "position": zero but first frame (first-frame mask) and last frame (target mask), image latent.
    - "joint": first-frame mask latent on all frames, target latent on all frames (zero where no target is given), image
      latent. One model takes text, target or both.

    Args:
        layout: see above.
        mask_latent: latent of the first frame's mask, [B, C, h, w].
        target_latent: latent of the target-position mask (object only), [B, C, h, w]; ignored without target.
        has_target: bool [B].
        image_latent: latent of the first frame, [B, C, h, w].
        num_frames: T.

    Raises:
        InputError: layout "position" with a sample that has no target, or an unknown layout.
    """
    everywhere = (1, 1, num_frames, 1, 1)
    mask = mask_latent.unsqueeze(2)
    image = image_latent.unsqueeze(2).repeat(everywhere)
    target = (target_latent * has_target.to(target_latent.dtype).view(-1, 1, 1, 1)).unsqueeze(2)
    if layout == "text":
        return torch.cat([mask.repeat(everywhere), image], dim=1)
    if layout == "position":
        if not bool(has_target.all()):
            raise InputError(
                "target_mask", "this model's stage 1 is conditioned on position", "give a target mask for every sample"
            )
        between = torch.zeros_like(mask).repeat(1, 1, num_frames - 2, 1, 1)
        return torch.cat([torch.cat([mask, between, target], dim=2), image], dim=1)
    if layout == "joint":
        return torch.cat([mask.repeat(everywhere), target.repeat(everywhere), image], dim=1)
    raise InputError("mask_layout", f"must be 'joint', 'text' or 'position', found {layout!r}")


def video_conditions(
    conditioning: VideoConditioning, image_latent: torch.Tensor, mask_latents: torch.Tensor | None, num_frames: int
) -> torch.Tensor:
    """The concatenated channels of stage 2, float [B, Cc, T, h, w].

    First the image latent, on all frames. With control "concat" or "controlnet" the mask latents come last (a
    :class:`~mask2iv.backbones.dynamicrafter.stage.Stage` with a ControlNet hands those to it). Where frames are made
    separately, the first frame's mask latent stands between, on all frames.

    Args:
        conditioning: the conditions of stage 2.
        image_latent: [B, C, h, w].
        mask_latents: of the masks it may see, [B, C, T, h, w]; ignored with control "none".
        num_frames: T.

    Raises:
        InputError: no mask latents although the network takes masks.
    """
    parts = [image_latent.unsqueeze(2).repeat(1, 1, num_frames, 1, 1)]
    if conditioning.takes_masks:
        if mask_latents is None:
            raise InputError("trajectory", "this model's stage 2 follows masks", "give a trajectory for every sample")
        if not conditioning.frames_together:
            parts.append(mask_latents[:, :, :1].repeat(1, 1, num_frames, 1, 1))
        parts.append(mask_latents)
    return torch.cat(parts, dim=1)


class ConditionEncoder(nn.Module):
    """The frozen encoders: autoencoder, CLIP text, CLIP image.

    Args:
        codec: pixels to latents.
        tokenizer, text_encoder, image_encoder: CLIP's.
        text_skip_last: text blocks left out at the end (1 for the official "penultimate" layer).
        snapping: the colours in which masks are painted; see :data:`mask2iv.trajectories.labels.Snapping`.
    """

    def __init__(
        self,
        codec: LatentCodec,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: CLIPTextModel,
        image_encoder: CLIPVisionModel,
        text_skip_last: int = 1,
        snapping: Snapping = "nearest",
    ) -> None:
        super().__init__()
        self.codec = codec
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.text_skip_last = text_skip_last
        self.snapping: Snapping = snapping
        self.execution_device: torch.device | None = None

    @property
    def device(self) -> torch.device:
        """Where inputs belong: with the weights, or where offloaded weights are brought to compute."""
        return self.execution_device or next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text tokens [B, L, D]; each prompt is encoded separately, so that batches cannot change the numbers."""
        return torch.cat(
            [encode_text(self.tokenizer, self.text_encoder, [prompt], self.text_skip_last) for prompt in prompts]
        )

    @torch.no_grad()
    def image_features(self, images: torch.Tensor) -> torch.Tensor:
        """CLIP image tokens [B, Li, Dv] of images [B, 3, H, W], float in [-1, 1]; all zero for "no image"."""
        size: int = self.image_encoder.config.image_size  # type: ignore[assignment]
        return torch.cat([encode_image(self.image_encoder, preprocess_clip_image(x, size)) for x in images.split(1)])

    def paint(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels uint8 [B, T, H, W] in the model's colours, float32 [B, 3, T, H, W] in [-1, 1]."""
        return labels_to_tensor(labels, self.snapping)

    @torch.no_grad()
    def latents(self, images: torch.Tensor, generators: list[torch.Generator] | None = None) -> torch.Tensor:
        """Scaled latents of images or videos; see :meth:`LatentCodec.encode`."""
        return self.codec.encode(images, generators)
