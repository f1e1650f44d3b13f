"""Latents and image tokens of a clip set, computed once by the frozen networks.

The cache file carries a key made of the clips' bytes, the encoders' weights and the sizes; a stale one is never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from mask2iv.conditions import ConditionEncoder, only_object
from mask2iv.data.dataset import ClipDataset, collate
from mask2iv.data.store import ClipSet
from mask2iv.files import atomic_write
from mask2iv.masks import labels_to_tensor


@dataclass(frozen=True)
class LatentCache:
    """Encoded clips, N of them, in half precision.

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


def cache_key(clips: ClipSet, modules: Iterable[nn.Module], settings: str) -> str:
    """Hash of everything the cached numbers depend on."""
    digest = hashlib.sha256(settings.encode())
    for clip_id in clips.ids:
        for name in ("video.mp4", "labels.npz"):
            digest.update((Path(clips.directory) / "clips" / clip_id / name).read_bytes())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def build_cache(
    encoder: ConditionEncoder, clips: ClipDataset, key: str, path: Path, mixed_precision: bool
) -> LatentCache:
    """The cache at `path` if its key fits, else a new one, written there.

    Args:
        encoder: frozen encoders.
        clips: what to encode.
        key: of :func:`cache_key`.
        path: safetensors file.
        mixed_precision: encode in bfloat16; the cache is half precision anyway.
    """
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("key") == key:
                return LatentCache(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    rows: dict[str, list[torch.Tensor]] = {}
    for index in tqdm(range(len(clips)), unit="clip", desc="encode"):
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=mixed_precision):
            encoded = encode_clip(encoder, clips, index)
        for name, value in encoded.items():
            rows.setdefault(name, []).append(value.cpu())
    tensors = {name: torch.cat(values).contiguous() for name, values in rows.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"key": key})
    return LatentCache(**tensors)


@torch.no_grad()
def encode_clip(encoder: ConditionEncoder, clips: ClipDataset, index: int) -> dict[str, torch.Tensor]:
    """One clip's row of :class:`LatentCache`."""
    batch = collate([clips[index]]).to(encoder.device)
    bare = torch.stack([only_object(batch.labels[:, 0]), only_object(batch.labels[:, -1])], dim=1)
    latents = encoder.latents(labels_to_tensor(bare)).half()
    return {
        "video": encoder.latents(batch.video).half(),
        "masks": encoder.latents(labels_to_tensor(batch.labels)).half(),
        "first_object": latents[:, :, 0],
        "target": latents[:, :, 1],
        "image_features": encoder.image_features(batch.first_frame).half(),
        "labels": batch.labels,
    }
