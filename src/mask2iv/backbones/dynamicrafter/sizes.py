"""Sizes of the networks as frozen data: validated on creation, lossless to and from plain dictionaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning

MAX_WIDTH = 65_536
"""Most channels, tokens or heads: far more than any network has. A damaged configuration must not ask for terabytes."""
MAX_DEPTH = 64
"""Most layers of a kind."""
NORM_GROUPS = 32
"""Groups of every GroupNorm; each width of the network must be a multiple of it."""

INIT_ATTENTION_HEADS = 8
"""The first temporal transformer has this many heads at any width."""


class ModelConfig:
    """Base of all network configurations: conversion to and from a dictionary of plain values."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-serialisable values (tuples become lists)."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; an absent field takes its default.

        Raises:
            InputError: an unknown key, a value of another type, or one that the class rejects.
        """
        return config.from_dict(cls, values, cls.__name__)

    def _require_positive_int(self, *names: str, most: int = MAX_WIDTH) -> None:
        for name in names:
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise self._rejected(name, f"must be 1 to {most}, found {value!r}")

    def _require_positive_ints(self, name: str, allow_empty: bool = False) -> None:
        value = getattr(self, name)
        if not all(1 <= entry <= MAX_WIDTH for entry in value) or not (allow_empty or value) or len(value) > MAX_DEPTH:
            raise self._rejected(
                name, f"must be a tuple of at most {MAX_DEPTH} integers of at least 1, found {value!r}"
            )

    def _require_fraction(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise self._rejected(name, f"must be a number in [0, 1), found {value!r}")

    def _rejected(self, name: str, problem: str, remedy: str = "") -> InputError:
        return InputError(f"{type(self).__name__}.{name}", problem, remedy)


@dataclass(frozen=True)
class UNetConfig(ModelConfig):
    """Size and options of ``VideoUNet``. The defaults are those of the paper's network.

    Attributes:
        in_channels: latent channels in, noisy latent and conditions together (12 in Mask2IV, 8 in DynamiCrafter).
        out_channels: latent channels out.
        model_channels: width of the first level; a multiple of 32.
        channel_mult: width of each level as a multiple of ``model_channels``; the number of levels is its length.
        num_res_blocks: residual blocks per level in the encoder (the decoder has one more).
        attention_resolutions: down-sampling factors (1, 2, 4, ...) at which there is attention.
        num_head_channels: width of an attention head; None: ``num_heads`` decides.
        num_heads: heads of every attention, used only where ``num_head_channels`` is None.
        transformer_depth: blocks in each transformer.
        context_dim: width of the text and image tokens.
        text_tokens: leading tokens of the context that are text.
        image_tokens_per_frame: image tokens that belong to each frame in a per-frame context.
        temporal_attention: a temporal transformer after each spatial one.
        temporal_conv: a temporal convolution block after each residual block.
        temporal_conv_spatial: the temporal convolutions also span one row (then one column) to each side.
        init_attention: a temporal transformer right after the first convolution; needs ``num_head_channels``.
        init_attention_text: the second attention of that transformer attends to the text instead of the frames.
        causal_temporal_attention: a frame attends only to itself and earlier ones (not in ``init_attention``).
        relative_position_range: temporal attention adds learnt embeddings of the distance between frames, clipped to
            this many frames either way; None: no such embeddings.
        image_cross_attention: spatial cross-attention has keys and values of its own for the image tokens; if off,
            only the text tokens are used.
        image_cross_attention_scale_learnable: one learnt factor per cross-attention on the image part.
        fps_condition: the frame rate is embedded and added to the time embedding.
        default_fps: frames per second if ``fps`` is not given.
        dropout: probability in the residual blocks.
        temporal_conv_dropout: probability in the temporal convolution blocks.
        scale_shift_norm: the time embedding scales and shifts the second norm instead of being added.
        resample: how levels are joined: ``"conv"`` a strided convolution down, nearest and convolution up;
            ``"plain"`` average pooling and nearest; ``"resblock"`` residual blocks around the plain ones.

    Raises:
        InputError: a value out of range or fields that contradict each other, naming the field.
    """

    in_channels: int = 12
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (4, 2, 1)
    num_head_channels: int | None = 64
    num_heads: int | None = None
    transformer_depth: int = 1
    context_dim: int = 1024
    text_tokens: int = 77
    image_tokens_per_frame: int = 16
    temporal_attention: bool = True
    temporal_conv: bool = True
    temporal_conv_spatial: bool = False
    init_attention: bool = True
    init_attention_text: bool = False
    causal_temporal_attention: bool = False
    relative_position_range: int | None = None
    image_cross_attention: bool = True
    image_cross_attention_scale_learnable: bool = False
    fps_condition: bool = True
    default_fps: float = 24
    dropout: float = 0.1
    temporal_conv_dropout: float = 0.1
    scale_shift_norm: bool = False
    resample: Literal["conv", "plain", "resblock"] = "conv"

    def __post_init__(self) -> None:
        self._require_positive_int("num_res_blocks", "transformer_depth", most=MAX_DEPTH)
        self._require_positive_int("in_channels", "out_channels", "model_channels", "context_dim")
        self._require_positive_int("text_tokens", "image_tokens_per_frame")
        optional = ("num_head_channels", "num_heads", "relative_position_range")
        self._require_positive_int(*(name for name in optional if getattr(self, name) is not None))
        self._require_positive_ints("channel_mult")
        self._require_positive_ints("attention_resolutions", allow_empty=True)
        self._require_fraction("dropout", "temporal_conv_dropout")
        if self.default_fps < 0:
            raise self._rejected("default_fps", f"must be at least 0, found {self.default_fps!r}")
        if self.resample not in ("conv", "plain", "resblock"):
            raise self._rejected("resample", f"must be conv, plain or resblock, found {self.resample!r}")
        if max(self.widths) > MAX_WIDTH:
            raise self._rejected("channel_mult", f"makes a level wider than {MAX_WIDTH} channels: {self.widths}")
        if self.model_channels % NORM_GROUPS:
            raise self._rejected("model_channels", f"must be a multiple of {NORM_GROUPS}, found {self.model_channels}")
        self._check_heads()

    def _check_heads(self) -> None:
        if self.num_head_channels is None and self.num_heads is None:
            raise self._rejected("num_head_channels", "it and num_heads are both None", "set one of them")
        if self.init_attention and self.num_head_channels is None:
            raise self._rejected(
                "init_attention", "needs num_head_channels, found None", "set it, or set init_attention false"
            )
        for width in self.attention_widths:
            if min(self.heads(width)) < 1:
                name = "num_heads" if self.num_head_channels is None else "num_head_channels"
                raise self._rejected(
                    name,
                    f"{getattr(self, name)} is more than the {width} channels of a level with attention",
                    "make it smaller",
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * mult for mult in self.channel_mult)

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of each level with attention, then of the middle, which always has attention."""
        levels = (width for level, width in enumerate(self.widths) if 2**level in self.attention_resolutions)
        return (*levels, self.widths[-1])

    @property
    def mixes_frames(self) -> bool:
        """Whether any layer passes information between frames."""
        return self.temporal_attention or self.temporal_conv or self.init_attention

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be multiples of this."""
        return int(2 ** (len(self.channel_mult) - 1))

    def heads(self, width: int) -> tuple[int, int]:
        """(number of heads, channels of each) of an attention on ``width`` channels."""
        if self.num_head_channels is not None:
            return width // self.num_head_channels, self.num_head_channels
        assert self.num_heads is not None
        return self.num_heads, width // self.num_heads


@dataclass(frozen=True)
class ResamplerConfig(ModelConfig):
    """Size of ``Resampler``. The defaults are those of the paper's network.

    Attributes:
        dim: width of the latent queries.
        depth: attention and feed-forward layers.
        dim_head: width of an attention head.
        heads: attention heads; ``heads * dim_head`` need not equal ``dim``.
        num_queries: tokens made for each frame.
        video_length: frames; the number of queries is ``num_queries * video_length``.
        embedding_dim: width of the image features that come in.
        output_dim: width of the tokens that go out, the U-Net's ``context_dim``.
        ff_mult: hidden width of the feed-forward layers, as a multiple of ``dim``.

    Raises:
        InputError: a value out of range, naming the field.
    """

    dim: int = 1024
    depth: int = 4
    dim_head: int = 64
    heads: int = 12
    num_queries: int = 16
    video_length: int = 16
    embedding_dim: int = 1280
    output_dim: int = 1024
    ff_mult: int = 4

    def __post_init__(self) -> None:
        self._require_positive_int("depth", most=MAX_DEPTH)
        self._require_positive_int(*(field.name for field in dataclasses.fields(self)))


def trajectory_channels(layout: MaskLayout, latent_channels: int) -> int:
    """Input channels of stage 1's UNet: noisy mask latent, mask condition(s), image latent."""
    return latent_channels * (4 if layout == "joint" else 3)


def video_channels(conditioning: VideoConditioning, latent_channels: int) -> int:
    """Input channels of stage 2's UNet: noisy latent, image latent, and the mask latents that are joined to them."""
    joined = (1 if conditioning.frames_together else 2) if conditioning.control == "concat" else 0
    return latent_channels * (2 + joined)
