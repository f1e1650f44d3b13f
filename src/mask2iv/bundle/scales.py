"""How large the parts of a session are: for a data-centre GPU, and to rehearse it on a processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mask2iv.errors import InputError

SHARES = {
    "simulate": 0.20,
    "painter": 0.20,
    "planner": 0.44,
    "video": 0.30,
    "reference": 0.34,
    "evaluate": 0.12,
    "pack": 0.04,
}
"""The parts of a session in their order, and what each may take of its time; painter and planner train beside video and
reference."""


@dataclass(frozen=True)
class Scale:
    """Sizes of a session.

    Attributes:
        name: of these sizes.
        recipe: of the weights that are trained further.
        clips: to train on, at most, of each of three kinds; simulation stops when its time is up.
        held_out: clips of each kind to measure on.
        evaluated: of these, as many of each kind have their videos made and measured at the end.
        rendered: clips of each kind, the last ones, that stage 2 does not learn from and the reference decoder does.
        evaluation_batch: clips that are generated together.
        settings: of each training.
        flags: of every training and evaluation.
    """

    name: str
    recipe: str
    clips: int
    held_out: int
    evaluated: int
    rendered: int
    evaluation_batch: int
    settings: Mapping[str, Mapping[str, str]]
    flags: tuple[str, ...] = ()

    def with_clips(self, clips: int | None) -> Scale:
        """With another number of clips, if one is given.

        Raises:
            InputError: below 1.
        """
        if clips is None:
            return self
        if clips < 1:
            raise InputError(f"--clips must be at least 1, found {clips}")
        return replace(self, clips=clips)


def _rates(**each: tuple[int, float]) -> dict[str, dict[str, str]]:
    """Settings by batch size and learning rate."""
    return {
        name: {"batch_size": str(batch), "learning_rate": str(rate), "optimizer": "adamw-fused"}
        for name, (batch, rate) in each.items()
    }


SCALES = {
    # Batches and rates of the one session that was run on a GPU, see docs/cluster.md.
    "full": Scale(
        name="full",
        recipe="embedded-cpu",
        clips=2400,
        held_out=16,
        evaluated=6,
        rendered=250,
        evaluation_batch=8,
        settings=_rates(painter=(32, 6e-4), planner=(256, 8e-4), video=(64, 5e-4), reference=(64, 4e-4)),
    ),
    "rehearsal": Scale(
        name="rehearsal",
        recipe="embedded-cpu",
        clips=2,
        held_out=1,
        evaluated=1,
        rendered=1,
        evaluation_batch=1,
        settings=_rates(painter=(2, 6e-4), planner=(4, 5e-4), video=(2, 5e-4), reference=(4, 3e-4)),
        flags=("--threads", "1"),
    ),
}
"""By name."""
