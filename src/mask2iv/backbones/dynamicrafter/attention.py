"""Spatial and temporal transformers of the video U-Net."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.layers import GroupNorm, accumulate, to_temporal, zero_init

TRANSFORMER_NORM_EPS = 1e-6

MAX_ROWS = 65535
"""Most rows of a CUDA kernel launch; temporal attention has one row per pixel of a sample."""

FEED_FORWARD_ROWS = 1024
"""Tokens that a feed-forward layer processes at a time on the CPU without gradients: its hidden values, eight times as
wide as the tokens, then fit in the cache and hardly add to the peak memory."""


class Context(NamedTuple):
    """The tokens that cross-attention attends to.

    Attributes:
        text: [B, text tokens, D], shared by all frames of a sample.
        image: [B*T, tokens, D], each frame's own, or [B, tokens, D], shared; None: no image tokens.
    """

    text: Tensor
    image: Tensor | None


def fused_attention(query: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
    """Scaled dot-product attention, [N, heads, L, d] over [N, heads, S, d] to [N, heads, L, d]."""
    if query.shape[0] > MAX_ROWS:
        parts = [torch.split(tensor, MAX_ROWS) for tensor in (query, key, value)]
        return torch.cat([fused_attention(q, k, v, causal) for q, k, v in zip(*parts, strict=True)])
    if query.device.type != "cpu" or query.dtype not in (torch.bfloat16, torch.float16):
        return F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    # The CPU kernel is no faster in half precision, and its backward pass several times slower on short sequences.
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=causal)
    return out.to(query.dtype)


class RelativePosition(nn.Module):
    """A learnt vector for each distance between two positions, clipped to ``max_distance`` either way."""

    def __init__(self, channels: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.empty(2 * max_distance + 1, channels))
        nn.init.xavier_uniform_(self.table)

    def forward(self, queries: int, keys: int) -> Tensor:
        """[queries, keys, channels]."""
        positions = torch.arange(max(queries, keys), device=self.table.device)
        distance = positions[None, :keys] - positions[:queries, None]
        vectors: Tensor = self.table[distance.clamp(-self.max_distance, self.max_distance) + self.max_distance]
        return vectors


class Attention(nn.Module):
    """Multi-head attention with an optional second set of keys and values for image tokens.

    The image part has its own softmax. Its result, multiplied by ``tanh(image_gate) + 1`` if that factor is learnt, is
    added to the text part's before the output projection.

    Args:
        channels: width of the queries and of the result.
        heads: number of heads.
        head_channels: width of each.
        context_dim: width of the tokens attended to; None: self-attention.
        image: whether there are image keys and values.
        image_gate: whether the image part has a learnt factor.
        relative_positions: range of learnt distance embeddings added to keys and values; None: none.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        context_dim: int | None = None,
        image: bool = False,
        image_gate: bool = False,
        relative_positions: int | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_channels
        source = channels if context_dim is None else context_dim
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(source, inner, bias=False)
        self.to_v = nn.Linear(source, inner, bias=False)
        self.to_out = nn.Linear(inner, channels)
        self.to_k_image = nn.Linear(source, inner, bias=False) if image else None
        self.to_v_image = nn.Linear(source, inner, bias=False) if image else None
        self.image_gate = nn.Parameter(torch.zeros(())) if image and image_gate else None
        distances = relative_positions
        self.relative_k = RelativePosition(head_channels, distances) if distances is not None else None
        self.relative_v = RelativePosition(head_channels, distances) if distances is not None else None

    def forward(self, x: Tensor, context: Context | None = None, causal: bool = False) -> Tensor:
        """Tokens attend to the context, or to each other without one; same shape out.

        x is [N, L, channels], or [B, T, P, channels] for attention among the T frames at each of P pixels. The
        context's batch may be smaller than N (or B*P) by a whole factor: each of its entries serves that many rows.
        """
        if x.ndim == 4 and (context is not None or self.relative_k is not None):
            rows = x.transpose(1, 2)
            out = self(rows.flatten(0, 1), context, causal)
            return cast(Tensor, out.view(rows.shape).transpose(1, 2))
        text, image = context or Context(x, None)
        query = self.to_q(x)
        out = self._attend(query, self.to_k(text), self.to_v(text), causal)
        if image is not None and self.to_k_image is not None and self.to_v_image is not None:
            extra = self._attend(query, self.to_k_image(image), self.to_v_image(image), causal=False)
            out = out + (extra if self.image_gate is None else extra * (self.image_gate.tanh() + 1))
        result: Tensor = self.to_out(out)
        return result

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        """[N, L, inner] over [M, S, inner], M dividing N, to [N, L, inner]; or all three [B, T, P, inner]."""
        if self.relative_k is not None:
            return self._attend_relative(query, key, value, causal)
        if query.ndim == 4:
            return self._attend_frames(query, key, value, causal)
        # Rows that share keys and values form one long sequence, so that these are neither projected nor read twice.
        rows = query.reshape(key.shape[0], -1, query.shape[-1])
        out = fused_attention(self._split(rows), self._split(key), self._split(value), causal)
        return out.transpose(1, 2).reshape(query.shape)

    def _attend_frames(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        """Among the frames at each pixel; all [B, T, P, inner]. One sample at a time, which kernels read in place."""
        samples = []
        for sample in zip(query, key, value, strict=True):
            q, k, v = (part.unflatten(2, (self.heads, -1)).permute(1, 2, 0, 3) for part in sample)  # [P, heads, T, d]
            samples.append(fused_attention(q, k, v, causal).permute(2, 0, 1, 3).flatten(2))
        return torch.stack(samples)

    def _attend_relative(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        """As :meth:`_attend`, with distance embeddings; they also enter the values, which fused attention cannot do."""
        assert self.relative_k is not None
        assert self.relative_v is not None
        shared = query.shape[0] // key.shape[0]
        q, k, v = (self._split(t) for t in (query, key, value))
        k, v = (t.repeat_interleave(shared, dim=0) if shared > 1 else t for t in (k, v))
        length, keys = q.shape[2], k.shape[2]
        scores = q @ k.transpose(2, 3) + torch.einsum("nhld,lsd->nhls", q, self.relative_k(length, keys).to(q.dtype))
        scores = scores * q.shape[-1] ** -0.5
        if causal:
            future = torch.ones(length, keys, dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        weights = scores.float().softmax(dim=-1).to(v.dtype)
        out: Tensor = weights @ v + torch.einsum("nhls,lsd->nhld", weights, self.relative_v(length, keys).to(v.dtype))
        return out.transpose(1, 2).reshape(query.shape)

    def _split(self, x: Tensor) -> Tensor:
        """[N, L, heads * d] -> [N, heads, L, d], a view."""
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear to value and gate, value * GELU(gate) with the exact GELU, Linear back; four times the width inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(channels, 8 * channels)
        self.proj_out = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., channels] -> the same shape."""
        # Compiled, a loop would become as many copies of its body.
        if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._transform(x)
        rows = x.flatten(0, -2).split(FEED_FORWARD_ROWS)
        return torch.cat([self._transform(part) for part in rows]).view(x.shape)

    def _transform(self, x: Tensor) -> Tensor:
        value, gate = self.proj_in(x).chunk(2, dim=-1)
        result: Tensor = self.proj_out(value * F.gelu(gate))
        return result


class TransformerBlock(nn.Module):
    """Pre-norm residual block: self-attention, a second attention, feed-forward.

    The second attention is cross-attention to the context if ``context_dim`` is given, else self-attention.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        context_dim: int | None = None,
        image: bool = False,
        image_gate: bool = False,
        relative_positions: int | None = None,
    ) -> None:
        super().__init__()
        relative = relative_positions
        self.cross = context_dim is not None
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, head_channels, relative_positions=relative)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, head_channels, context_dim, image, image_gate, relative)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: Context | None = None, causal: bool = False) -> Tensor:
        """x [N, L, channels], or [B, T, P, channels] for attention among frames -> the same shape."""
        x = accumulate(self.attn1(self.norm1(x), causal=causal), x)
        second = self.attn2(self.norm2(x), context if self.cross else None, causal=causal and not self.cross)
        x = accumulate(second, x)
        return accumulate(self.ff(self.norm3(x)), x)


class SpatialTransformer(nn.Module):
    """Attention among the pixels of each frame, and from them to the text and image tokens; added to the input."""

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        context_dim: int,
        depth: int = 1,
        image: bool = True,
        image_gate: bool = False,
    ) -> None:
        super().__init__()
        inner = heads * head_channels
        self.norm = GroupNorm(channels, eps=TRANSFORMER_NORM_EPS)
        self.proj_in = nn.Linear(channels, inner)
        self.blocks = nn.ModuleList(
            TransformerBlock(inner, heads, head_channels, context_dim, image, image_gate) for _ in range(depth)
        )
        self.proj_out = zero_init(nn.Linear(inner, channels))

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """x [B*T, C, h, w] -> the same shape."""
        tokens: Tensor = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for block in self.blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])


class TemporalTransformer(nn.Module):
    """Attention among the frames at each pixel, added to the input.

    Both attentions of a block are self-attention, unless ``context_dim`` makes the second attend to the text.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        depth: int = 1,
        context_dim: int | None = None,
        causal: bool = False,
        relative_positions: int | None = None,
    ) -> None:
        super().__init__()
        inner = heads * head_channels
        self.causal = causal
        self.norm = GroupNorm(channels, eps=TRANSFORMER_NORM_EPS)
        self.proj_in = nn.Linear(channels, inner)
        self.blocks = nn.ModuleList(
            TransformerBlock(inner, heads, head_channels, context_dim, relative_positions=relative_positions)
            for _ in range(depth)
        )
        self.proj_out = zero_init(nn.Linear(inner, channels))

    def forward(self, x: Tensor, context: Context, batch_size: int) -> Tensor:
        """x [B*T, C, h, w] -> the same shape; the norm's statistics are over all frames of a sample.

        Without cross-attention the context is ignored.
        """
        normed = self.norm(to_temporal(x, batch_size)).permute(0, 2, 3, 1)  # [B, T, h*w, C]
        # With channels last the tokens are a view in this order; else one copy makes the frames of a pixel adjacent.
        in_place = normed.is_contiguous()
        tokens: Tensor = self.proj_in(normed if in_place else normed.transpose(1, 2).flatten(0, 1))
        for block in self.blocks:
            tokens = block(tokens, context, self.causal)
        tokens = self.proj_out(tokens)
        frames = tokens if in_place else tokens.unflatten(0, (batch_size, -1)).transpose(1, 2)
        return x + frames.permute(0, 1, 3, 2).reshape(x.shape)
