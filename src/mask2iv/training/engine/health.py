"""Speed and memory of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

GIB = 2**30
BACKWARD = 2.0
"""Operations of a backward pass, relative to those of the forward pass. Recomputed blocks do not count."""


class _FlopCounter(TorchDispatchMode):
    """PyTorch's formulas without its FlopCounterMode, whose bookkeeping per module needs gradients."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        elif func._overloadpacket is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
            self.total += sdpa_flop_count(*(tensor.shape for tensor in args[:3]))
        return result


def count_flops(forward: Callable[[], Any]) -> float:
    """Floating point operations of one training pass: the given forward pass and its backward pass.

    Matrix products, convolutions and attention count, each multiplication and each addition as one.
    """
    with torch.no_grad(), _FlopCounter() as counter:
        forward()
    return (1 + BACKWARD) * counter.total


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory of this process, in GiB: resident, and of the GPU if there is one."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    figures = {"peak_rss_gib": round(used / GIB, 3)}
    if device.type == "cuda":
        figures["peak_cuda_gib"] = round(torch.cuda.max_memory_allocated(device) / GIB, 3)
    return figures


class Speed:
    """Throughput since the last :meth:`look`.

    Args:
        batch_size: samples of a step.
        step_flops: floating point operations of a step over all processes; 0 if they were not counted.
        processes: number of processes that share them.
    """

    def __init__(self, batch_size: int, step_flops: float, processes: int) -> None:
        self.batch_size, self.step_flops, self.processes = batch_size, step_flops, processes
        self.restart()

    def restart(self) -> None:
        """Discard what was measured so far."""
        self._since, self._steps, self._busy = time.perf_counter(), 0, 0.0

    def pause(self) -> None:
        """Stop the clock until :meth:`resume`."""
        self._busy += time.perf_counter() - self._since

    def resume(self) -> None:
        """Start the clock again."""
        self._since = time.perf_counter()

    def step(self) -> None:
        """Count one more step."""
        self._steps += 1

    def look(self) -> dict[str, float]:
        """Samples per second and, if operations were counted, TFLOP/s per process, since the last call."""
        self.pause()
        rate = self._steps / max(self._busy, 1e-9)
        figures = {"clips_per_second": round(rate * self.batch_size, 4)}
        if self.step_flops:
            figures["tflops"] = round(rate * self.step_flops / self.processes / 1e12, 4)
        self.restart()
        return figures
