"""Autoencoders and the one place where pixels become scaled latents and back.

`AutoencoderKL` (DynamiCrafter, Mask2IV) returns a posterior, which is sampled even for conditions. `AutoencoderDC` (the
embedded model) is deterministic; its space-to-depth stem avoids full-resolution convolutions.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC
from einops import rearrange
from torch import nn

from mask2iv.errors import InputError

Autoencoder = Any
"""An instance of diffusers' AutoencoderKL or AutoencoderDC (mypy cannot follow diffusers' lazy imports)."""


class LatentCodec(nn.Module):
    """Converts pixels to scaled latents and back.

    Latents are the encoder's output times ``scaling_factor``, so that their standard deviation is about 1.
    Images are encoded in chunks of `chunk` frames.

    Args:
        autoencoder: a diffusers autoencoder.
        patch: groups patch x patch latent cells into one with patch**2 times the channels (as DiT patchifies), so that
            a small U-Net runs on a coarser grid; 1 in the original models.
        chunk: images per network call. With 1, no result depends on what else is in the batch.
    """

    def __init__(self, autoencoder: Autoencoder, patch: int = 1, chunk: int = 1) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.patch = patch
        self.chunk = chunk

    @property
    def scaling_factor(self) -> float:
        """Latents are the encoder's output times this."""
        return float(self.autoencoder.config["scaling_factor"])

    @property
    def latent_channels(self) -> int:
        """Channels (C) of the latents, after patching."""
        return int(self.autoencoder.config["latent_channels"]) * self.patch**2

    @property
    def factor(self) -> int:
        """Pixels per latent cell along each side, after patching."""
        channels = self.autoencoder.config.get("block_out_channels")
        # AutoencoderKL halves the size between its levels; AutoencoderDC states its factor.
        ratio = 2 ** (len(channels) - 1) if channels else self.autoencoder.spatial_compression_ratio
        return int(ratio) * self.patch

    def set_tiling(self, size: int | None) -> None:
        """Encode and decode pictures larger than `size` pixels in blended square tiles; None turns tiling off.

        The tiles overlap by a quarter. Memory then grows with the tile, not with the picture.

        Raises:
            InputError: a size that is not a multiple of four latent cells.
        """
        vae: Any = self.autoencoder
        if size is None:
            vae.use_tiling = False
            return
        cell = self.factor // self.patch
        if size < 4 * cell or size % (4 * cell):
            raise InputError("tile_size", f"must be a multiple of {4 * cell} for this model, found {size}")
        stride = size * 3 // 4
        if isinstance(self.autoencoder, AutoencoderDC):
            vae.enable_tiling(size, size, stride, stride)
            return
        vae.enable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = size, size // cell, 0.25

    def encode(self, images: torch.Tensor, generators: list[torch.Generator] | None = None) -> torch.Tensor:
        """Encode images [B, 3, H, W] or videos [B, 3, T, H, W], float in [-1, 1], to latents [B, C, (T,) h, w].

        A variational autoencoder samples its posterior with `generators`, one per sample (the original never takes the
        mean); a deterministic autoencoder ignores them.

        Raises:
            InputError: H or W is not divisible by `factor`.
        """
        if images.shape[-2] % self.factor or images.shape[-1] % self.factor:
            raise InputError(
                f"size {images.shape[-2]}x{images.shape[-1]}",
                f"the height and width of images must be multiples of {self.factor}",
                "choose a size that fits",
            )
        frames = rearrange(images, "b c t h w -> b t c h w") if images.ndim == 5 else images[:, None]
        if isinstance(self.autoencoder, AutoencoderDC):
            parts = frames.flatten(0, 1).split(self.chunk)
            rows = torch.cat([self._encode_chunk(part, None) for part in parts]).unflatten(0, frames.shape[:2])
        else:
            noise: list[torch.Generator | None] = [*generators] if generators else [None] * len(frames)
            rows = torch.stack(
                [
                    torch.cat([self._encode_chunk(part, generator) for part in sample.split(self.chunk)])
                    for sample, generator in zip(frames, noise, strict=True)
                ]
            )
        latents = rows * self.scaling_factor
        return rearrange(latents, "b t c h w -> b c t h w") if images.ndim == 5 else latents[:, 0]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents [B, C, (T,) h, w] to images [B, 3, (T,) H, W], float, clamped to [-1, 1]."""
        frames = rearrange(latents, "b c t h w -> (b t) c h w") if latents.ndim == 5 else latents
        parts = [self.decode_raw(part) for part in frames.split(self.chunk)]
        images = torch.cat(parts).clamp(-1.0, 1.0)
        return rearrange(images, "(b t) c h w -> b c t h w", b=latents.shape[0]) if latents.ndim == 5 else images

    def decode_raw(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode [N, C, h, w] in one call, without clamping (training needs the gradient)."""
        cells = F.pixel_shuffle(latents / self.scaling_factor, self.patch)
        return cast(torch.Tensor, self.autoencoder.decode(cells, return_dict=False)[0])

    def _encode_chunk(self, images: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        encoded = self.autoencoder.encode(images, return_dict=False)[0]
        # AutoencoderKL returns a distribution, AutoencoderDC the latents themselves.
        latents = encoded if isinstance(encoded, torch.Tensor) else encoded.sample(generator)
        return F.pixel_unshuffle(latents, self.patch)


def embedded_autoencoder(
    latent_channels: int,
    encoder_widths: tuple[int, ...],
    encoder_layers: tuple[int, ...],
    decoder_widths: tuple[int, ...],
    decoder_layers: tuple[int, ...],
) -> Autoencoder:
    """The embedded model's autoencoder: f8, with a space-to-depth stem instead of full-resolution layers.

    Widths and layers are those at 1/2, 1/4 and 1/8 of the resolution.
    """
    # The leading (width, 0 layers) pair tells AutoencoderDC to begin with a space-to-depth stem.
    none: tuple[Any, ...] = ((),) * (len(encoder_widths) + 1)
    return AutoencoderDC(
        latent_channels=latent_channels,
        attention_head_dim=32,
        encoder_block_out_channels=(encoder_widths[0], *encoder_widths),
        decoder_block_out_channels=(decoder_widths[0], *decoder_widths),
        encoder_layers_per_block=(0, *encoder_layers),
        decoder_layers_per_block=(0, *decoder_layers),
        encoder_qkv_multiscales=none,
        decoder_qkv_multiscales=none,
        scaling_factor=1.0,
    )
