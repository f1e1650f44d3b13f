"""Latents and image tokens of a clip set, computed once by the frozen networks, kept on disk.

A cache is a folder named by its key: a hash of the clips' bytes, the encoders' weights and the settings. So a stale one
is never found, let alone used.

    <key>/cache.json                 what it is of
    <key>/shard-00000.safetensors    clips 0 to 31, and so on; each written whole or not at all

A build that was stopped goes on with the shards that are missing. Any number of processes may build one cache: each
takes shards that nobody holds, then waits for the others'. The locks are the kernel's and end with their process, so
one that is killed leaves nothing behind that others wait for. Rows are read from the files when they are asked for; a
set may be larger than memory.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from mask2iv.conditions import ConditionEncoder, only_object
from mask2iv.data.dataset import collate
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, reason, sha256_file, write_json
from mask2iv.masks import labels_to_tensor
from mask2iv.training.clips import ClipMemory

CLIPS_PER_SHARD = 32
"""What a stopped build loses at most; at full size a shard takes 85 MB."""
_LAYOUT = "sharded latents, labels of two bits, 1"
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
    """Where a stage gets its encoded clips.

    Attributes:
        clip_ids: their names, in order.
        size: (H, W) of the frames.
    """

    clip_ids: Sequence[str]
    size: tuple[int, int]

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips of these indices."""


def cache_key(clips: ClipSet, modules: Iterable[nn.Module], settings: str) -> str:
    """Hash of everything the cached numbers depend on."""
    digest = hashlib.sha256(f"{_LAYOUT} {settings}".encode())
    for clip_id in clips.ids:
        digest.update(clip_id.encode())
        for name in ("video.mp4", "labels.npz"):
            digest.update(sha256_file(Path(clips.directory) / "clips" / clip_id / name).encode())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().float().cpu().numpy().tobytes())
    return digest.hexdigest()


# --- encoding


def _generator(clip_id: str, part: str) -> list[torch.Generator]:
    """The noise with which a variational autoencoder samples a part of a clip: always the same.

    The original draws anew each time it sees a clip; with the tiny variance of its posterior that changes nothing that
    a loss would show, and only a fixed draw makes a cache, its rebuilding and training without it agree.
    """
    digest = hashlib.sha256(f"{clip_id} {part}".encode()).digest()
    return [torch.Generator().manual_seed(int.from_bytes(digest[:7]))]


def encode_masks(encoder: ConditionEncoder, labels: torch.Tensor, clip_id: str) -> torch.Tensor:
    """Latents [1, C, T, h, w] of one clip's trajectory, uint8 [1, T, H, W]."""
    return encoder.latents(labels_to_tensor(labels), _generator(clip_id, "masks"))


@torch.no_grad()
def encode_clip(encoder: ConditionEncoder, clips: ClipMemory, index: int) -> EncodedClips:
    """One clip, encoded."""
    item = clips.item(index)
    batch = collate([item]).to(encoder.device)
    bare = torch.stack([only_object(batch.labels[:, 0]), only_object(batch.labels[:, -1])], dim=1)
    latents = encoder.latents(labels_to_tensor(bare), _generator(item["clip_id"], "bare")).half()
    return EncodedClips(
        video=encoder.latents(batch.video, _generator(item["clip_id"], "video")).half(),
        masks=encode_masks(encoder, batch.labels, item["clip_id"]).half(),
        first_object=latents[:, :, 0],
        target=latents[:, :, 1],
        image_features=encoder.image_features(batch.first_frame).half(),
        labels=batch.labels,
    )


class FreshlyEncoded:
    """Encodes clips each time they are asked for: no disk space, at the price of the encoders in every step."""

    def __init__(self, encoder: ConditionEncoder, clips: ClipMemory) -> None:
        self.encoder, self.clips = encoder, clips
        self.clip_ids: Sequence[str] = clips.clips.ids
        self.size = clips.dataset.size

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips of these indices."""
        return EncodedClips.join([encode_clip(self.encoder, self.clips, index) for index in indices])


# --- the cache on disk


class LatentCache:
    """A complete cache.

    Args:
        folder: of its shards.
        clip_ids: of its clips, in order.
        size: (H, W) of the frames.
    """

    def __init__(self, folder: Path, clip_ids: Sequence[str], size: tuple[int, int]) -> None:
        self.folder, self.clip_ids, self.size = folder, clip_ids, size

    def __len__(self) -> int:
        return len(self.clip_ids)

    def rows(self, indices: Sequence[int]) -> EncodedClips:
        """The clips of these indices.

        Raises:
            InputError: a shard was removed or damaged since the cache was opened.
        """
        return EncodedClips.join([self._row(index) for index in indices])

    def _row(self, index: int) -> EncodedClips:
        shard, row = divmod(index, CLIPS_PER_SHARD)
        path = _shard_path(self.folder, shard)
        try:
            # Opened for each row, which takes microseconds: any number of shards, and nothing to share with workers.
            with safe_open(path, framework="pt") as file:
                values = {name: file.get_slice(name)[row : row + 1] for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"latent cache: {path} cannot be read: {reason(error)}; start again to rebuild it"
            ) from error
        values["labels"] = _unpack(values["labels"])
        return EncodedClips(**values)


def build_cache(
    encoder: ConditionEncoder, clips: ClipMemory, key: str, root: Path, autocast: torch.dtype | None
) -> LatentCache:
    """The cache of this key below `root`, with the shards that it lacks encoded now.

    Args:
        encoder: frozen encoders.
        clips: what to encode.
        key: of :func:`cache_key`.
        root: folder of caches.
        autocast: precision of the encoders' matrix products; None for that of their weights.
    """
    folder = root / key[:16]
    count = -(-len(clips) // CLIPS_PER_SHARD)
    missing = [shard for shard in range(count) if not _is_done(folder, shard, key)]
    if missing and not (folder / "cache.json").is_file():
        what = {"key": key, "clips": len(clips), "clips_per_shard": CLIPS_PER_SHARD, "size": list(clips.dataset.size)}
        write_json(folder / "cache.json", what)
    with tqdm(total=count, initial=count - len(missing), unit="shard", desc="encode", disable=not missing) as bar:
        for wait in (False, True):
            left = []
            for shard in missing:
                with _locked(_shard_path(folder, shard).with_suffix(".lock"), wait) as held:
                    if not held:
                        left.append(shard)
                        continue
                    if not _is_done(folder, shard, key):
                        _write_shard(encoder, clips, shard, key, folder, autocast)
                    bar.update()
            missing = left
    return LatentCache(folder, clips.clips.ids, clips.dataset.size)


def _write_shard(
    encoder: ConditionEncoder, clips: ClipMemory, shard: int, key: str, folder: Path, autocast: torch.dtype | None
) -> None:
    start = shard * CLIPS_PER_SHARD
    rows = []
    for index in range(start, min(start + CLIPS_PER_SHARD, len(clips))):
        with torch.autocast(encoder.device.type, autocast, enabled=autocast is not None):
            rows.append(encode_clip(encoder, clips, index).to(torch.device("cpu")))
    tensors = EncodedClips.join(rows).tensors()
    tensors["labels"] = _pack(tensors["labels"])
    with atomic_write(_shard_path(folder, shard)) as temporary:
        contiguous = {name: value.contiguous() for name, value in tensors.items()}
        save_file(contiguous, temporary, metadata={"key": key})


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.safetensors"


def _is_done(folder: Path, shard: int, key: str) -> bool:
    path = _shard_path(folder, shard)
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get("key") == key)
    except (OSError, SafetensorError):
        return False


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Holds the lock at `path`; yields False where another process has it and `wait` is not set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                yield False
                return
            # A file system without locks: work may be done twice, and is still right, since files appear whole.
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                raise
        yield True
        # Whoever waits for this file looks for the shard next, and finds it.
        path.unlink(missing_ok=True)


def _pack(labels: torch.Tensor) -> torch.Tensor:
    """Labels, uint8 [..., W] of values below 4, to uint8 [..., W / 4]."""
    quads = labels.unflatten(-1, (-1, _LABELS_PER_BYTE))
    packed: torch.Tensor = quads[..., 0] | quads[..., 1] << 2 | quads[..., 2] << 4 | quads[..., 3] << 6
    return packed


def _unpack(packed: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`_pack`."""
    shifts: Any = torch.arange(0, 8, 2, dtype=torch.uint8)
    return (packed.unsqueeze(-1) >> shifts & 3).flatten(-2)
