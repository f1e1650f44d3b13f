"""Position in the schedule of a run with a time limit."""

from __future__ import annotations

import time

import torch

from mask2iv.recipes.training import TrainingConfig


class Clock:
    """Maps time to a position in the schedule, from a run's first step to ``max_steps``.

    Without ``max_minutes`` the position stays 0. If the limit has passed before the first step, one step is trained.

    Args:
        config: limit and last step.
        begun: monotonic time from which the limit counts.
        first: the run's first step.
        processes: number of processes; the clock of the main one counts for all.
    """

    def __init__(self, config: TrainingConfig, begun: float, first: int, processes: int = 1) -> None:
        self.config, self.first, self.processes = config, first, processes
        self.start, self.end = time.monotonic(), begun + 60 * config.max_minutes

    def place(self) -> float:
        """The position in steps, 0 to ``max_steps``; every process must call it."""
        if not self.config.max_minutes:
            return 0.0
        share = (time.monotonic() - self.start) / max(self.end - self.start, 1e-9)
        places = [self.first + min(share, 1.0) * (self.config.max_steps - self.first)]
        if self.processes > 1:
            torch.distributed.broadcast_object_list(places, src=0)
        return places[0]
