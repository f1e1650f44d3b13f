"""How good a predicted trajectory looks, without knowing the true one: to choose among several that were drawn.

Each score is in [0, 1], 1 for nothing to object to. Limits of what is usual are those of true clips: 40 of the
simulator, of which 95 % stay within them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mask2iv.contract import BoolArray, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.measures import areas, iou, pieces
from mask2iv.trajectories.scoring.movement import final_distance, goes, moving_and_touching, path_changes, way_said

USUAL_JERK = 0.018
"""Mean second difference of the object's centroid per frame squared, as a share of the diagonal."""
USUAL_STEP = 0.06
"""Longest way of the object's centroid from frame to frame, as a share of the diagonal."""
FAR = 0.1
"""An object that ends this far from its target, as a share of the diagonal, has not come near it at all."""
AREA_FACTOR = 2.0
"""An object keeps its size in a frame when its area is within this factor of its first area."""
WEIGHTS = {
    "target": 2.0,
    "contact": 2.0,
    "permanence": 2.0,
    "smoothness": 1.0,
    "speed": 1.0,
    "direction": 3.0,
    "agreement": 3.0,
}
"""What each score counts in the total; those that do not apply are left out."""


@dataclass(frozen=True)
class Scores:
    """Scores of one trajectory in [0, 1]; None where one does not apply.

    Attributes:
        target: mean of how near to its target the object ends (0 from :data:`FAR` on) and the IoU with it there.
        contact: share of the frames in which the object moves that show it touching the actor.
        permanence: mean of four shares of frames: the object is seen, within a factor :data:`AREA_FACTOR` of its first
            area, in one piece; the actor, where it is seen, is in one piece.
        smoothness: 1 up to :data:`USUAL_JERK`, 0 from twice that on.
        speed: 1 up to :data:`USUAL_STEP`, 0 from twice that on.
        direction: 1 where the object goes the way that the prompt says, 0 where it does not.
        agreement: mean IoU of the object with the other candidates', see :func:`with_agreement`; a likely course agrees
            with many.
        target_error: distance from the target at the end, share of the diagonal.
        jerk, longest_step: what smoothness and speed are of, shares of the diagonal.
        moving_frames: in how many the object moves.
    """

    target: float | None
    contact: float | None
    permanence: float
    smoothness: float
    speed: float
    direction: float | None
    agreement: float | None
    target_error: float | None
    jerk: float
    longest_step: float
    moving_frames: int

    @property
    def total(self) -> float:
        """Mean of the scores that apply, by :data:`WEIGHTS`."""
        known: dict[str, float] = {name: value for name in WEIGHTS if (value := getattr(self, name)) is not None}
        return sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)

    @property
    def record(self) -> dict[str, float | None]:
        """The total and all else, rounded, for a file."""
        values = {"total": self.total, **{field.name: getattr(self, field.name) for field in fields(self)}}
        return {name: value if value is None else round(value, 5) for name, value in values.items()}


def score(trajectory: Trajectory, start: BoolArray, target: BoolArray | None = None, prompt: str = "") -> Scores:
    """The scores of one trajectory; its agreement with others is not known yet.

    Args:
        trajectory: T frames, 2 or more.
        start: the object in the picture, bool [H, W], not empty.
        target: where it shall end, bool [H, W]; None for none.
        prompt: in the captions' words, as :meth:`mask2iv.prompts.reader.PromptReader.read` gives it; "" for none.

    Raises:
        InputError: one frame alone, or an empty mask.
    """
    if trajectory.num_frames < 2:
        raise InputError("trajectory", "must have 2 frames or more, found 1")
    if not start.any():
        raise InputError("start", "the mask is empty")
    moving, touching = moving_and_touching(trajectory)
    turns, steps = path_changes(trajectory, 2), path_changes(trajectory, 1)
    jerk, longest = (float(turns.mean()) if len(turns) else 0.0), float(steps.max(initial=0.0))
    way = way_said(prompt, start)
    error = None if target is None else final_distance(trajectory, target, start)[0]
    arrived = None
    if target is not None and error is not None:
        arrived = (max(0.0, 1 - error / FAR) + iou(trajectory.object[-1], target)) / 2
    return Scores(
        target=arrived,
        contact=touching / moving if moving else None,
        permanence=_permanence(trajectory, start),
        smoothness=_usual(jerk, USUAL_JERK),
        speed=_usual(longest, USUAL_STEP),
        direction=None if way is None else float(goes(trajectory, way.movement)),
        agreement=None,
        target_error=error,
        jerk=jerk,
        longest_step=longest,
        moving_frames=moving,
    )


def with_agreement(scores: Sequence[Scores], trajectories: Sequence[Trajectory]) -> list[Scores]:
    """The scores of candidates for one scene, with their agreement: the mean over the others of the objects' mean IoU
    in the frames after the first. One candidate alone has none."""
    count = len(trajectories)
    if count < 2:
        return list(scores)
    objects = [trajectory.object[1:] for trajectory in trajectories]
    likeness = np.zeros((count, count))
    for one in range(count):
        for other in range(one):
            pairs = zip(objects[one], objects[other], strict=True)
            likeness[one, other] = likeness[other, one] = np.mean([iou(a, b) for a, b in pairs])
    means = likeness.sum(axis=1) / (count - 1)
    return [replace(found, agreement=float(mean)) for found, mean in zip(scores, means, strict=True)]


def _permanence(trajectory: Trajectory, start: BoolArray) -> float:
    things, actors = trajectory.object[1:], trajectory.actor[1:]
    sizes = areas(trajectory, Label.OBJECT)[1:] / start.sum()
    shares = [
        float((sizes > 0).mean()),
        float(((sizes >= 1 / AREA_FACTOR) & (sizes <= AREA_FACTOR)).mean()),
        float(np.mean([pieces(mask) == 1 for mask in things])),
    ]
    seen = [mask for mask in actors if mask.any()]
    shares += [float(np.mean([pieces(mask) == 1 for mask in seen]))] if seen else []
    return float(np.mean(shares))


def _usual(value: float, limit: float) -> float:
    """1 up to a limit, falling to 0 at twice that."""
    return float(np.clip(2 - value / limit, 0, 1))
