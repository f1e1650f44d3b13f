"""How outputs are sampled, alike for both stages: together or one by one, watched by a progress bar and a callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from tqdm import tqdm

from mask2iv.diffusion.samplers import SamplingStep
from mask2iv.stages.inputs import OnStep, SamplingPlan, positive

StepCallback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any]]
"""As diffusers calls it: with the pipeline, the step, the timestep and the latents; what it returns replaces them."""


class SampledPipeline(Protocol):
    """What a pipeline is to its sampling."""

    encoder: Any

    def solver(self, sampler: str | None) -> Any:
        """The scheduler of this name; the model's own for None."""


@dataclass(frozen=True)
class SamplingOptions:
    """See the arguments of the same names of :meth:`~mask2iv.pipelines.pipeline.Mask2IVPipeline.trajectory`."""

    batch_size: int
    sampler: str | None
    callback: StepCallback | None
    progress: bool

    @contextmanager
    def plan(self, pipeline: SampledPipeline, name: str, steps: int, outputs: int) -> Iterator[SamplingPlan]:
        """The plan by which a pipeline samples this many outputs of a stage, while its progress bar is shown."""
        batch_size = positive(self.batch_size, 1, "batch_size")
        # A GPU wants few large calls. A CPU gains nothing from them, and separate calls keep a single output's bits.
        stack = batch_size > 1 or pipeline.encoder.device.type == "cuda"
        solver = pipeline.solver(self.sampler)
        with tqdm(total=steps * outputs, desc=name, unit="step", disable=not self.progress) as bar:
            yield SamplingPlan(solver, steps, batch_size, stack, lambda count: self._watcher(pipeline, bar, count))

    def _watcher(self, pipeline: SampledPipeline, bar: tqdm, count: int) -> OnStep:
        """Moves the progress bar and calls the user's callback after each step of `count` outputs."""

        def watch(step: SamplingStep) -> torch.Tensor | None:
            bar.update(count)
            if self.callback is None:
                return None
            returned = self.callback(pipeline, step.index, int(step.timestep), {"latents": step.latents})
            replaced: torch.Tensor | None = returned.get("latents")
            return replaced

        return watch
