"""Seeds, and outputs sampled in batches, alike for both stages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TypeVar

import torch

from mask2iv.diffusion.samplers import SamplingStep
from mask2iv.errors import InputError
from mask2iv.stages.interfaces import SamplingOptions

T = TypeVar("T")
OnStep = Callable[[SamplingStep], torch.Tensor | None]
Generators = torch.Generator | int | Sequence[torch.Generator | int] | None


def sample_seeds(generator: Generators, count: int, seed: int | Sequence[int] | None = None) -> list[int]:
    """One seed per output: drawn from its generator, or the integer itself.

    A single generator is drawn from in order; a single integer is counted up from.

    Args:
        generator: one, or one per output; None for new ones.
        count: of outputs.
        seed: another name of integers.

    Raises:
        InputError: a list of another length, both names, or a negative number.
    """
    if seed is not None:
        if generator is not None:
            raise InputError("seed", "generator is given too", "leave one of them out")
        generator = seed
    if isinstance(generator, int):
        generator = range(generator, generator + count)
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    sources = [generator] * count if isinstance(generator, torch.Generator) else list(generator)
    if len(sources) != count:
        raise InputError("generator", f"found {len(sources)} for {count} outputs", "give one for each")
    if any(isinstance(source, int) and source < 0 for source in sources):
        raise InputError("generator", "a seed must be at least 0", "choose another one")
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


def sample_in_batches(
    keys: Sequence[Hashable], options: SamplingOptions, sample: Callable[[list[int], OnStep], Sequence[T]]
) -> list[T]:
    """One result per key, in the order of the keys.

    Args:
        keys: outputs with equal keys may go through the networks together.
        options: with the batch size, and what watches the steps.
        sample: makes the results of one batch, given its indices and what to call after each step.
    """
    results: dict[int, T] = {}
    for batch in homogeneous_batches(keys, options.batch_size):
        results.update(zip(batch, sample(batch, partial(_report, options, len(batch))), strict=True))
    return [results[index] for index in range(len(keys))]


def _report(options: SamplingOptions, outputs: int, step: SamplingStep) -> torch.Tensor | None:
    return None if options.watch is None else options.watch(step, outputs)
