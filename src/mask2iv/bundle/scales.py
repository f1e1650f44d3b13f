"""Sizes of a session's parts: for a data-centre GPU, and for a rehearsal on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mask2iv.errors import InputError

TIME_SHARES = {
    "simulate": 0.20,
    "painter": 0.20,
    "planner": 0.44,
    "video": 0.30,
    "reference": 0.34,
    "evaluate": 0.12,
    "pack": 0.04,
}
"""The parts of a session in order, and the share of its time that each may use. Painter and planner train in parallel
with video and reference."""


@dataclass(frozen=True)
class Scale:
    """Sizes of a session.

    Attributes:
        name: name of the scale.
        recipe: recipe of the weights to train further.
        clips: largest number of training clips of each of the three kinds; simulation stops when its time is up.
        held_out_clips: held-out clips of each kind.
        evaluated_clips: held-out clips of each kind whose videos are generated and evaluated at the end.
        reference_clips: training clips of each kind, the last ones, for the reference decoder instead of stage 2.
        evaluation_batch: clips generated per batch.
        settings: training settings of each part.
        flags: flags of every training and evaluation.
    """

    name: str
    recipe: str
    clips: int
    held_out_clips: int
    evaluated_clips: int
    reference_clips: int
    evaluation_batch: int
    settings: Mapping[str, Mapping[str, str]]
    flags: tuple[str, ...] = ()

    def with_clips(self, clips: int | None) -> Scale:
        """The scale with another number of training clips, if one is given.

        Raises:
            InputError: below 1.
        """
        if clips is None:
            return self
        if clips < 1:
            raise InputError("clips", f"must be at least 1, found {clips}")
        return replace(self, clips=clips)


def _settings(**each: tuple[int, float]) -> dict[str, dict[str, str]]:
    """Training settings of each part from its batch size and learning rate."""
    return {
        name: {"batch_size": str(batch), "learning_rate": str(rate), "optimizer": "adamw-fused"}
        for name, (batch, rate) in each.items()
    }


SCALES = {
    # Batch sizes and learning rates of the session that ran on a GPU, see docs/cluster.md.
    "full": Scale(
        name="full",
        recipe="embedded-cpu",
        clips=2400,
        held_out_clips=16,
        evaluated_clips=6,
        reference_clips=250,
        evaluation_batch=8,
        settings=_settings(painter=(32, 6e-4), planner=(256, 8e-4), video=(64, 5e-4), reference=(64, 4e-4)),
    ),
    "rehearsal": Scale(
        name="rehearsal",
        recipe="embedded-cpu",
        clips=2,
        held_out_clips=1,
        evaluated_clips=1,
        reference_clips=1,
        evaluation_batch=1,
        settings=_settings(painter=(2, 6e-4), planner=(4, 5e-4), video=(2, 5e-4), reference=(4, 3e-4)),
        flags=("--threads", "1"),
    ),
}
"""The scales by name."""
