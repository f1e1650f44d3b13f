"""The processes of a run and their devices: one or many, started directly or by ``accelerate launch``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.recipes.training import TrainingConfig

PATIENCE = timedelta(hours=6)
"""How long processes wait for each other: the main one may be encoding a whole clip set. A process that fails ends the
others at once, through the launcher."""

_SUPPORTED = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.FSDP,
)


def check_device(config: TrainingConfig, device: str) -> bool:
    """Whether a run computes on the CPU. Arguments and errors as in :func:`start_processes`."""
    cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device", "no CUDA device is available, found 'cuda'", "use cpu")
    if cpu and config.mixed_precision == "fp16":
        raise InputError("training.mixed_precision", "fp16 needs a GPU", "use bf16 or no on the CPU")
    if config.report_to == "tensorboard":
        require("tensorboard", "report_to tensorboard")
    if config.report_to == "wandb":
        require("wandb", "report_to wandb")
    return cpu


@contextmanager
def start_processes(config: TrainingConfig, device: str, project_dir: Path) -> Iterator[Accelerator]:
    """This process's part in a run; joins the others where ``accelerate launch`` (or torchrun) started several.

    Args:
        config: precision and tracker.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
        project_dir: receives TensorBoard files.

    Raises:
        InputError: no such device, a precision it does not have, a missing library, or a way of distributing that is
            not supported.
    """
    cpu = check_device(config, device)
    AcceleratorState._reset_state(reset_partial_state=True)  # a process may run several trainings
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=config.mixed_precision,
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=project_dir,
        # The loop accumulates gradients; this keeps the launcher's environment from dividing them again.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    _shard(accelerator)
    if accelerator.distributed_type not in _SUPPORTED:
        raise InputError(
            "accelerate",
            f"set to {accelerator.distributed_type.value}, which is not supported",
            "train on one process, on several (DDP), or launch with use_fsdp and fsdp_version=2",
        )
    yield accelerator
    # Not reached after an error: the process ends, and the launcher ends the others.
    accelerator.end_training()
    AcceleratorState._reset_state(reset_partial_state=True)


def _shard(accelerator: Accelerator) -> None:
    """Set up FSDP if the launcher asks for it."""
    state: Any = accelerator.state
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if asked and accelerator.distributed_type == DistributedType.MULTI_CPU:
        # accelerate shards on accelerators only, PyTorch on the CPU as well.
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
        state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    if accelerator.distributed_type != DistributedType.FSDP:
        return
    if not accelerator.is_fsdp2:
        raise InputError("accelerate", "training is sharded by FSDP2 only", "launch with use_fsdp and fsdp_version=2")
    # Weights are gathered in float32 and autocast as without FSDP, so that both compute the same numbers.
    state.fsdp_plugin.mixed_precision_policy = None
