"""Image features to context tokens: learnt queries that attend to the features of one image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.attention import fused_attention
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig
from mask2iv.errors import InputError


class ResamplerAttention(nn.Module):
    """Latents attend to the image features and to themselves together."""

    def __init__(self, dim: int, dim_head: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_image = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim, bias=False)

    def forward(self, image: Tensor, latents: Tensor) -> Tensor:
        """image [B, S, dim], latents [B, N, dim] -> [B, N, dim]."""
        latents = self.norm_latents(latents)
        key_value = self.to_kv(torch.cat([self.norm_image(image), latents], dim=1))
        query, key, value = (
            tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for tokens in (self.to_q(latents), *key_value.chunk(2, dim=-1))
        )
        out = fused_attention(query, key, value)
        result: Tensor = self.to_out(out.transpose(1, 2).flatten(2))
        return result


class ResamplerLayer(nn.Module):
    """Attention, then feed-forward, each added to the latents."""

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.attention = ResamplerAttention(config.dim, config.dim_head, config.heads)
        self.norm = nn.LayerNorm(config.dim)
        self.ff_in = nn.Linear(config.dim, config.ff_mult * config.dim, bias=False)
        self.ff_out = nn.Linear(config.ff_mult * config.dim, config.dim, bias=False)

    def feed_forward(self, latents: Tensor) -> Tensor:
        """[B, N, dim] -> [B, N, dim]."""
        result: Tensor = self.ff_out(F.gelu(self.ff_in(self.norm(latents))))
        return result

    def forward(self, image: Tensor, latents: Tensor) -> Tensor:
        latents = latents + self.attention(image, latents)
        return latents + self.feed_forward(latents)


class Resampler(nn.Module):
    """Turns the features of one image into ``num_queries`` context tokens for each of ``video_length`` frames.

    Args:
        config: sizes.
    """

    def __init__(self, config: ResamplerConfig) -> None:
        super().__init__()
        self.config = config
        queries = config.num_queries * config.video_length
        self.latents = nn.Parameter(torch.randn(1, queries, config.dim) / config.dim**0.5)
        self.proj_in = nn.Linear(config.embedding_dim, config.dim)
        self.layers = nn.ModuleList(ResamplerLayer(config) for _ in range(config.depth))
        self.proj_out = nn.Linear(config.dim, config.output_dim)
        self.norm_out = nn.LayerNorm(config.output_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Image features [B, S, embedding_dim], any S, to tokens [B, video_length * num_queries, output_dim].

        The tokens are frame-major: the first ``num_queries`` belong to the first frame.

        Raises:
            InputError: features of another rank or width.
        """
        if image.ndim != 3 or image.shape[2] != self.config.embedding_dim:
            raise InputError(
                "image", f"Resampler expects features [B, S, {self.config.embedding_dim}], found {list(image.shape)}"
            )
        features = self.proj_in(image.to(self.proj_in.weight.dtype))
        latents = self.latents.expand(image.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(features, latents)
        result: Tensor = self.norm_out(self.proj_out(latents))
        return result
