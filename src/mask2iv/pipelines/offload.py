"""Offloading by accelerate's hooks: only the network that computes is on the device.

accelerate's own chain (``cpu_offload_with_hook``) offloads one fixed predecessor, so it assumes that the networks run
in a fixed order. Here the autoencoder runs first and last in each stage, so whichever network is resident is offloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from torch import nn


class Turns:
    """Keeps track of the network whose weights are on the device.

    Args:
        device: where networks compute.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.resident: nn.Module | None = None

    def take(self, module: nn.Module) -> None:
        """Move `module` to the device, and its predecessor back to main memory."""
        if self.resident is module:
            return
        # torch's own `to`: that of diffusers warns of modules to keep in float32 even where there are none.
        if self.resident is not None:
            nn.Module.to(self.resident, "cpu")
        nn.Module.to(module, self.device)
        self.resident = module


class TurnHook(ModelHook):  # type: ignore[misc]
    """Moves a network to the device before each call. It stays there until another one is called."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def init_hook(self, module: nn.Module) -> nn.Module:
        return nn.Module.to(module, "cpu")

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.turns.take(module)
        return send_to_device(args, self.turns.device), send_to_device(kwargs, self.turns.device)


def one_at_a_time(modules: Sequence[nn.Module], device: torch.device) -> Turns:
    """Hook the networks so that each moves to `device` when it is called and leaves when another one is.

    diffusers' autoencoders are called through ``encode`` and ``decode``, which support such hooks.
    """
    turns = Turns(device)
    for module in modules:
        add_hook_to_module(module, TurnHook(turns))
    return turns
