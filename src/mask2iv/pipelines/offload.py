"""Offloading by accelerate's hooks: of all networks only the one that computes is on the device.

accelerate's own chain (``cpu_offload_with_hook``) sends away one predecessor, which supposes that networks run in one
fixed order. Here the autoencoder comes first and last in each stage, so whatever is there makes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from torch import nn


class Turns:
    """Whose weights are on the device.

    Args:
        device: where networks compute.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.resident: nn.Module | None = None

    def take(self, module: nn.Module) -> None:
        """Bring `module` to the device, and the one before it back to main memory."""
        if self.resident is module:
            return
        # torch's own `to`: diffusers' warns of modules to be kept in float32 even where there are none.
        if self.resident is not None:
            nn.Module.to(self.resident, "cpu")
        nn.Module.to(module, self.device)
        self.resident = module


class TurnHook(ModelHook):  # type: ignore[misc]
    """Gives a network its turn before each call. The network stays until another one is called."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def init_hook(self, module: nn.Module) -> nn.Module:
        return nn.Module.to(module, "cpu")

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.turns.take(module)
        return send_to_device(args, self.turns.device), send_to_device(kwargs, self.turns.device)


def one_at_a_time(modules: Sequence[nn.Module], device: torch.device) -> Turns:
    """Have each of the networks brought to `device` when it is called, and sent away when another one is.

    Autoencoders of diffusers are called by ``encode`` and ``decode``, which know such hooks.
    """
    turns = Turns(device)
    for module in modules:
        add_hook_to_module(module, TurnHook(turns))
    return turns
