"""The video U-Net of both stages: DynamiCrafter's design, with 12 input channels in Mask2IV (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mask2iv.backbones.dynamicrafter.attention import Context, SpatialTransformer, TemporalTransformer
from mask2iv.backbones.dynamicrafter.layers import (
    Downsample,
    GroupNorm,
    ResBlock,
    TemporalConvBlock,
    Upsample,
    activation,
    embedding_mlp,
    sinusoidal_embedding,
    zero_init,
)
from mask2iv.backbones.dynamicrafter.sizes import INIT_ATTENTION_HEADS, UNetConfig
from mask2iv.errors import InputError
from mask2iv.models.graphs import StepGraphs

CHANNELS_LAST_WIDTH = 256
"""Width of the first level from which channels last is the faster memory format on a CPU (docs/performance.md)."""


class UNetBlock(nn.Module):
    """One step of the encoder, middle or decoder.

    Residual block, spatial and temporal transformer, resampling; each of them may be None.
    """

    def __init__(
        self,
        res: ResBlock | None = None,
        spatial: SpatialTransformer | None = None,
        temporal: TemporalTransformer | None = None,
        resample: Downsample | Upsample | ResBlock | None = None,
    ) -> None:
        super().__init__()
        self.res = res
        self.spatial = spatial
        self.temporal = temporal
        self.resample = resample

    def forward(self, x: Tensor, embedding: Tensor, context: Context) -> Tensor:
        """x [B*T, C, h, w], embedding [B, E] -> [B*T, C', h', w']."""
        batch_size = embedding.shape[0]
        if self.res is not None:
            x = self.res(x, embedding, batch_size)
        if self.spatial is not None:
            x = self.spatial(x, context)
        if self.temporal is not None:
            x = self.temporal(x, context, batch_size)
        if isinstance(self.resample, ResBlock):
            x = self.resample(x, embedding, batch_size)
        elif self.resample is not None:
            x = self.resample(x)
        return x


class VideoUNet(nn.Module):
    """Predicts v, or another target of the noise schedule, from a noisy video latent and its conditions.

    A fresh network returns zeros: its last convolution, like the last layer of every residual branch, starts at zero.

    Args:
        config: size and options.

    Attributes:
        channels_last: whether feature maps are channels last in memory; None: only where that is known to be faster.
        graphs: runs calls without gradients as CUDA graphs; None: calls run eagerly.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.channels_last: bool | None = None
        self.graphs: StepGraphs | None = None
        self.time_embedding = embedding_mlp(config.model_channels)
        self.fps_embedding = embedding_mlp(config.model_channels) if config.fps_condition else None
        if self.fps_embedding is not None:
            zero_init(self.fps_embedding[-1])
        self.conv_in = nn.Conv2d(config.in_channels, config.model_channels, 3, padding=1)
        self.init_attention = _init_attention(config) if config.init_attention else None
        self.encoder, self.skip_widths = _encoder(config)
        self.middle = _middle(config)
        self.decoder = _decoder(config, self.skip_widths)
        self.norm_out = GroupNorm(config.widths[0])
        self.conv_out = zero_init(nn.Conv2d(config.widths[0], config.out_channels, 3, padding=1))

    def enable_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recompute each block in the backward pass instead of keeping its activations: slower, far less memory."""
        self.gradient_checkpointing = enabled

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.conv_in.weight.dtype

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        fps: Tensor | None = None,
        residuals: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Run the network.

        Args:
            x: [B, in_channels, T, h, w]; noisy latent first, then the conditions; h and w multiples of
                ``config.size_multiple``.
            timesteps: [B], diffusion step of each sample in [0, 1000).
            context: [B, L, context_dim]. With L = text_tokens + T * image_tokens_per_frame the tokens after the text
                belong to the frames in order; with any other L all tokens are shared by all frames.
            fps: [B], frames per second; None: ``config.default_fps``. Ignored without ``fps_condition``.
            residuals: of a :class:`~mask2iv.backbones.dynamicrafter.controlnet.ControlNet`, added to each skip
                connection, then to the middle; None: nothing is added.

        Returns:
            [B, out_channels, T, h, w], of the dtype of ``x``.

        Raises:
            InputError: a shape that does not fit the configuration.
        """
        self._check(x, timesteps, context, fps)
        added = None if residuals is None else tuple(residuals)
        if self.graphs is None or torch.is_grad_enabled():
            return self._predict(x, timesteps, context, fps, added)
        weights = (self.conv_in.weight.data_ptr(), self.norm_out.weight.data_ptr())
        return self.graphs(self._predict, weights, x, timesteps, context, fps, added)

    def _predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        fps: Tensor | None,
        residuals: tuple[Tensor, ...] | None,
    ) -> Tensor:
        """The network itself. It never synchronises with the device, so that a CUDA graph can hold it."""
        batch_size, _, frames = x.shape[:3]
        embedding = self._embed(timesteps, fps)
        tokens = self._split_context(context.to(self.dtype), frames)
        frames_in = x.to(self.dtype).transpose(1, 2).flatten(0, 1)
        hidden: Tensor = self.conv_in(frames_in.contiguous(memory_format=self._memory_format(x.device)))
        hidden, skips = self._encode(hidden, embedding, tokens, batch_size)
        if residuals is not None:
            hidden = hidden + residuals[-1]
            skips = [skip + residual for skip, residual in zip(skips, residuals[:-1], strict=True)]
        for block in self.decoder:
            hidden = self._run(block, torch.cat([hidden, skips.pop()], dim=1), embedding, tokens)
        hidden = self.conv_out(activation(self.norm_out(hidden)))
        return hidden.unflatten(0, (batch_size, frames)).transpose(1, 2).to(x.dtype)

    def _encode(
        self, hidden: Tensor, embedding: Tensor, tokens: Context, batch_size: int
    ) -> tuple[Tensor, list[Tensor]]:
        """From the first convolution's output, [B*T, C, h, w], to the middle's; and the skip connections."""
        if self.init_attention is not None:
            hidden = self._run(self.init_attention, hidden, tokens, batch_size)
        skips = [hidden]
        for block in self.encoder:
            hidden = self._run(block, hidden, embedding, tokens)
            skips.append(hidden)
        for block in self.middle:
            hidden = self._run(block, hidden, embedding, tokens)
        return hidden, skips

    def _memory_format(self, device: torch.device) -> torch.memory_format:
        """Channels last if requested, or where it is known to be faster: wide networks on the CPU without gradients.

        Elsewhere PyTorch's GroupNorm makes it slower: with channels last it is slow on narrow networks and in the
        backward pass, and uncompiled on a GPU it converts its input to channels first.
        """
        chosen = self.channels_last
        if chosen is None:
            wide = self.config.model_channels >= CHANNELS_LAST_WIDTH
            chosen = device.type == "cpu" and wide and not torch.is_grad_enabled()
        return torch.channels_last if chosen else torch.contiguous_format

    @property
    def blocks(self) -> list[Any]:
        """The parts that take a context, in the order in which they run; gradient checkpointing recomputes these."""
        first = [self.init_attention] if self.init_attention is not None else []
        return [*first, *self.encoder, *self.middle, *self.decoder]

    def _run(self, block: nn.Module, hidden: Tensor, *args: Tensor | Context | int) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            result: Tensor = checkpoint(block, hidden, *args, use_reentrant=False)
        else:
            result = block(hidden, *args)
        return result

    def _embed(self, timesteps: Tensor, fps: Tensor | None) -> Tensor:
        """Time embedding plus frame-rate embedding, [B, 4 * model_channels]."""
        width = self.config.model_channels
        embedding: Tensor = self.time_embedding(sinusoidal_embedding(timesteps, width).to(self.dtype))
        if self.fps_embedding is not None:
            if fps is None:
                fps = torch.full_like(timesteps, self.config.default_fps, dtype=torch.float32)
            embedding = embedding + self.fps_embedding(sinusoidal_embedding(fps, width).to(self.dtype))
        return embedding

    def _split_context(self, context: Tensor, frames: int) -> Context:
        text, image = context[:, : self.config.text_tokens], context[:, self.config.text_tokens :]
        if not self.config.image_cross_attention or image.shape[1] == 0:
            return Context(text, None)
        if image.shape[1] == frames * self.config.image_tokens_per_frame:
            image = image.reshape(-1, self.config.image_tokens_per_frame, context.shape[2])
        return Context(text, image)

    def _check(self, x: Tensor, timesteps: Tensor, context: Tensor, fps: Tensor | None) -> None:
        config = self.config
        if x.ndim != 5 or x.shape[1] != config.in_channels:
            raise InputError(
                "x", f"VideoUNet expects [B, {config.in_channels}, T, h, w], found {list(x.shape)}", "check in_channels"
            )
        multiple = config.size_multiple
        if x.shape[3] % multiple or x.shape[4] % multiple:
            raise InputError(
                "x",
                f"VideoUNet expects a height and width that are multiples of {multiple}, "
                f"found {x.shape[3]} x {x.shape[4]}",
            )
        batch_size = x.shape[0]
        if context.ndim != 3 or context.shape[2] != config.context_dim:
            raise InputError("context", f"VideoUNet expects [B, L, {config.context_dim}], found {list(context.shape)}")
        if context.shape[1] == 0:
            raise InputError("context", "VideoUNet found no tokens", "give at least one")
        if context.shape[0] != batch_size:
            raise InputError("context", f"it is for {context.shape[0]} samples, x of VideoUNet has {batch_size}")
        for name, value in (("timesteps", timesteps), ("fps", fps)):
            if value is not None and tuple(value.shape) != (batch_size,):
                raise InputError(name, f"VideoUNet expects [B={batch_size}], found {list(value.shape)}")


def _init_attention(config: UNetConfig) -> TemporalTransformer:
    assert config.num_head_channels is not None
    return TemporalTransformer(
        config.model_channels,
        INIT_ATTENTION_HEADS,
        config.num_head_channels,
        depth=config.transformer_depth,
        context_dim=config.context_dim if config.init_attention_text else None,
        relative_positions=config.relative_position_range,
    )


def _res_block(config: UNetConfig, channels: int, out_channels: int, resample: str | None = None) -> ResBlock:
    temporal = None
    if config.temporal_conv and resample is None:
        temporal = TemporalConvBlock(out_channels, config.temporal_conv_dropout, config.temporal_conv_spatial)
    return ResBlock(
        channels,
        out_channels,
        embedding_channels=4 * config.model_channels,
        dropout=config.dropout,
        scale_shift_norm=config.scale_shift_norm,
        resample=resample,
        temporal_conv=temporal,
    )


def _attention_block(
    config: UNetConfig,
    res: ResBlock,
    width: int,
    resample: Downsample | Upsample | ResBlock | None = None,
) -> UNetBlock:
    heads, head_channels = config.heads(width)
    spatial = SpatialTransformer(
        width,
        heads,
        head_channels,
        config.context_dim,
        depth=config.transformer_depth,
        image=config.image_cross_attention,
        image_gate=config.image_cross_attention_scale_learnable,
    )
    temporal = None
    if config.temporal_attention:
        temporal = TemporalTransformer(
            width,
            heads,
            head_channels,
            depth=config.transformer_depth,
            causal=config.causal_temporal_attention,
            relative_positions=config.relative_position_range,
        )
    return UNetBlock(res, spatial, temporal, resample)


def _encoder(config: UNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """The blocks, and the channels of the skip connections: from the first convolution, then from each block."""
    blocks: list[UNetBlock] = []
    skip_widths = [config.model_channels]
    channels = config.model_channels
    for level, width in enumerate(config.widths):
        for _ in range(config.num_res_blocks):
            res = _res_block(config, channels, width)
            attends = 2**level in config.attention_resolutions
            blocks.append(_attention_block(config, res, width) if attends else UNetBlock(res))
            channels = width
            skip_widths.append(width)
        if level + 1 < len(config.widths):
            is_res = config.resample == "resblock"
            down = _res_block(config, width, width, "down") if is_res else Downsample(width, config.resample == "conv")
            blocks.append(UNetBlock(resample=down))
            skip_widths.append(width)
    return nn.ModuleList(blocks), skip_widths


def _middle(config: UNetConfig) -> nn.ModuleList:
    width = config.widths[-1]
    first = _attention_block(config, _res_block(config, width, width), width)
    return nn.ModuleList([first, UNetBlock(_res_block(config, width, width))])


def _decoder(config: UNetConfig, skip_widths: list[int]) -> nn.ModuleList:
    blocks: list[UNetBlock] = []
    remaining = list(skip_widths)
    channels = config.widths[-1]
    for level, width in reversed(list(enumerate(config.widths))):
        for index in range(config.num_res_blocks + 1):
            res = _res_block(config, channels + remaining.pop(), width)
            up: Upsample | ResBlock | None = None
            if level > 0 and index == config.num_res_blocks:
                is_res = config.resample == "resblock"
                up = _res_block(config, width, width, "up") if is_res else Upsample(width, config.resample == "conv")
            attends = 2**level in config.attention_resolutions
            blocks.append(_attention_block(config, res, width, up) if attends else UNetBlock(res, resample=up))
            channels = width
    return nn.ModuleList(blocks)
