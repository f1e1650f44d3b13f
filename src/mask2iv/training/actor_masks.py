"""Latents of the trajectories without the object, for systems that see the actor's masks only.

A network that never sees the object must be trained on masks from which it was taken before encoding: the latents of
both together still hold it. Encoding them in every step would cost more than the step (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from mask2iv.conditions import ConditionEncoder, only_actors
from mask2iv.files import alone, atomic_write
from mask2iv.masks import labels_to_tensor

_NAME = "actor_masks"


@torch.no_grad()
def build_actor_masks(
    encoder: ConditionEncoder,
    count: int,
    labels: Callable[[int], torch.Tensor],
    key: str,
    path: Path,
    mixed_precision: bool,
) -> torch.Tensor:
    """The latents at `path` if their key fits, else new ones, written there.

    Args:
        encoder: frozen encoders.
        count: N clips.
        labels: a clip's, uint8 [1, T, H, W].
        key: of :func:`mask2iv.training.cache.cache_key`.
        path: safetensors file.
        mixed_precision: encode in bfloat16.

    Returns:
        [N, C, T, h, w] in half precision.
    """
    with alone(path.with_suffix(".lock")):
        if path.is_file():
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("key") == key:
                    known: torch.Tensor = file.get_tensor(_NAME)
                    return known
        rows = []
        for index in tqdm(range(count), unit="clip", desc="encode actors' masks"):
            pixels = labels_to_tensor(only_actors(labels(index)).to(encoder.device))
            with torch.autocast(encoder.device.type, torch.bfloat16, enabled=mixed_precision):
                rows.append(encoder.latents(pixels).half().cpu())
        latents = torch.cat(rows).contiguous()
        with atomic_write(path) as temporary:
            save_file({_NAME: latents}, temporary, metadata={"key": key})
        return latents
