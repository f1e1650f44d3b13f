"""Inputs of the pipeline, checked, brought to the model's size, encoded once and gathered into batches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.diffusion.samplers import SamplingStep
from mask2iv.errors import InputError
from mask2iv.media import resize_image, resize_mask
from mask2iv.trajectories.masks import load_mask

T = TypeVar("T")
OnStep = Callable[[SamplingStep], torch.Tensor | None]


def listed(image: Any) -> list[Any]:
    """A list or tuple as a list; anything else as a list of one."""
    return list(image) if isinstance(image, (list, tuple)) else [image]


def positive(value: int | None, default: int, field: str) -> int:
    """`value`, or `default` where it is None.

    Raises:
        InputError: below 1.
    """
    if value is not None and value < 1:
        raise InputError(f"{field} must be at least 1, found {value}")
    return default if value is None else value


def as_list(value: T | Sequence[T] | None, count: int, field: str) -> list[Any]:
    """`value` as a list of `count` entries; a single one is repeated.

    Raises:
        InputError: a list of another length.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise InputError(f"{field}: found {len(value)} entries for {count} images; give one for each")
    return list(value)


def check_image(image: Any) -> UInt8Array:
    """An image as uint8 [H, W, 3].

    Raises:
        InputError: neither a PIL image nor such an array.
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError(f"image must be a PIL image or a uint8 array [H, W, 3], found {found}")


def image_tensor(image: UInt8Array, size: tuple[int, int]) -> torch.Tensor:
    """float [1, 3, H, W] in [-1, 1] at `size`; the aspect ratio is not kept, as in the original."""
    resized = np.ascontiguousarray(resize_image(image, size))
    return torch.from_numpy(resized).permute(2, 0, 1).float().unsqueeze(0) / 127.5 - 1.0


def labels_of_first_frame(image: UInt8Array, object_mask: Any, actor_mask: Any, size: tuple[int, int]) -> UInt8Array:
    """First-frame labels uint8 [H, W] at `size`: the object over the actor, where one is given.

    Raises:
        InputError: a mask that is empty, covers everything or is not of the image's size.
    """
    labels = np.zeros(size, dtype=np.uint8)
    if actor_mask is not None:
        labels[_resized(actor_mask, image, size, "actor_mask")] = Label.ACTOR
    labels[_resized(object_mask, image, size, "object_mask")] = Label.OBJECT
    return labels


def target_labels(image: UInt8Array, target_mask: Any, size: tuple[int, int]) -> UInt8Array:
    """Labels uint8 [H, W] at `size` of the target-position mask: the object only."""
    return _resized(target_mask, image, size, "target_mask").astype(np.uint8) * np.uint8(Label.OBJECT)


def _resized(mask: Any, image: UInt8Array, size: tuple[int, int], field: str) -> BoolArray:
    checked = load_mask(mask, (int(image.shape[0]), int(image.shape[1])), field=field)
    resized: BoolArray = resize_mask(checked, size)
    if not resized.any():
        raise InputError(
            f"{field} covers {int(checked.sum())} pixels and vanishes at {size[0]}x{size[1]}; use a larger --size"
        )
    return resized


def sample_seeds(generator: torch.Generator | Sequence[torch.Generator | int] | None, count: int) -> list[int]:
    """One seed per output: drawn from its generator, or the integer itself. A single generator is drawn from in order.

    Raises:
        InputError: a list of another length.
    """
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    sources = [generator] * count if isinstance(generator, torch.Generator) else list(generator)
    if len(sources) != count:
        raise InputError(f"generator: found {len(sources)} for {count} outputs; give one for each")
    return [
        source
        if isinstance(source, int)
        else int(torch.randint(0, 2**62, (1,), generator=source, device=source.device))
        for source in sources
    ]


def stage_generator(seed: int, stage: int) -> torch.Generator:
    """The CPU generator of one output's stage (1 or 2): stage 2 draws the same noise whether or not stage 1 ran."""
    return torch.Generator().manual_seed((seed * 2 + stage) % 2**63)


def homogeneous_batches(keys: Sequence[Hashable], batch_size: int) -> list[list[int]]:
    """The indices of `keys` in batches of equal keys, `batch_size` at most, ordered by their first index."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return sorted(g[start : start + batch_size] for g in groups.values() for start in range(0, len(g), batch_size))


@dataclass(frozen=True)
class SamplingPlan:
    """How the outputs of one stage are sampled.

    Attributes:
        scheduler: of the networks' noise schedule.
        steps: sampling steps.
        batch_size: outputs that go through the networks together, at most.
        stack: whether the guidance branches of an output go through them together, too.
        watcher: for a number of outputs, what is called after each of their common steps.
    """

    scheduler: Any
    steps: int
    batch_size: int
    stack: bool
    watcher: Callable[[int], OnStep]

    def run(self, keys: Sequence[Hashable], sample: Callable[[list[int], OnStep], Sequence[T]]) -> list[T]:
        """One result per key, in their order; `sample` makes those of one batch of equal keys."""
        results: dict[int, T] = {}
        for batch in homogeneous_batches(keys, self.batch_size):
            # Solvers of several steps keep what they saw; this makes them forget it.
            self.scheduler.set_timesteps(self.steps)
            results.update(zip(batch, sample(batch, self.watcher(len(batch))), strict=True))
        return [results[index] for index in range(len(keys))]
