"""Encoded inputs, shared by the outputs that need the same ones, and gathered into batches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from diffusers import AutoencoderDC

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder, Conditions
from mask2iv.contract import UInt8Array
from mask2iv.models.autoencoder import LatentCodec
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import SamplingOptions


class SharedEncoder:
    """Encodes each image, mask and prompt of a pipeline call once, however many outputs need it.

    Images and labels are known by their array: outputs share what they hold in common, as a scene's outputs do.

    Args:
        encoder: does the encoding, one input at a time, so that a shared input has the numbers it has alone.
        read: maps a prompt to the text that is encoded.
    """

    def __init__(self, encoder: ConditionEncoder, read: Callable[[str], str] = str) -> None:
        self._encoder, self._read = encoder, read
        # With each entry the array that it was made of: while that lives, its id means no other one.
        self._known: dict[Hashable, tuple[UInt8Array | None, torch.Tensor]] = {}

    @property
    def codec(self) -> LatentCodec:
        """Pixels to latents and back."""
        return self._encoder.codec

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self._encoder.device

    def forget(self) -> None:
        """End of a call: nothing is kept for the next one, whose networks may be others."""
        self._known.clear()

    def text(self, prompt: str) -> torch.Tensor:
        """Text tokens [1, L, D]."""
        return self._once(("text", prompt), None, lambda: self._encoder.text([self._read(prompt)]))

    def image_features(self, image: UInt8Array) -> torch.Tensor:
        """CLIP image tokens [1, Li, Dv] of an image uint8 [H, W, 3]."""
        return self._once(
            ("features", id(image)), image, lambda: self._encoder.image_features(self._place(image_tensor(image)))
        )

    def no_image_features(self, size: tuple[int, int]) -> torch.Tensor:
        """CLIP image tokens [1, Li, Dv] of an all-zero image of `size` (H, W)."""
        return self._once(
            ("no features", size), None, lambda: self._encoder.image_features(self._place(torch.zeros(1, 3, *size)))
        )

    def image_latents(self, image: UInt8Array, generator: torch.Generator) -> torch.Tensor:
        """Scaled latents [1, C, h, w] of an image uint8 [H, W, 3]. Only a variational autoencoder uses `generator`."""
        return self._latents("image", image, image_tensor, generator)

    def mask_latents(self, labels: UInt8Array, generator: torch.Generator) -> torch.Tensor:
        """Scaled latents [1, C, (T,) h, w] of labels uint8 [(T,) H, W], painted in the model's colours."""
        return self._latents("masks", labels, self._painted, generator)

    def painted_latents(self, frames: UInt8Array, generator: torch.Generator) -> torch.Tensor:
        """Scaled latents [1, C, T, h, w] of a painted trajectory, uint8 [T, H, W, 3]."""
        return self._latents("painted", frames, _video_tensor, generator)

    def _latents(
        self,
        kind: str,
        array: UInt8Array,
        pixels: Callable[[UInt8Array], torch.Tensor],
        generator: torch.Generator,
    ) -> torch.Tensor:
        # A variational autoencoder draws latents from each output's own generator: not to be shared.
        if not isinstance(self.codec.autoencoder, AutoencoderDC):
            return self._encoder.latents(self._place(pixels(array)), [generator])
        return self._once((kind, id(array)), array, lambda: self._encoder.latents(self._place(pixels(array))))

    def _painted(self, labels: UInt8Array) -> torch.Tensor:
        """Labels [H, W] or [T, H, W] in the model's colours, float [1, 3, H, W] or [1, 3, T, H, W]."""
        painted = self._encoder.paint(torch.from_numpy(np.ascontiguousarray(labels.reshape(1, -1, *labels.shape[-2:]))))
        return painted[:, :, 0] if labels.ndim == 2 else painted

    def _place(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.to(self._encoder.device, self._encoder.dtype)

    def _once(self, key: Hashable, source: UInt8Array | None, encode: Callable[[], torch.Tensor]) -> torch.Tensor:
        if key not in self._known:
            self._known[key] = source, encode()
        return self._known[key][1]


def image_tensor(image: UInt8Array) -> torch.Tensor:
    """uint8 [H, W, 3] to float [1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().unsqueeze(0) / 127.5 - 1.0


def _video_tensor(frames: UInt8Array) -> torch.Tensor:
    """uint8 [T, H, W, 3] to float [1, 3, T, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float().unsqueeze(0) / 127.5 - 1.0


def join_conditions(parts: Sequence[Conditions]) -> Conditions:
    """The samples of several conditions of the same sizes in one batch."""
    if len(parts) == 1:
        return parts[0]
    return Conditions(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Conditions)})


def unprompted(
    encoder: SharedEncoder, config: PipelineConfig, conditions: Conditions, size: tuple[int, int]
) -> Conditions:
    """The branch that guidance by text departs from: an empty prompt and, by choice, an all-zero image for CLIP.

    Args:
        encoder: encodes both.
        config: its ``drop_image_in_guidance`` decides whether the image is left out.
        conditions: of one sample with its prompt.
        size: (H, W) of its image in pixels.
    """
    features = encoder.no_image_features(size) if config.drop_image_in_guidance else conditions.image_features
    return replace(conditions, text=encoder.text(""), image_features=features)


def stacked(options: SamplingOptions, encoder: SharedEncoder) -> bool:
    """Whether the guidance branches of an output go through the network as one batch.

    A GPU wants few large calls. A CPU gains nothing from them, and separate calls keep a single output's bits.
    """
    return options.batch_size > 1 or encoder.device.type == "cuda"
