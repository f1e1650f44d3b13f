"""Latents and image tokens of a clip set, computed once by the frozen networks and kept in shards on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.data.dataset import ClipItem, collate
from mask2iv.data.store import CLIP_FILES, ClipSet
from mask2iv.seeds import generator_of
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.shards import Shards, build_shards
from mask2iv.trajectories.labels import only_object

_LAYOUT = "sharded latents, labels of two bits, 2"
_LABELS_PER_BYTE = 4


@dataclass(frozen=True)
class EncodedClips:
    """Encoded clips, N of them; floats in half precision.

    Attributes:
        video: [N, C, T, h, w], latents of the frames.
        masks: [N, C, T, h, w], latents of the trajectory frames.
        first_object: [N, C, h, w], latent of the first frame's mask without the actor.
        target: [N, C, h, w], latent of the target-position mask.
        image_features: [N, L, D], image tokens of the first frame.
        labels: uint8 [N, T, H, W].
    """

    video: torch.Tensor
    masks: torch.Tensor
    first_object: torch.Tensor
    target: torch.Tensor
    image_features: torch.Tensor
    labels: torch.Tensor

    def to(self, device: torch.device) -> EncodedClips:
        """The same on another device."""
        return EncodedClips(**{name: value.to(device) for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every field by its name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @staticmethod
    def join(parts: Sequence[EncodedClips]) -> EncodedClips:
        """The clips of all parts, in order."""
        names = [f.name for f in fields(EncodedClips)]
        # Autocast to bfloat16 has no rule for joining float16.
        with torch.autocast(parts[0].video.device.type, enabled=False):
            return EncodedClips(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


class EncodedSource(Protocol):
    """Where a stage gets its encoded clips from.

    Attributes:
        clip_ids: their names, in order.
        size: (H, W) of the frames.
    """

    clip_ids: Sequence[str]
    size: tuple[int, int]

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips at these indices."""


def cache_key(clips: ClipSet, modules: Iterable[nn.Module], settings: str) -> str:
    """Hash of everything the cached numbers depend on."""
    digest = hashlib.sha256(f"{_LAYOUT} {settings}".encode())
    for clip_id, name, sha256 in clips.digests():
        if name == CLIP_FILES[0]:
            digest.update(clip_id.encode())
        digest.update(sha256.encode())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().float().cpu().numpy().tobytes())
    return digest.hexdigest()


# --- encoding


def posterior_noise(clip_id: str, part: str) -> list[torch.Generator]:
    """The noise with which a variational autoencoder samples a part of a clip; always the same.

    The original draws anew each time it sees a clip. With the tiny variance of its posterior that makes no measurable
    difference to the loss, and only a fixed draw makes a cache, a rebuilt cache and training without one agree.
    """
    return [generator_of(f"{clip_id} {part}")]


def encode_masks(encoder: ConditionEncoder, labels: torch.Tensor, clip_ids: Sequence[str]) -> torch.Tensor:
    """Latents [B, C, T, h, w] of the trajectories of these clips, uint8 [B, T, H, W]."""
    noise = [generator for clip_id in clip_ids for generator in posterior_noise(clip_id, "masks")]
    return encoder.latents(encoder.paint(labels), noise)


@torch.no_grad()
def encode_clip(encoder: ConditionEncoder, item: ClipItem) -> EncodedClips:
    """One clip, encoded."""
    batch = collate([item]).to(encoder.device)
    bare = torch.stack([only_object(batch.labels[:, 0]), only_object(batch.labels[:, -1])], dim=1)
    latents = encoder.latents(encoder.paint(bare), posterior_noise(item["clip_id"], "bare")).half()
    return EncodedClips(
        video=encoder.latents(batch.video, posterior_noise(item["clip_id"], "video")).half(),
        masks=encode_masks(encoder, batch.labels, [item["clip_id"]]).half(),
        first_object=latents[:, :, 0],
        target=latents[:, :, 1],
        image_features=encoder.image_features(batch.first_frame).half(),
        labels=batch.labels,
    )


class FreshlyEncoded:
    """Encodes clips on every request: takes no disk space, but runs the encoders in every step."""

    def __init__(self, encoder: ConditionEncoder, clips: ClipMemory) -> None:
        self.encoder, self.clips = encoder, clips
        self.clip_ids: Sequence[str] = clips.clips.ids
        self.size = clips.dataset.size

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips at these indices."""
        return EncodedClips.join([encode_clip(self.encoder, self.clips.item(index)) for index in indices])


# --- the cache on disk


class LatentCache:
    """A complete cache.

    Args:
        shards: the encoded clips.
        clips: the clips that were encoded.
        device: where rows are needed; see :data:`mask2iv.training.inputs.shards.KEPT_BYTES`.
    """

    def __init__(self, shards: Shards, clips: ClipMemory, device: torch.device) -> None:
        self.shards, self.device = shards, device
        self.clip_ids: Sequence[str] = clips.clips.ids
        self.size = clips.dataset.size

    def __len__(self) -> int:
        return len(self.shards)

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips at these indices.

        Raises:
            InputError: a shard was removed or damaged since the cache was opened.
        """
        values = self.shards.rows(indices, self.device)
        values["labels"] = _unpack(values["labels"])
        return EncodedClips(**values)


def build_cache(
    encoder: ConditionEncoder, clips: ClipMemory, key: str, root: Path, autocast: torch.dtype | None
) -> LatentCache:
    """The cache of this key below `root`; missing shards are encoded now.

    Args:
        encoder: frozen encoders.
        clips: what to encode.
        key: of :func:`cache_key`.
        root: folder of caches.
        autocast: precision of the encoders' matrix products; None for that of their weights.

    Raises:
        InputError: a clip cannot be read.
    """

    def prepare(index: int) -> dict[str, Any]:
        return {**clips.item(index)}

    def compute(item: ClipItem) -> dict[str, torch.Tensor]:
        with torch.autocast(encoder.device.type, autocast, enabled=autocast is not None):
            tensors = encode_clip(encoder, item).tensors()
        return {**tensors, "labels": _pack(tensors["labels"])}

    shards = build_shards(len(clips), compute, key, root, {"size": list(clips.dataset.size)}, "encode", prepare)
    return LatentCache(shards, clips, encoder.device)


def _pack(labels: torch.Tensor) -> torch.Tensor:
    """Labels, uint8 [..., W] of values below 4, to uint8 [..., W / 4]."""
    quads = labels.unflatten(-1, (-1, _LABELS_PER_BYTE))
    packed: torch.Tensor = quads[..., 0] | quads[..., 1] << 2 | quads[..., 2] << 4 | quads[..., 3] << 6
    return packed


def _unpack(packed: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`_pack`."""
    shifts: Any = torch.arange(0, 8, 2, dtype=torch.uint8, device=packed.device)
    return (packed.unsqueeze(-1) >> shifts & 3).flatten(-2)
