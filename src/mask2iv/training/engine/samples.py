"""The samples of a step and their random sources. All of it follows from seed, step and position alone.

A sample's position counts through the step's whole batch, over all processes. So neither the number of processes nor
gradient accumulation changes what a run computes, except for the order in which numbers are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from mask2iv.errors import InputError
from mask2iv.models.dropout import SampleDropout
from mask2iv.recipes.training import TrainingConfig


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


@dataclass(frozen=True)
class Samples:
    """The samples of an optimiser step that one process computes at a time.

    Attributes:
        step: optimiser step, counted from 0.
        rows: index of each sample in the data.
        seeds: seed of each sample; two samples of a run share one only by chance.
        average: maps a tensor to its mean over all processes, without gradient.
        place: position in the run's schedule, in steps: ``step``, or more if ``max_minutes`` demands it.
    """

    step: int
    rows: list[int]
    seeds: list[int]
    average: Callable[[torch.Tensor], torch.Tensor] = _same
    place: float = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def generators(self) -> list[torch.Generator]:
        """A fresh CPU generator for each sample."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds]


def sample_seed(seed: int, step: int, position: int) -> int:
    """The seed of one sample: a hash of the run's seed, the step and the position in the step's batch."""
    digest = hashlib.blake2b(f"{seed} {step} {position}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + epoch))


def rows_at(count: int, seed: int, positions: Iterable[int]) -> list[int]:
    """Indices at positions counted from the start of a run; each epoch is reshuffled and shows every sample once."""
    rows = []
    for position in positions:
        epoch, offset = divmod(position, count)
        rows.append(int(_order(count, seed, epoch)[offset]))
    return rows


def step_samples(
    config: TrainingConfig,
    count: int,
    step: int,
    process: int = 0,
    processes: int = 1,
    average: Callable[[torch.Tensor], torch.Tensor] = _same,
    share: int = 1,
) -> list[Samples]:
    """The samples of a step that one process computes, in ``gradient_accumulation_steps`` parts.

    Args:
        config: batch size, accumulation and seed.
        count: samples in the data.
        step: optimiser step, counted from 0.
        process, processes: index of the process, and number of processes.
        average: see :class:`Samples`.
        share: number of neighbours in the batch that show the same row.

    Raises:
        InputError: the batch cannot be divided evenly.
    """
    parts = processes * config.gradient_accumulation_steps
    if config.batch_size % parts:
        raise InputError(
            "training.batch_size",
            f"{processes} processes x gradient_accumulation_steps={config.gradient_accumulation_steps} do not divide "
            f"{config.batch_size}",
            f"use a multiple of {parts}",
        )
    size = config.batch_size // parts
    made = []
    for part in range(process * config.gradient_accumulation_steps, (process + 1) * config.gradient_accumulation_steps):
        positions = range(part * size, (part + 1) * size)
        first = step * -(-config.batch_size // share)
        rows = rows_at(count, config.seed, (first + position // share for position in positions))
        seeds = [sample_seed(config.seed, step, position) for position in positions]
        made.append(Samples(step, rows, seeds, average))
    return made


@contextmanager
def dropout_seeds(module: nn.Module, seeds: list[int]) -> Iterator[None]:
    """Within the block, dropout draws each sample's mask from that sample's seed."""
    layers = [layer for layer in module.modules() if isinstance(layer, SampleDropout)]
    try:
        for index, layer in enumerate(layers):
            layer.seeds, layer.index = seeds, index
        yield
    finally:
        for layer in layers:
            layer.seeds = None
