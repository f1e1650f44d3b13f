"""How long a training run takes on this machine: passes over empty clips, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from mask2iv.recipes import Recipe
from mask2iv.training.estimates.estimate import AUTOCAST, Estimate, build_probe

_MOST_WEIGHTS = 200e6
"""On a processor, a pass of a larger network takes minutes, and memory that may not be there."""
_TIMED = 2


@dataclass(frozen=True)
class Duration:
    """The time of a run's steps. Reading or encoding the clips, the optimiser's update and validation come on top.

    Attributes:
        step: seconds of a step; None where they were not timed.
        minutes: of all steps, at most the run's ``max_minutes``; None where they were not timed.
    """

    step: float | None
    minutes: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain values."""
        return {
            "seconds_per_step": None if self.step is None else round(self.step, 4),
            "minutes": None if self.minutes is None else round(self.minutes, 1),
        }

    @property
    def line(self) -> str:
        """The same as text."""
        if self.step is None or self.minutes is None:
            return "time: not estimated for a network of this size on a processor"
        return (
            f"time: about {self.minutes:.{0 if self.minutes >= 10 else 1}f} minutes on this machine ({self.step:.2g} s "
            "a step, timed on empty clips), and what reading or encoding the clips and validation take"
        )


def duration(recipe: Recipe, found: Estimate, device: torch.device) -> Duration:
    """The time that training a component takes.

    Args:
        recipe: with the component's settings.
        found: the estimate of the component.
        device: where to time.
    """
    settings = recipe.of(found.component).training
    step = _step_seconds(recipe, found, device)
    minutes = None if step is None else settings.max_steps * step / 60
    if minutes is not None and settings.max_minutes:
        minutes = min(minutes, settings.max_minutes)
    return Duration(step, minutes)


def _step_seconds(recipe: Recipe, found: Estimate, device: torch.device) -> float | None:
    """The fastest of a few steps on one device, after one to warm up; None for a large network on a processor."""
    if device.type == "cpu" and found.trained + found.frozen > _MOST_WEIGHTS:
        return None
    settings = recipe.of(found.component).training
    module, loss = build_probe(recipe, found.component, found.clips_at_once, device)
    dtype = AUTOCAST[settings.mixed_precision]
    times = []
    for _ in range(1 + _TIMED):
        started = time.perf_counter()
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        module.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:]) * settings.gradient_accumulation_steps
