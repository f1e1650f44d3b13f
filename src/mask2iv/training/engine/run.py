"""A training run, and its progress."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.optim import MovingAverage


@dataclass(frozen=True)
class Run:
    """Where and how one training run happens.

    Attributes:
        directory: receives checkpoints, ``log.jsonl`` and pictures.
        accelerator: the processes and their devices.
        resume: a checkpoint folder, "latest" or None.
        identity: what defines the run, as hashes of configuration, clips and weights; a checkpoint of another one is
            refused.
        settings: the configuration behind its hash, nested JSON values, to report what differs.
        begun: monotonic time from which ``max_minutes`` counts.
    """

    directory: Path
    accelerator: Accelerator
    resume: str | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        step: optimiser steps done, skipped ones too; the sampler's position and the schedule follow from it.
        bad_steps: steps skipped for a NaN or infinite loss.
        figures: figures of the last validation.
        best: figures of the best validation and its step.
    """

    step: int = 0
    bad_steps: int = 0
    figures: dict[str, int | float] = field(default_factory=dict)
    best: dict[str, int | float] | None = None


class Resumable(Protocol):
    """What a checkpoint of a run is made from.

    Attributes:
        config: settings of the run.
        where: the run.
        accelerator: its processes and their devices.
        parameters: the trained ones, by name.
        optimizer: of the parameters.
        ema: their moving average.
        progress: progress of the run.
    """

    config: TrainingConfig
    where: Run
    accelerator: Accelerator
    parameters: dict[str, torch.nn.Parameter]
    optimizer: AcceleratedOptimizer
    ema: MovingAverage
    progress: Progress

    @property
    def step(self) -> int:
        """Optimiser steps done."""
