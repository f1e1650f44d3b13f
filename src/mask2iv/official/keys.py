"""Key matches between this package's state dicts and those of the original DynamiCrafter / Mask2IV code.

A list of :class:`KeyMatch` serves reading and writing alike. The two sides differ in names, trailing axes of length one
and concatenated tensors, never in the order of values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mask2iv.backbones.dynamicrafter.unet import UNetBlock, VideoUNet
from mask2iv.errors import InputError

REQUIRED: Any = object()
"""Marks a constructor flag without a default."""

_RES_BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "shortcut": "skip_connection",
    "temporal_conv.norms.0": "temopral_conv.conv1.0",
    "temporal_conv.norms.1": "temopral_conv.conv2.0",
    "temporal_conv.norms.2": "temopral_conv.conv3.0",
    "temporal_conv.norms.3": "temopral_conv.conv4.0",
    "temporal_conv.convs.0": "temopral_conv.conv1.2",
    "temporal_conv.convs.1": "temopral_conv.conv2.3",
    "temporal_conv.convs.2": "temopral_conv.conv3.3",
    "temporal_conv.convs.3": "temopral_conv.conv4.3",
}
_TRANSFORMER = (
    (re.compile(r"^blocks\."), "transformer_blocks."),
    (re.compile(r"\.to_out\."), ".to_out.0."),
    (re.compile(r"\.to_(k|v)_image\."), r".to_\1_ip."),
    (re.compile(r"\.image_gate$"), ".alpha"),
    (re.compile(r"\.relative_(k|v)\.table$"), r".relative_position_\1.embeddings_table"),
    (re.compile(r"\.ff\.proj_in\."), ".ff.net.0.proj."),
    (re.compile(r"\.ff\.proj_out\."), ".ff.net.2."),
)
_TOP = {
    "time_embedding": "time_embed",
    "fps_embedding": "fps_embedding",
    "conv_in": "input_blocks.0.0",
    "norm_out": "out.0",
    "conv_out": "out.2",
}
_BEYOND = 10**7
"""A larger number is no size of a network."""
_MISMATCH = "check that weights and configuration belong together"


@dataclass(frozen=True)
class KeyMatch:
    """One tensor of the original and its place here.

    Attributes:
        original: its key in the original state dict.
        shape: its shape there.
        own: its keys here; if several, the original tensor is their concatenation along the first axis.
    """

    original: str
    shape: tuple[int, ...]
    own: tuple[str, ...]


def load_original(
    module: nn.Module, matches: Sequence[KeyMatch], state_dict: Mapping[str, Tensor], field: str, unused: str = r"(?!)"
) -> None:
    """Copy all original tensors into ``module``, each exactly once.

    Args:
        module: network to fill.
        matches: must cover the whole state dict of ``module``.
        state_dict: original tensors by original key, of any floating dtype.
        field: name of the state dict in error messages.
        unused: pattern of keys that may be present without being used.

    Raises:
        InputError: a key is missing, unexpected or of another shape, naming it.
    """
    names = {match.original for match in matches}
    unexpected = [key for key in state_dict if key not in names and not re.match(unused, key)]
    missing = [match.original for match in matches if match.original not in state_dict]
    _require_none(field, "misses the key", missing)
    _require_none(field, "has the unexpected key", unexpected)
    own = module.state_dict()
    for match in matches:
        source = state_dict[match.original]
        if tuple(source.shape) != match.shape:
            problem = f"{match.original} has shape {list(source.shape)}, expected {list(match.shape)}"
            raise InputError(field, problem, _MISMATCH)
        for part, name in zip(source.chunk(len(match.own)) if source.ndim else (source,), match.own, strict=True):
            own[name].copy_(part.reshape(own[name].shape))


def _require_none(field: str, problem: str, keys: Sequence[str]) -> None:
    if keys:
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        raise InputError(field, f"{problem} {keys[0]}{more}", _MISMATCH)


def unet_key_matches(net: VideoUNet, use_linear: bool) -> list[KeyMatch]:
    """Key matches of a U-Net.

    Args:
        net: the network here. Only names and shapes are read, so it may be on the meta device.
        use_linear: the original flag: its transformers project with Linear layers, not with 1x1 convolutions.
    """
    prefixes = _block_prefixes(net)
    matches = []
    for name, tensor in net.state_dict().items():
        owner = next(prefix for prefix in prefixes if name.startswith(prefix + "."))
        inner = name[len(owner) + 1 :]
        part = net.get_submodule(owner)
        renamed = _rename(inner, part)
        shape = tuple(tensor.shape)
        matches.append(
            KeyMatch(f"{prefixes[owner]}.{renamed}", _original_shape(owner, inner, shape, use_linear), (name,))
        )
    return matches


def _block_prefixes(net: VideoUNet) -> dict[str, str]:
    """Own module name -> original module name, for every part whose names follow one rule."""
    prefixes = {own: original for own, original in _TOP.items() if getattr(net, own) is not None}
    if net.init_attention is not None:
        prefixes["init_attention"] = "init_attn.0"
    for index, block in enumerate(net.encoder):
        prefixes |= _parts(f"encoder.{index}", f"input_blocks.{index + 1}", block)
    for index, block in enumerate(net.decoder):
        prefixes |= _parts(f"decoder.{index}", f"output_blocks.{index}", block)
    first = _parts("middle.0", "middle_block", net.middle[0])
    return prefixes | first | {"middle.1.res": f"middle_block.{len(first)}"}


def _parts(own: str, original: str, block: nn.Module) -> dict[str, str]:
    assert isinstance(block, UNetBlock)
    present = [name for name in ("res", "spatial", "temporal", "resample") if getattr(block, name) is not None]
    return {f"{own}.{name}": f"{original}.{index}" for index, name in enumerate(present)}


def _rename(inner: str, part: nn.Module) -> str:
    kind = type(part).__name__
    if kind == "ResBlock":
        layer, leaf = inner.rsplit(".", 1)
        return f"{_RES_BLOCK[layer]}.{leaf}"
    if kind == "Downsample":
        return inner.replace("conv.", "op.", 1)
    if kind in ("SpatialTransformer", "TemporalTransformer"):
        for pattern, replacement in _TRANSFORMER:
            inner = pattern.sub(replacement, inner)
    return inner


def _original_shape(owner: str, inner: str, shape: tuple[int, ...], use_linear: bool) -> tuple[int, ...]:
    if inner.startswith("temporal_conv.convs.") and len(shape) == 4:
        return (*shape, 1)
    if inner in ("proj_in.weight", "proj_out.weight"):
        if owner == "init_attention" or (owner.endswith(".temporal") and not use_linear):
            return (*shape, 1)
        if owner.endswith(".spatial") and not use_linear:
            return (*shape, 1, 1)
    return shape


def complete_flags(network: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The given constructor flags with defaults filled in, in the order of ``known``.

    Args:
        network: name of the flags in error messages.
        given: the flags.
        known: default of each flag.

    Raises:
        InputError: a flag is unknown, one marked :data:`REQUIRED` is missing, or a value has another type than the
            default or is beyond all networks, naming it.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"{network}.{unknown[0]}", "is not a known flag", f"known flags are {', '.join(known)}")
    flags = {**known, **given}
    missing = [name for name, value in flags.items() if value is REQUIRED]
    if missing:
        raise InputError(f"{network}.{missing[0]}", "must be given")
    for name, value in given.items():
        if not _fits(value, known[name]):
            raise InputError(f"{network}.{name}", f"found {value!r:.60}, which is no value of this flag")
    return flags


def _fits(value: Any, default: Any) -> bool:
    """Whether a flag's value has the type of its default, where that tells, and no number beyond all networks."""
    numbers = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(number, int | float) and not -_BEYOND < number < _BEYOND for number in numbers):
        return False
    if default is None or default is REQUIRED:
        return value is None or isinstance(value, int | list | tuple)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(type(number) is int for number in value)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def empty(module: nn.Module) -> nn.Module:
    """A module from the meta device, moved to the CPU with uninitialised float32 storage."""
    return module.to_empty(device=torch.device("cpu")).requires_grad_(True)
