"""Work on a processor's other cores that precedes a GPU's: reading clips, distances, motions."""

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
"""Below so many threads, those of PyTorch have enough to do."""
_prepare: Prepare | None = None


@contextmanager
def helpers(prepare: Prepare) -> Iterator[Callable[[Sequence[int]], Iterable[Row]]]:
    """Within the block, maps indices to their prepared rows, in order: in as many processes as PyTorch has threads.

    With few threads, and where processes cannot be forked, it is done here, row by row.

    Args:
        prepare: of an index a dictionary of tensors and plain values; must not touch a GPU.
    """
    workers = torch.get_num_threads()
    if workers < _FEWEST or "fork" not in multiprocessing.get_all_start_methods():
        yield lambda indices: map(prepare, indices)
        return
    # Forked ones share the clips that are in memory, and start at once.
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
    # The threads of the process that was forked are not here; with one, none are looked for.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _one(index: int) -> Row:
    assert _prepare is not None
    # Tensors would be sent as open files, of which a process may have few.
    return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in _prepare(index).items()}
