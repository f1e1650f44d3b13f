"""Preparation on several CPU cores ahead of the GPU's work: reading clips, distances, motions."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch

Row = dict[str, Any]
Prepare = Callable[[int], Row]
_FEWEST = 3
"""With fewer threads, PyTorch alone keeps them busy."""
_prepare: Prepare | None = None


@contextmanager
def helpers(prepare: Prepare) -> Iterator[Callable[[Sequence[int]], Iterable[Row]]]:
    """Within the block, maps indices to their prepared rows, in order: in as many processes as PyTorch has threads.

    With few threads, or where processes cannot be forked, this process prepares them, row by row.

    Args:
        prepare: maps an index to a dictionary of tensors and plain values; must not touch a GPU.
    """
    workers = torch.get_num_threads()
    if workers < _FEWEST or "fork" not in multiprocessing.get_all_start_methods():
        yield lambda indices: map(prepare, indices)
        return
    # Forked processes share the clips in memory, and start at once.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(prepare,)) as pool:

        def rows(indices: Sequence[int]) -> Iterable[Row]:
            for row in pool.map(_one, indices):
                yield {
                    key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
                    for key, value in row.items()
                }

        yield rows


def _begin(prepare: Prepare) -> None:
    global _prepare
    _prepare = prepare
    # The parent's threads do not survive the fork; with a single thread, none of them is waited for.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _one(index: int) -> Row:
    assert _prepare is not None
    # Tensors would be sent as open files, whose number per process is limited.
    return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in _prepare(index).items()}
