"""Memory of a training pass, counted without allocating it: on the meta device, where tensors have only sizes.

Every tensor of the pass, forward and backward, is counted from the operation that creates it to its release; the
largest sum is the peak. Where a GPU differs from the meta device, the GPU is imitated: attention keeps what the fused
kernels keep, and autocast (which the meta device lacks) casts as on CUDA.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What CUDA's autocast runs in half precision and in float32, of the functions that the networks here call.
_HALF = {F.linear, F.conv2d, F.conv3d, F.conv_transpose2d, torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__}
_FULL = {F.group_norm, F.layer_norm, F.rms_norm, F.softmax, F.mse_loss, F.l1_loss, F.cross_entropy, F.normalize}


class _FusedAttention(torch.autograd.Function):
    """Keeps what flash and memory-efficient attention keep: their inputs, the output and one number per row."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        context.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in context.saved_tensors[:3])


class _GpuMode(TorchFunctionMode):
    """Autocast and fused attention.

    Args:
        dtype: the half precision; None for no autocast.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype
        # Autocast keeps the cast weights until the forward pass is over.
        self.weights: dict[int, Tensor] | None = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _FusedAttention.apply(*(self._cast(value, self.dtype) for value in args[:3]))
        dtype = self.dtype if func in _HALF else torch.float32 if func in _FULL else None
        if self.dtype is not None and dtype is not None:
            args = [self._cast(value, dtype) for value in args]
            kwargs = {name: self._cast(value, dtype) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype | None) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or dtype in (None, value.dtype):
            return value
        if self.weights is None or not (value.is_leaf and value.requires_grad) or dtype == torch.float32:
            return value.to(dtype)
        if id(value) not in self.weights:
            self.weights[id(value)] = value.to(dtype)
        return self.weights[id(value)]


class _Count(TorchDispatchMode):
    """Bytes of all live tensors that operations within the block created, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, Any] = {}

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, for as long as it lives."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def released(_: Any) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, released)
        self.now += size
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.add(value)
        return result


@contextmanager
def _recomputing(blocks: Sequence[nn.Module], mode: _GpuMode) -> Iterator[None]:
    """Within the block, the mode also covers blocks that gradient checkpointing recomputes in the backward pass."""
    handles = []
    for block in blocks:
        handles.append(block.register_forward_pre_hook(lambda *_: (mode.__enter__(), None)[1]))
        # Recomputation stops by an exception as soon as it has what it needs.
        leave = lambda *_: (mode.__exit__(None, None, None), None)[1]  # noqa: E731
        handles.append(block.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pass_memory(
    module: nn.Module,
    loss: Callable[[], Tensor],
    dtype: torch.dtype | None,
    passes: int = 1,
    checkpointed: Sequence[nn.Module] = (),
) -> int:
    """Peak bytes of forward and backward passes: activations, gradients and temporary tensors, without the weights.

    Args:
        module: on the meta device; its weights get gradients, which stay.
        loss: runs the module on the meta device.
        dtype: of autocast; None for none.
        passes: number of passes; from the second on (gradient accumulation), gradients exist from the start.
        checkpointed: the blocks that are recomputed in the backward pass.
    """
    with _Count() as count:
        weights = list(module.parameters())
        for parameter in weights:
            count.add(parameter)
        static = count.now
        for _ in range(min(passes, 2)):
            mode = _GpuMode(dtype)
            with mode:
                value = loss()
            mode.weights = None
            with _recomputing(checkpointed, mode):
                value.backward()  # type: ignore[no-untyped-call]
            del value
        peak = count.peak
    for parameter in weights:
        parameter.grad = None
    return peak - static
