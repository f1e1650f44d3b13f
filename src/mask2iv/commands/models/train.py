"""``mask2iv train``: train one component of a model folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.experiments.variants import get_variant
from mask2iv.recipes import Recipe
from mask2iv.recipes.training import MixedPrecision, Tracker
from mask2iv.training.options import TrainingOptions
from mask2iv.training.start import check_start


@dataclass
class Train:
    """Train one component. The order: vae, encoders, painter and planner (stage 1 by plans), trajectory (stage 1 by
    diffusion), video (stage 2), reference (its decoder, which sharpens frames)."""

    task: TrainingOptions
    recipe: str = "embedded"
    """Named configuration: embedded, embedded-cpu, tiny, dynamicrafter-512 (a joint stage 1, and stage 2), or
    dynamicrafter-512-text, -position or -video, each also with -lora; RECIPE:VARIANT for a baseline or ablation of it.
    """
    mixed_precision: MixedPrecision | None = None
    """Precision of the computation. This and the flags below are short for --set COMPONENT.training.NAME=VALUE."""
    gradient_accumulation_steps: int | None = None
    """Parts into which each process splits its samples of a step, to save memory."""
    gradient_checkpointing: Literal["true", "false"] | None = None
    """Recompute the networks' blocks in the backward pass: slower, far less memory."""
    checkpoints_total_limit: int | None = None
    """How many of the newest checkpoints to keep."""
    max_shard_size: str | None = None
    """Keep checkpoint files below this size, e.g. 15MiB."""
    keep: Literal["last", "best"] | None = None
    """Write the weights of the last step or of the best validation into the model folder."""
    report_to: Tracker | None = None
    """Also log to TensorBoard files beside the run, or to Weights & Biases."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Override a setting of the recipe: key=value, e.g. video.training.max_steps=100; may be repeated."""
    dry_run: bool = False
    """Only check everything that can be known before the first step, and print what the run takes: weights, steps,
    memory, minutes. Nothing is written."""
    json: bool = False
    """With --dry-run: print the resolved configuration and the estimate as JSON."""

    def run(self) -> None:
        recipe = config.override(get_variant(self.recipe), (*self.set, *self._shortcuts()))
        recipe.of(self.task.component)
        if self.task.add_words and not recipe.reads_captions(self.task.component):
            raise InputError(
                "add_words", f"{self.task.component} of recipe {recipe.name} reads no captions", "leave it out"
            )
        if self.json and not self.dry_run:
            raise InputError("json", "is a form of what --dry-run prints", "give --dry-run too")
        check_start(self.task, recipe)
        if self.dry_run:
            self._plan(recipe)
            return
        from mask2iv.training.task import train

        train(self.task, recipe)

    def _shortcuts(self) -> list[str]:
        """Assignments of the flags that are short for a setting of the component."""
        names = (
            "mixed_precision",
            "gradient_accumulation_steps",
            "gradient_checkpointing",
            "checkpoints_total_limit",
            "max_shard_size",
            "keep",
            "report_to",
        )
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return [f"{self.task.component}.training.{name}={value}" for name, value in given.items()]

    def _plan(self, recipe: Recipe) -> None:
        import torch

        from mask2iv.devices import pick_device
        from mask2iv.training.estimates.duration import duration
        from mask2iv.training.estimates.estimate import estimate

        if self.task.threads:
            torch.set_num_threads(self.task.threads)
        clips = len(self.task.clips()[0])
        found = estimate(recipe, self.task.component, int(os.environ.get("WORLD_SIZE", "1")))
        if int(os.environ.get("RANK", "0")):
            return  # only one of the launched processes prints
        time = duration(recipe, found, pick_device(self.task.device))
        if self.json:
            estimated = {**found.to_dict(clips), **time.to_dict()}
            print(json.dumps({"config": config.to_dict(recipe), "estimate": estimated}, indent=2))
        else:
            print("\n".join([*found.lines(clips), time.line]))
