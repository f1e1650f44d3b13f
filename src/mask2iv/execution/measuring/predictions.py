"""A model's trajectories for the scenes of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.scoring.score import score, with_agreement


class Predictor:
    """What a model predicts for a plan of :data:`~mask2iv.execution.measuring.origins.NETWORK`, a clip and a seed.

    Args:
        model: "embedded", or a model folder.
        candidates: of how many draws "best" is the best.

    Raises:
        InputError: there is no such model.
    """

    def __init__(self, model: str, candidates: int = 8) -> None:
        self._pipeline = Mask2IVPipeline.from_pretrained(model)
        self._candidates = candidates

    def __call__(self, name: str, clip: Clip, seed: int) -> Trajectory:
        count = self._candidates if name == "best" else 1
        actor = clip.trajectory.actor[0]
        drawn = self._pipeline.trajectory(
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

    def video(self, trajectory: Trajectory, clip: Clip, seed: int) -> UInt8Array:
        """Stage 2's frames of a predicted trajectory, uint8 [T, H, W, 3]."""
        frames: UInt8Array = self._pipeline.render(clip.image, trajectory, seed=seed, progress=False)[0]
        return frames


def best(drawn: Sequence[Trajectory], clip: Clip) -> Trajectory:
    """The candidate for a clip's caption that scores best, see :mod:`mask2iv.trajectories.scoring.score`."""
    alone = [score(one, clip.object_mask, None, clip.caption) for one in drawn]
    totals = [one.total for one in with_agreement(alone, drawn)]
    return drawn[int(np.argmax(totals))]
