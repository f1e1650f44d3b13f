"""A network's calls as CUDA graphs: all kernels are launched at once, so that the CPU is no bottleneck."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Replay = Callable[[], Tensor]
"""Runs the recorded call on what its input buffers hold now; returns its result tensor, which is always the same."""

Recorder = Callable[[Callable[[], Tensor]], Replay]
"""Records a call and returns its replay."""

WARM_UP = 2
"""Calls before a recording, in which libraries allocate workspaces, choose algorithms and compile: a graph cannot
record that."""


class CudaGraphRecorder:
    """Records CUDA graphs that share one memory pool: only one runs at a time, and results are copied out."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, call: Callable[[], Tensor]) -> Replay:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = call()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


@dataclass
class _Recording:
    """A replay, the buffers that it reads, and what was last copied into each."""

    replay: Replay
    buffers: list[Tensor]
    copied: list[tuple[Tensor, int | None]]

    def run(self, inputs: list[Tensor]) -> Tensor:
        for index, (buffer, given) in enumerate(zip(self.buffers, inputs, strict=True)):
            held, version = self.copied[index]
            # The context is the same at every step, so it is copied once.
            if given is held and version is not None and version == _version(given):
                continue
            buffer.copy_(given)
            self.copied[index] = (given, _version(given))
        return self.replay().clone()


def _version(tensor: Tensor) -> int | None:
    """Number of writes to the tensor; None where PyTorch does not count them."""
    return None if tensor.is_inference() else tensor._version


class StepGraphs:
    """Runs a function by replaying recordings, one for each set of input shapes; drops the least recently used.

    Args:
        recorder: makes the replays.
        limit: recordings kept. At full size each holds some gigabytes unless they share the recorder's memory.
    """

    def __init__(self, recorder: Recorder, limit: int = 4) -> None:
        self._recorder = recorder
        self._limit = limit
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()

    def __len__(self) -> int:
        return len(self._recordings)

    def __call__(self, function: Callable[..., Tensor], weights: Hashable, *inputs: Any) -> Tensor:
        """The result of ``function(*inputs)``, as a new tensor.

        Args:
            function: computes on a GPU without synchronising, and depends only on its inputs and its weights.
            weights: identifies the memory of the weights; a change makes a new recording.
            inputs: tensors and plain values, nested in tuples and named tuples. A tensor's values may change from call
                to call; any other change makes a new recording.
        """
        leaves, spec = pytree.tree_flatten(inputs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        signature = tuple(
            (leaf.shape, leaf.stride(), leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf
            for leaf in leaves
        )
        key = (weights, spec, signature)
        recording = self._recordings.get(key)
        if recording is None:
            while len(self._recordings) >= self._limit:
                self._recordings.popitem(last=False)
            recording = self._recordings[key] = self._record(function, leaves, spec, tensors)
        self._recordings.move_to_end(key)
        return recording.run(tensors)

    def _record(
        self, function: Callable[..., Tensor], leaves: list[Any], spec: Any, tensors: list[Tensor]
    ) -> _Recording:
        buffers = [tensor.detach().clone() for tensor in tensors]
        source = iter(buffers)
        static = pytree.tree_unflatten([next(source) if isinstance(leaf, Tensor) else leaf for leaf in leaves], spec)
        replay = self._recorder(lambda: function(*static))
        return _Recording(replay, buffers, [(tensor, _version(tensor)) for tensor in tensors])
