"""``mask2iv plan``: what it is asked. Slow imports are made when it runs, so that ``--help`` is immediate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling


@dataclass(frozen=True)
class RunPlan:
    """Make several interactions one after the other, each from the last frame of the one before, as one video.

    Writes video.mp4, trajectory.mp4, filmstrip.png, manifest.json, and a folder for each step: step-01, step-02, ...

        mask2iv plan plan.yaml --out result

    A plan is YAML; docs/editing.md describes its keys:

        version: 1
        image: desk.png
        steps:
          - {object_point: [120, 80], prompt: a hand pushing a can to the left}
          - {prompt: a hand picking up a can}

    After each step its last frame is compared with the picture: background, look of the object, sharpness. Exit status
    3: the plan was stopped because it had drifted (--on-drift stop); what was made until then is there.
    """

    plan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PLAN.yaml")]
    """The steps."""
    fitting: Fitting
    guidance: GuidanceOptions
    sampling: Sampling
    acceleration: Acceleration
    output: Output
    candidates: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Of each step draw N trajectories, with the seeds from its own on, and render the best."""
    on_drift: Literal["anchor", "stop", "ignore"] = "anchor"
    """When a frame has drifted too far: begin the next step from a frame made anew of the picture, its objects moved to
    where they are; stop; or go on."""

    detector_weights: Annotated[str | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Grounding DINO in safetensors, a folder or hub name: finds objects that the plan names in words only
    (object: red cup)."""

    def run(self) -> int:
        from mask2iv.generation.chains.run import run_plan

        how = (self.fitting, self.guidance, self.sampling, self.acceleration, self.output)
        return run_plan(self.plan, *how, self.candidates, self.on_drift, self.detector_weights)
