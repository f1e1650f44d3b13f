"""Stage 1 by the mean of several plans: less varied than one of them, and nearer to where the object should go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mask2iv.backbones.planning.predictor import DrawnPlan, PlanningPredictor
from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.stages.interfaces import SamplingOptions
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.plan import ACTORS, InteractionPlan, actor_numbers

_NEXT = 1_000_003
"""Between the seeds of a scene's draws: far from what is counted up from one scene to the next."""


@dataclass(frozen=True, eq=False)
class AveragingPredictor:
    """The :class:`~mask2iv.stages.interfaces.TrajectoryPredictor` that paints the mean of several drawn plans.

    For tasks that have one way to be done: the mean of a push to the left and one to the right is none. Only planning
    is repeated, painting (most of the time) is not.

    Attributes:
        predictor: draws the plans.
        draws: how many for a scene; the first is what `predictor` draws.

    Raises:
        InputError: no draws.
    """

    predictor: PlanningPredictor
    draws: int

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError("draws", f"must be at least 1, found {self.draws}")

    @property
    def size_multiple(self) -> int:
        """See the interface."""
        return self.predictor.size_multiple

    def predict(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[Trajectory]:
        """See the interface."""
        count = self.draws
        each = [scene for scene in scenes for _ in range(count)]
        numbers = [seed + _NEXT * draw for seed in seeds for draw in range(count)]
        drawn = self.predictor.draw(each, numbers, replace(options, batch_size=options.batch_size * count))
        means = [mean_plan(drawn[start : start + count]) for start in range(0, len(drawn), count)]
        return self.predictor.paint(means)


def mean_plan(drawn: Sequence[DrawnPlan]) -> DrawnPlan:
    """The mean of plans for one scene, with the first one's shape code: a mean shape would be nobody's.

    An actor is there where it is in more than half of the plans, and its numbers are the means over these.
    """
    values = np.stack([one.plan.to_array() for one in drawn])
    mean = values.mean(axis=0)
    for slot in range(ACTORS):
        numbers = actor_numbers(mean, slot)
        present = numbers[:, :1].copy()
        numbers[:, 1:] /= np.where(present > 0, present, 1)
    return replace(drawn[0], plan=InteractionPlan.from_array(mean, drawn[0].plan.start))
