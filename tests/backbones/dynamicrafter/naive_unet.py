"""The original video U-Net once more, as slowly and plainly as possible, straight from its flags and key names.

It repeats what it could share, computes attention by its formula and convolves in 3-D. The tests check it against the
golden files and then use it to check every option for which no golden file exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

DEFAULTS: dict[str, Any] = {
    "channel_mult": (1, 2, 4, 8),
    "conv_resample": True,
    "use_scale_shift_norm": False,
    "resblock_updown": False,
    "num_heads": -1,
    "num_head_channels": -1,
    "transformer_depth": 1,
    "use_linear": False,
    "temporal_conv": False,
    "tempspatial_aware": False,
    "temporal_attention": True,
    "use_relative_position": True,
    "use_causal_attention": False,
    "temporal_length": None,
    "addition_attention": False,
    "temporal_selfatt_only": True,
    "image_cross_attention": False,
    "image_cross_attention_scale_learnable": False,
    "default_fs": 4,
    "fs_condition": False,
}


class NaiveUNet:
    """Call it like the original; ``used`` collects the keys it has read."""

    def __init__(self, weights: Mapping[str, Tensor], flags: Mapping[str, Any]) -> None:
        self.weights = weights
        self.flags = {**DEFAULTS, **flags}
        self.used: set[str] = set()

    def __call__(self, x: Tensor, timesteps: Tensor, context: Tensor, fs: Tensor | None = None) -> Tensor:
        flags = self.flags
        self.b, self.t = x.shape[0], x.shape[2]
        if context.shape[1] == 77 + 16 * self.t:
            text = repeat(context[:, :77], "b l c -> (b t) l c", t=self.t)
            image = rearrange(context[:, 77:], "b (t l) c -> (b t) l c", t=self.t)
            self.context = torch.cat([text, image], dim=1)
        else:
            self.context = repeat(context, "b l c -> (b t) l c", t=self.t)
        emb = self.mlp(timesteps, "time_embed")
        if flags["fs_condition"]:
            emb = emb + self.mlp(torch.full((self.b,), flags["default_fs"]) if fs is None else fs, "fps_embedding")
        self.emb = repeat(emb, "b c -> (b t) c", t=self.t)

        h = self.conv(rearrange(x, "b c t h w -> (b t) c h w"), "input_blocks.0.0", padding=1)
        if flags["addition_attention"]:
            h = self.temporal(h, "init_attn.0", 8, flags["num_head_channels"], first=True)
        skips, levels, index = [h], len(flags["channel_mult"]), 0
        for level in range(levels):
            for _ in range(flags["num_res_blocks"]):
                index += 1
                h = self.block(h, f"input_blocks.{index}", level)
                skips.append(h)
            if level < levels - 1:
                index += 1
                h = self.resize(h, f"input_blocks.{index}.0", "down")
                skips.append(h)
        h = self.block(h, "middle_block", levels - 1, attention=True)
        h = self.res(h, f"middle_block.{3 if flags['temporal_attention'] else 2}")
        index = 0
        for level in reversed(range(levels)):
            for repetition in range(flags["num_res_blocks"] + 1):
                name = f"output_blocks.{index}"
                h = self.block(torch.cat([h, skips.pop()], dim=1), name, level)
                if level and repetition == flags["num_res_blocks"]:
                    attends = 2**level in flags["attention_resolutions"]
                    h = self.resize(h, f"{name}.{1 + attends * (1 + flags['temporal_attention'])}", "up")
                index += 1
        h = self.conv(F.silu(self.norm(h, "out.0", 1e-5)), "out.2", padding=1)
        return rearrange(h, "(b t) c h w -> b c t h w", b=self.b)

    def get(self, key: str) -> Tensor:
        self.used.add(key)
        return self.weights[key]

    def linear(self, x: Tensor, name: str, bias: bool = True) -> Tensor:
        weight = self.get(f"{name}.weight")
        return F.linear(x, weight.reshape(weight.shape[:2]), self.get(f"{name}.bias") if bias else None)

    def conv(self, x: Tensor, name: str, **options: Any) -> Tensor:
        function = F.conv3d if x.ndim == 5 else F.conv2d
        return function(x, self.get(f"{name}.weight"), self.get(f"{name}.bias"), **options)

    def norm(self, x: Tensor, name: str, eps: float) -> Tensor:
        return F.group_norm(x, 32, self.get(f"{name}.weight"), self.get(f"{name}.bias"), eps)

    def mlp(self, values: Tensor, name: str) -> Tensor:
        width = self.get(f"{name}.0.weight").shape[1]
        frequencies = torch.tensor([math.exp(-math.log(10000) * i / (width // 2)) for i in range(width // 2)])
        angles = values.float()[:, None] * frequencies
        return self.linear(F.silu(self.linear(torch.cat([angles.cos(), angles.sin()], 1), f"{name}.0")), f"{name}.2")

    def block(self, h: Tensor, name: str, level: int, attention: bool = False) -> Tensor:
        h = self.res(h, f"{name}.0")
        if attention or 2**level in self.flags["attention_resolutions"]:
            width = h.shape[1]
            head_width = self.flags["num_head_channels"]
            heads = self.flags["num_heads"] if head_width == -1 else width // head_width
            head_width = width // heads if head_width == -1 else head_width
            h = self.spatial(h, f"{name}.1", heads, head_width)
            if self.flags["temporal_attention"]:
                h = self.temporal(h, f"{name}.2", heads, head_width)
        return h

    def resize(self, h: Tensor, name: str, way: str) -> Tensor:
        if self.flags["resblock_updown"]:
            return self.res(h, name, way)
        if way == "down":
            conv = self.flags["conv_resample"]
            return self.conv(h, f"{name}.op", stride=2, padding=1) if conv else F.avg_pool2d(h, 2)
        h = F.interpolate(h, scale_factor=2.0)
        return self.conv(h, f"{name}.conv", padding=1) if self.flags["conv_resample"] else h

    def res(self, x: Tensor, name: str, way: str | None = None) -> Tensor:
        h = F.silu(self.norm(x, f"{name}.in_layers.0", 1e-5))
        if way == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif way == "up":
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = self.conv(h, f"{name}.in_layers.2", padding=1)
        emb = self.linear(F.silu(self.emb), f"{name}.emb_layers.1")[:, :, None, None]
        if self.flags["use_scale_shift_norm"]:
            scale, shift = emb.chunk(2, dim=1)
            h = self.norm(h, f"{name}.out_layers.0", 1e-5) * (1 + scale) + shift
        else:
            h = self.norm(h + emb, f"{name}.out_layers.0", 1e-5)
        h = self.conv(F.silu(h), f"{name}.out_layers.3", padding=1)
        h = h + (self.conv(x, f"{name}.skip_connection") if x.shape[1] != h.shape[1] else x)
        if not self.flags["temporal_conv"] or way is not None:
            return h
        video = y = rearrange(h, "(b t) c h w -> b c t h w", b=self.b)
        for i in range(4):
            part = f"{name}.temopral_conv.conv{i + 1}"
            aware = self.flags["tempspatial_aware"]
            padding = ((1, 1, 0) if i % 2 == 0 else (1, 0, 1)) if aware else (1, 0, 0)
            y = self.conv(F.silu(self.norm(y, f"{part}.0", 1e-5)), f"{part}.{3 if i else 2}", padding=padding)
        return rearrange(video + y, "b c t h w -> (b t) c h w")

    def spatial(self, x: Tensor, name: str, heads: int, width: int) -> Tensor:
        y = rearrange(self.norm(x, f"{name}.norm", 1e-6), "n c h w -> n (h w) c")
        y = self.linear(y, f"{name}.proj_in")
        for i in range(self.flags["transformer_depth"]):
            y = self.transformer(y, f"{name}.transformer_blocks.{i}", heads, width, self.context)
        return x + rearrange(self.linear(y, f"{name}.proj_out"), "n (h w) c -> n c h w", h=x.shape[2])

    def temporal(self, x: Tensor, name: str, heads: int, width: int, first: bool = False) -> Tensor:
        h, w = x.shape[2:]
        y = self.norm(rearrange(x, "(b t) c h w -> b c t h w", b=self.b), f"{name}.norm", 1e-6)
        y = self.linear(rearrange(y, "b c t h w -> (b h w) t c"), f"{name}.proj_in")
        context = None
        if first and not self.flags["temporal_selfatt_only"]:
            per_frame = rearrange(self.context, "(b t) l c -> b t l c", b=self.b)
            # Pixel p of a sample looks at the context of frame p // (h w / t); the text is the same in all.
            context = torch.cat([c.repeat_interleave(h * w // self.t, dim=0) for c in per_frame])
        for i in range(self.flags["transformer_depth"]):
            causal = self.flags["use_causal_attention"] and not first
            part = f"{name}.transformer_blocks.{i}"
            y = self.transformer(y, part, heads, width, context, causal, self.flags["use_relative_position"])
        y = rearrange(self.linear(y, f"{name}.proj_out"), "(b h w) t c -> (b t) c h w", b=self.b, h=h)
        return x + y

    def transformer(
        self,
        x: Tensor,
        name: str,
        heads: int,
        width: int,
        context: Tensor | None,
        causal: bool = False,
        relative: bool = False,
    ) -> Tensor:
        def layer_norm(y: Tensor, part: str) -> Tensor:
            return F.layer_norm(y, y.shape[-1:], self.get(f"{name}.{part}.weight"), self.get(f"{name}.{part}.bias"))

        x = x + self.attention(layer_norm(x, "norm1"), f"{name}.attn1", heads, None, causal, relative)
        x = x + self.attention(layer_norm(x, "norm2"), f"{name}.attn2", heads, context, causal, relative)
        value, gate = self.linear(layer_norm(x, "norm3"), f"{name}.ff.net.0.proj").chunk(2, dim=-1)
        return x + self.linear(value * F.gelu(gate), f"{name}.ff.net.2")

    def attention(
        self, x: Tensor, name: str, heads: int, context: Tensor | None, causal: bool, relative: bool
    ) -> Tensor:
        q = self.linear(x, f"{name}.to_q", bias=False)
        source = x if context is None else context[:, :77]
        out = self.attend(q, source, name, "", heads, causal, relative)
        if f"{name}.to_k_ip.weight" in self.weights and context is not None and context.shape[1] > 77:
            image = self.attend(q, context[:, 77:], name, "_ip", heads, False, relative)
            if self.flags["image_cross_attention_scale_learnable"]:
                image = image * (self.get(f"{name}.alpha").tanh() + 1)
            out = out + image
        return self.linear(out, f"{name}.to_out.0")

    def attend(
        self, q: Tensor, source: Tensor, name: str, suffix: str, heads: int, causal: bool, relative: bool
    ) -> Tensor:
        k = self.linear(source, f"{name}.to_k{suffix}", bias=False)
        v = self.linear(source, f"{name}.to_v{suffix}", bias=False)
        q, k, v = (rearrange(y, "n l (h d) -> n h l d", h=heads) for y in (q, k, v))
        scores = torch.einsum("nhid,nhjd->nhij", q, k)
        if relative:
            limit = self.flags["temporal_length"]
            distance = [[max(-limit, min(limit, j - i)) + limit for j in range(k.shape[2])] for i in range(q.shape[2])]
            index = torch.tensor(distance)
            scores = scores + torch.einsum(
                "nhid,ijd->nhij", q, self.get(f"{name}.relative_position_k.embeddings_table")[index]
            )
        scores = scores / math.sqrt(q.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, -torch.finfo(scores.dtype).max)
        weights = scores.softmax(dim=-1)
        out = torch.einsum("nhij,nhjd->nhid", weights, v)
        if relative:
            table = self.get(f"{name}.relative_position_v.embeddings_table")
            out = out + torch.einsum("nhij,ijd->nhid", weights, table[index])
        return rearrange(out, "n h l d -> n l (h d)")
