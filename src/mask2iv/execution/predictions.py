"""A model's trajectories for the scenes of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mask2iv.contract import Clip, Trajectory
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.scoring.score import score, with_agreement


def predictor(model: str, candidates: int = 8) -> Callable[[str, Clip, int], Trajectory]:
    """What a model predicts for a plan ("text", "target", "text-target", "best"), a clip and a seed.

    Args:
        model: "embedded", or a model folder.
        candidates: of how many draws "best" is the best.

    Raises:
        InputError: there is no such model.
    """
    pipeline = Mask2IVPipeline.from_pretrained(model)

    def predict(name: str, clip: Clip, seed: int) -> Trajectory:
        count = candidates if name == "best" else 1
        actor = clip.trajectory.actor[0]
        drawn = pipeline.trajectory(
            clip.image,
            clip.object_mask,
            None if name == "target" else clip.caption,
            clip.target_mask if "target" in name else None,
            actor if actor.any() else None,
            seed=seed,
            num_videos_per_prompt=count,
            batch_size=count,
            progress=False,
        )
        return drawn[0] if count == 1 else best(drawn, clip)

    return predict


def best(drawn: Sequence[Trajectory], clip: Clip) -> Trajectory:
    """The candidate for a clip's caption that scores best, see :mod:`mask2iv.trajectories.scoring.score`."""
    alone = [score(one, clip.object_mask, None, clip.caption) for one in drawn]
    totals = [one.total for one in with_agreement(alone, drawn)]
    return drawn[int(np.argmax(totals))]
