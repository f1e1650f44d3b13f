"""How far the schedule of a run with a time limit is."""

from __future__ import annotations

import time

import torch

from mask2iv.recipes.training import TrainingConfig


class Clock:
    """Tells the place in the schedule by the time: from the step at which a run begins to ``max_steps``.

    Without ``max_minutes`` time moves nothing. Where the limit is over before the first step, one is trained.

    Args:
        config: limit and last step.
        begun: monotonic time from which the limit counts.
        first: the step that the run begins with.
        processes: how many train; the clock of the main one counts for all.
    """

    def __init__(self, config: TrainingConfig, begun: float, first: int, processes: int = 1) -> None:
        self.config, self.first, self.processes = config, first, processes
        self.start, self.end = time.monotonic(), begun + 60 * config.max_minutes

    def place(self) -> float:
        """In steps, 0 to ``max_steps``; every process must ask."""
        if not self.config.max_minutes:
            return 0.0
        share = (time.monotonic() - self.start) / max(self.end - self.start, 1e-9)
        places = [self.first + min(share, 1.0) * (self.config.max_steps - self.first)]
        if self.processes > 1:
            torch.distributed.broadcast_object_list(places, src=0)
        return places[0]
