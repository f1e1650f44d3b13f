"""Encoded inputs, shared by the outputs that ask for the same ones, and gathered into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from diffusers import AutoencoderDC

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder, Conditions
from mask2iv.stages.config import PipelineConfig


class SharedEncoder:
    """Encodes each distinct image, mask and prompt once, however many outputs ask for it. One per pipeline call.

    Args:
        encoder: does the encoding, of one input at a time; so what is shared has the numbers it has alone.
        read: what is encoded of a prompt.
    """

    def __init__(self, encoder: ConditionEncoder, read: Callable[[str], str] = str) -> None:
        self.codec, self.device, self.dtype = encoder.codec, encoder.device, encoder.dtype
        self._encoder, self._read = encoder, read
        # A variational autoencoder draws latents from each output's own generator: not to be shared.
        self._deterministic = isinstance(encoder.codec.autoencoder, AutoencoderDC)
        self._known: dict[Hashable, torch.Tensor] = {}

    def text(self, prompt: str) -> torch.Tensor:
        """Text tokens [1, L, D]."""
        return self._once(prompt, lambda: self._encoder.text([self._read(prompt)]))

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """CLIP image tokens [1, Li, Dv] of CPU pixels [1, 3, H, W] in [-1, 1]."""
        return self._once(("features", *_digest(pixels)), lambda: self._encoder.image_features(self.place(pixels)))

    def latents(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Scaled latents [1, C, (T,) h, w] of CPU pixels [1, 3, (T,) H, W] in [-1, 1].

        `generator` is drawn from by a variational autoencoder only.
        """
        if not self._deterministic:
            return self._encoder.latents(self.place(pixels), [generator])
        return self._once(("latents", *_digest(pixels)), lambda: self._encoder.latents(self.place(pixels)))

    def place(self, pixels: torch.Tensor) -> torch.Tensor:
        """The pixels in the networks' precision and on their device."""
        return pixels.to(self.device, self.dtype)

    def _once(self, key: Hashable, encode: Callable[[], torch.Tensor]) -> torch.Tensor:
        if key not in self._known:
            self._known[key] = encode()
        return self._known[key]


def _digest(pixels: torch.Tensor) -> tuple[Hashable, ...]:
    return tuple(pixels.shape), hashlib.sha256(np.ascontiguousarray(pixels.numpy()).data).digest()


def join_conditions(parts: Sequence[Conditions]) -> Conditions:
    """The samples of several conditions of the same sizes in one batch."""
    if len(parts) == 1:
        return parts[0]
    return Conditions(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Conditions)})


def unprompted(
    encoder: SharedEncoder, config: PipelineConfig, conditions: Conditions, image: torch.Tensor
) -> Conditions:
    """The branch that guidance by text departs from: an empty prompt and, by choice, an all-zero image to CLIP.

    Args:
        encoder: encodes both.
        config: says whether the image is left out.
        conditions: of one sample with its prompt.
        image: CPU pixels [1, 3, H, W] of that sample.
    """
    seen = conditions.image_features
    if config.drop_image_in_guidance:
        seen = encoder.image_features(torch.zeros_like(image))
    return replace(conditions, text=encoder.text(""), image_features=seen)
