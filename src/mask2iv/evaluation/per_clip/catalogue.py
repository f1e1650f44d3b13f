"""Every measure by its key in rows and figures: its title, how its values are written, and which values are better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mask2iv.evaluation.measures.scorecard import SUCCESS


@dataclass(frozen=True)
class Measure:
    """How a measure is shown.

    Attributes:
        title: with the unit.
        decimals: how many are written.
        better: 1 where larger values are better, -1 where smaller ones are, 0 for neither.
        factor: values are multiplied by it: 100 writes shares as percent.
    """

    title: str
    decimals: int
    better: int = 0
    factor: int = 1

    def form(self, value: float) -> str:
        """A value as text, without the unit."""
        return f"{self.factor * value:.{self.decimals}f}"


def _percent(title: str, better: int = 0, decimals: int = 1) -> Measure:
    return Measure(f"{title} (%)", decimals, better, factor=100)


SHARE = _percent("share")
"""A share without a title of its own."""
QUESTION_TITLES = {"verb": "action", "object_name": "object", "actor": "actor"}
"""What tables call :data:`~mask2iv.evaluation.networks.features.QUESTIONS`."""
_TARGET_ERROR = _percent("target error", -1)
_OBJECT_MIOU, _ACTOR_MIOU = Measure("object mIoU", 3, 1), Measure("actor mIoU", 3, 1)
_CHANNEL_MIOU = Measure("mIoU over colour channels", 3, 1)

MEASURES: Mapping[str, Measure] = {
    "fvd": Measure("FVD", 1, -1),
    "fvd-sim": Measure("FVD-sim", 2, -1),
    "fid": Measure("FID", 1, -1),
    "psnr": Measure("PSNR (dB)", 2, 1),
    "psnr_changed": Measure("PSNR where pixels change (dB)", 2, 1),
    "psnr_object": Measure("PSNR in the moved object (dB)", 2, 1),
    "psnr_actor": Measure("PSNR in the actor (dB)", 2, 1),
    "ssim": Measure("SSIM", 3, 1),
    "lpips": Measure("LPIPS", 3, -1),
    "gradient_object": Measure("detail of the moved object (true: 1)", 2),
    "gradient_actor": Measure("detail of the actor (true: 1)", 2),
    "gradient_rest": Measure("detail of the rest (true: 1)", 2),
    "actor_flicker": Measure("flicker of the actor (levels)", 2),
    **{f"recognised_{question}": _percent(f"{title} recognised", 1) for question, title in QUESTION_TITLES.items()},
    "v2v": Measure("V2V similarity", 3, 1),
    "t2v": Measure("T2V similarity", 3, 1),
    "target_error": _TARGET_ERROR,
    "success": _percent(f"success at {SUCCESS:.0%}", 1),
    "object_miou": _OBJECT_MIOU,
    "actor_miou": _ACTOR_MIOU,
    "contact_share": _percent("moving object touches actor", 1),
    "present": _percent("object in sight", 1),
    "size_kept": _percent("keeps its size", 1),
    "one_piece": _percent("in one piece", 1),
    "actor_components": Measure("pieces of the actor", 2),
    "actor_components_ratio": Measure("pieces of the actor by the true number", 2),
    "background_psnr": Measure("background PSNR (dB)", 2, 1),
    "flicker": Measure("flicker (levels)", 2),
    "jerk": _percent("jerk", decimals=2),
    "diversity": Measure("diversity over seeds", 3),
    "final_distance": _TARGET_ERROR,
    "object_iou": _OBJECT_MIOU,
    "actor_iou": _ACTOR_MIOU,
    "channel_miou": _CHANNEL_MIOU,
    "vanished": _percent("object gone at the end", -1),
}
"""Measures of rows, in the order of tables' columns."""

TRAJECTORY_FIGURES: Mapping[str, Measure] = {
    "final_distance_mean": _percent("final distance, mean", -1),
    "final_distance_median": _percent("median", -1),
    "vanished_share": MEASURES["vanished"],
    "object_miou": _OBJECT_MIOU,
    "actor_miou": _ACTOR_MIOU,
    "channel_miou": _CHANNEL_MIOU,
    "actor_components": MEASURES["actor_components"],
    "actor_components_ratio": replace(MEASURES["actor_components_ratio"], title="by the true number"),
    "moving_share": _percent("object moves"),
    "touch_share": MEASURES["contact_share"],
}
"""Figures of stage 1 by their keys in ``metrics.json``, in the order of its table's columns. The mIoU over colour
channels is there by the paper's convention only."""
OBJECT_FATE = ("success", "present", "size_kept", "one_piece", "jerk")
"""The part of the scorecard that is also measured of stage 1."""
DISTRIBUTIONS = ("fvd", "fvd-sim", "fid")
"""Measures that compare sets of videos; they have no value per clip."""
