"""Optimisers, and the moving average of the weights that is a run's result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from diffusers.training_utils import EMAModel
from torch.distributed.tensor import DTensor, distribute_tensor

from mask2iv.extras import require
from mask2iv.recipes.training import TrainingConfig


def make_optimizer(parameters: Sequence[torch.nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW of the chosen kind; weight decay on weights of two and more dimensions.

    Raises:
        InputError: 8-bit states without bitsandbytes.
    """
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (0.9, config.adam_beta2)
    if config.optimizer == "adamw-8bit":
        bitsandbytes = require("bitsandbytes", "training.optimizer adamw-8bit")

        optimizer = bitsandbytes.optim.AdamW8bit(groups, lr=config.learning_rate, betas=betas)
        return cast(torch.optim.Optimizer, optimizer)
    fused = True if config.optimizer == "adamw-fused" else None
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=fused)


def local(tensor: torch.Tensor) -> Any:
    """This process's part of a tensor, sharing memory with it: all of it, unless it is sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor; every process must call it when the tensor is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole tensor of a parameter's shape, on its device and sharded as it is."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    # Every process has the whole tensor and cuts out its part; nothing is sent.
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)


class MovingAverage:
    """Moving average of parameters; of sharded ones each process averages its own part.

    Args:
        parameters: what is averaged.
        decay: upper bound of the decay, which rises with the steps. With 0 the average is the parameters themselves,
            and nothing is kept.
        device: where the average is kept; None for the parameters' device.

    Attributes:
        steps: number of values averaged so far.
    """

    def __init__(
        self, parameters: Sequence[torch.Tensor], decay: float, device: torch.device | str | None = None
    ) -> None:
        self.parameters, self.device = list(parameters), device
        parts = self._parts()
        # One tensor at a time would cost a GPU three small kernels each.
        together = any(part.device.type == "cuda" for part in parts)
        self._model = EMAModel(parts, decay=decay, foreach=together) if decay else None
        self.steps = 0

    def _parts(self) -> list[Any]:
        parts = (local(parameter) for parameter in self.parameters)
        return [part if self.device is None else part.to(self.device) for part in parts]

    def step(self) -> None:
        """Add the parameters' current values to the average."""
        self.steps += 1
        if self._model is not None:
            self._model.step(self._parts())

    def value(self, index: int) -> torch.Tensor:
        """The average of one parameter, whole; every process must call it when the parameter is sharded."""
        parameter = self.parameters[index]
        if self._model is None:
            return whole(parameter.detach())
        average = self._model.shadow_params[index]
        if not isinstance(parameter, DTensor):
            return cast(torch.Tensor, average)
        part = DTensor.from_local(
            average.to(parameter.device),
            parameter.device_mesh,
            parameter.placements,
            run_check=False,
            shape=parameter.shape,
            stride=parameter.stride(),
        )
        return part.full_tensor()

    def load(self, averages: Sequence[torch.Tensor], steps: int) -> None:
        """Continue from whole averages."""
        self.steps = steps
        if self._model is None:
            return
        for own, given, parameter in zip(self._model.shadow_params, averages, self.parameters, strict=True):
            own.copy_(local(like(given, parameter)))
        self._model.optimization_step = steps

    def swap_in(self) -> None:
        """Put the average into the parameters, keeping their values for :meth:`swap_out`."""
        if self._model is not None:
            self._model.store(local(parameter) for parameter in self.parameters)
            self.copy_to_parameters()

    def swap_out(self) -> None:
        """Put the parameters' own values back."""
        if self._model is not None:
            self._model.restore(local(parameter) for parameter in self.parameters)

    def copy_to_parameters(self) -> None:
        """Put the average into the parameters."""
        if self._model is not None:
            self._model.copy_to(local(parameter) for parameter in self.parameters)
