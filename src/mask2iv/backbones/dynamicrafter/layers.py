"""The convolutional parts of the video U-Net.

Feature maps are [B*T, C, h, w], frames of a sample in a row (sample-major). Temporal layers see the same numbers as
[B, C, T, h*w]. With channels last this view, the transformers' tokens and the convolutions' input share one memory;
with channels first each of them is a copy.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.sizes import NORM_GROUPS
from mask2iv.models.dropout import SampleDropout


class GroupNorm(nn.GroupNorm):
    """GroupNorm with 32 groups. Statistics are float32 whatever the input; the output has the input's dtype."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(NORM_GROUPS, channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        # The kernels accumulate in float32; autocast on CUDA also returns float32, which the cast undoes.
        return super().forward(x).to(x.dtype)


def zero_init(module: nn.Module) -> nn.Module:
    """Set every parameter of ``module`` to zero, so that a fresh residual branch adds nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def sinusoidal_embedding(values: Tensor, dim: int) -> Tensor:
    """Embed scalars as cosines, then sines, of ``dim // 2`` geometric frequencies from 1 down to 1/10000.

    Args:
        values: any real dtype [B], e.g. diffusion timesteps or frames per second.
        dim: width of the result; an odd one gets a trailing zero.

    Returns:
        float32 [B, dim].
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values.to(torch.float32)[:, None] * torch.exp(-math.log(10000) * exponents)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.pad(embedding, (0, dim % 2)) if dim % 2 else embedding


def embedding_mlp(channels: int) -> nn.Sequential:
    """Linear, SiLU, Linear from ``channels`` to four times as many."""
    return nn.Sequential(nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, 4 * channels))


def to_temporal(x: Tensor, batch_size: int) -> Tensor:
    """[B*T, C, h, w] -> [B, C, T, h*w], in the memory format of ``x``: a view with channels last, else a copy."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    video = x.unflatten(0, (batch_size, -1)).flatten(3).transpose(1, 2)
    return video.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def activation(x: Tensor) -> Tensor:
    """SiLU; overwrites ``x``, which must not be used again, where no gradient is recorded."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def accumulate(x: Tensor, y: Tensor) -> Tensor:
    """x + y; overwrites ``x``, which must not be used again, where no gradient is recorded."""
    return x + y if torch.is_grad_enabled() or x.dtype != y.dtype else x.add_(y)


class Downsample(nn.Module):
    """Halve height and width: a strided 3x3 convolution, or 2x2 average pooling."""

    def __init__(self, channels: int, conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if conv else None

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.conv is None else self.conv(x)


class Upsample(nn.Module):
    """Double height and width by nearest neighbours, then a 3x3 convolution if asked for."""

    def __init__(self, channels: int, conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if conv else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x if self.conv is None else self.conv(x)


class TemporalConvBlock(nn.Module):
    """Four times [GroupNorm over all frames, SiLU, dropout, convolution over three frames], added to the input.

    The last convolution starts at zero. With ``spatial`` the kernels also span three rows (first and third) or three
    columns (second and fourth).
    """

    def __init__(self, channels: int, dropout: float, spatial: bool) -> None:
        super().__init__()
        self.spatial = spatial
        self.norms = nn.ModuleList(GroupNorm(channels) for _ in range(4))
        self.convs = nn.ModuleList(self._conv(channels, across_rows=index % 2 == 0) for index in range(4))
        self.dropout = SampleDropout(dropout)
        zero_init(self.convs[-1])

    def _conv(self, channels: int, across_rows: bool) -> nn.Module:
        if not self.spatial:
            # A 2-D convolution over (frame, pixel) is the same sum as 3-D (3, 1, 1) and several times faster.
            return nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        kernel, padding = ((3, 3, 1), (1, 1, 0)) if across_rows else ((3, 1, 3), (1, 0, 1))
        return nn.Conv3d(channels, channels, kernel, padding=padding)

    def forward(self, x: Tensor, batch_size: int) -> Tensor:
        """[B*T, C, h, w] -> the same shape."""
        hidden: Tensor = to_temporal(x, batch_size)
        if self.spatial:
            hidden = hidden.unflatten(3, x.shape[2:])
        for index, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            hidden = activation(norm(hidden))
            hidden = conv(self.dropout(hidden) if index else hidden)
        return x + hidden.transpose(1, 2).reshape(x.shape)


class ResBlock(nn.Module):
    """Two convolutions conditioned on the time embedding, a shortcut, then the temporal convolution block.

    Args:
        channels: channels in.
        out_channels: channels out.
        embedding_channels: width of the time embedding.
        dropout: probability before the second convolution.
        scale_shift_norm: the embedding scales and shifts the second norm instead of being added before it.
        resample: ``"down"`` or ``"up"``: change the size by 2 (without parameters) inside the block.
        temporal_conv: the block that follows on the sum, or None.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embedding_channels: int,
        dropout: float,
        scale_shift_norm: bool = False,
        resample: str | None = None,
        temporal_conv: TemporalConvBlock | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift_norm = scale_shift_norm
        self.norm1 = GroupNorm(channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.embedding = nn.Linear(embedding_channels, out_channels * (2 if scale_shift_norm else 1))
        self.norm2 = GroupNorm(out_channels)
        self.dropout = SampleDropout(dropout)
        self.conv2 = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()
        plain = {"down": Downsample, "up": Upsample}
        self.resample = plain[resample](channels, conv=False) if resample else nn.Identity()
        self.temporal_conv = temporal_conv

    def forward(self, x: Tensor, embedding: Tensor, batch_size: int) -> Tensor:
        """x [B*T, C, h, w] and embedding [B, E] (before its SiLU) -> [B*T, out_channels, h', w']."""
        hidden: Tensor = self.conv1(self.resample(activation(self.norm1(x))))
        frames = x.shape[0] // batch_size
        # Projected once per sample, then repeated for its frames.
        shift = self.embedding(F.silu(embedding)).repeat_interleave(frames, dim=0)[:, :, None, None]
        if self.scale_shift_norm:
            scale, shift = shift.chunk(2, dim=1)
            hidden = self.norm2(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm2(accumulate(hidden, shift))
        hidden = self.conv2(self.dropout(activation(hidden)))
        hidden = accumulate(hidden, self.shortcut(self.resample(x)))
        if self.temporal_conv is not None:
            hidden = self.temporal_conv(hidden, batch_size)
        return hidden
