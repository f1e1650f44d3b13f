"""Regional compilation: the U-Net's repeated parts are compiled, each kind and size once, not the whole network.

The parts are residual blocks and both kinds of transformers. Compiling them takes a fraction of the time for the whole
network, because parts of one kind and size share the result. It loses next to nothing: the kernels that benefit (norms,
activations, sums) lie inside them.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from mask2iv.backbones.dynamicrafter.attention import SpatialTransformer, TemporalTransformer
from mask2iv.backbones.dynamicrafter.layers import ResBlock

REGIONS = (ResBlock, SpatialTransformer, TemporalTransformer)

RECOMPILE_LIMIT = 256
"""Kinds and sizes of parts that may be compiled in one process; PyTorch gives up beyond its own limit of 8. The
published network has 23 for each video size."""

FAILURES = (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit)
"""What PyTorch raises when it cannot compile something."""


class Compilation:
    """The compiled parts of some networks. If one cannot be compiled, all run uncompiled, and a warning says why.

    Args:
        options: of ``torch.compile``.

    Attributes:
        failure: why compilation was given up; None if it was not.
    """

    def __init__(self, **options: Any) -> None:
        self.failure: str | None = None
        self._options = options
        config: Any = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)

    def works(self, device: torch.device) -> bool:
        """Whether a small function compiles on `device`; a warning says why not."""
        try:
            torch.compile(lambda x: x.sin() + 1, **self._options)(torch.ones(8, device=device))
        except FAILURES as error:
            self.failure = f"torch.compile does not work here: {_reason(error)}"
            warnings.warn(
                f"{self.failure}; going on without it. It needs a C++ compiler on a CPU, Triton and a C compiler on a "
                "GPU",
                RuntimeWarning,
                stacklevel=3,
            )
        return self.failure is None

    def add(self, network: nn.Module) -> None:
        """Compile the network's parts when they are first called."""
        for module in network.modules():
            if isinstance(module, REGIONS):
                module.compile(**self._options)
                module._compiled_call_impl = self._guarded(module, module._compiled_call_impl)

    def _guarded(self, module: nn.Module, compiled: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.failure is None:
                try:
                    return compiled(*args, **kwargs)
                except FAILURES as error:
                    self.failure = f"{type(module).__name__}: {_reason(error)}"
                    warnings.warn(
                        f"torch.compile failed, going on without it ({self.failure})", RuntimeWarning, stacklevel=2
                    )
            return module._call_impl(*args, **kwargs)

        return call


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__
