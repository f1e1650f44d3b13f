"""Latents of the trajectories without the object, for systems that see only the actor's masks.

A network that never sees the object must be trained on masks from which it was removed before encoding: the latents of
both together still contain it. Encoding these masks in every step would cost more than the step (docs/benchmarks.md),
so a run that caches latents caches these too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.training.inputs.cache import EncodedSource, encode_masks
from mask2iv.training.inputs.shards import Shards, build_shards
from mask2iv.trajectories.labels import only_actors

ACTOR_MASKS = "actor_masks"


@torch.no_grad()
def encode_actor_masks(encoder: ConditionEncoder, source: EncodedSource, row: int) -> torch.Tensor:
    """Latents [1, C, T, h, w], in half precision, of a clip's trajectory without the object."""
    labels = only_actors(source.rows([row]).labels).to(encoder.device)
    return encode_masks(encoder, labels, [source.clip_ids[row]]).half()


def build_actor_masks(
    encoder: ConditionEncoder, source: EncodedSource, key: str, root: Path, autocast: torch.dtype | None
) -> Shards:
    """The cache of these latents, one row per clip of the source; see ``build_cache``.

    Args:
        encoder: frozen encoders.
        source: the clips.
        key: of the source.
        root: folder of caches.
        autocast: precision of the encoder's matrix products.
    """

    def compute(row: int) -> dict[str, torch.Tensor]:
        with torch.autocast(encoder.device.type, autocast, enabled=autocast is not None):
            return {ACTOR_MASKS: encode_actor_masks(encoder, source, row)}

    own = hashlib.sha256(f"{key} {ACTOR_MASKS}".encode()).hexdigest()
    return build_shards(len(source.clip_ids), compute, own, root, {"of": key, "part": ACTOR_MASKS}, "encode actors")
