"""From per-clip rows to figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mask2iv.evaluation.measures.fidelity import GRADIENTS
from mask2iv.evaluation.measures.metrics import Figure, mean_figure, median_figure, ratio_figure, share_figure
from mask2iv.evaluation.networks.features import QUESTIONS
from mask2iv.evaluation.per_clip.catalogue import OBJECT_FATE
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO
from mask2iv.evaluation.per_clip.outputs import CONDITIONS
from mask2iv.evaluation.per_clip.rows import SYSTEMS, flat
from mask2iv.trajectories.scoring.movement import CHANCE

PICTURES = ("psnr", "psnr_changed", "psnr_object", "psnr_actor", "ssim", "lpips", "v2v", "t2v")
"""Measures of a video against the true one or its caption."""
FIDELITY = (*GRADIENTS, "actor_flicker")
"""Measures of whether pictures convince, besides PSNR in object and actor."""
SCORECARD = (
    "target_error", "success", "vanished", "object_miou", "actor_miou", "contact_share", "present", "size_kept",
    "one_piece", "actor_components", "actor_components_ratio", "background_psnr", "flicker", "jerk",
)  # fmt: skip
"""Measures of the interaction, in the order of the tables."""
BROKEN_DOWN = ("psnr", "ssim", "lpips", "target_error", "success", "object_miou", "object_iou", "final_distance")
"""Measures that are also reported per verb and per object."""
DIRECTIONS = ("left", "right", "forward", "backward")
ALL_DIRECTIONS = "all four directions"

Row = Mapping[str, Any]


def summarise(rows: Sequence[Row], seeds: int = 1) -> dict[str, Any]:
    """All figures of rows of ``per_clip.jsonl``, each a :class:`~mask2iv.evaluation.measures.metrics.Figure` in JSON.

    Args:
        rows: of the clips.
        seeds: outputs per clip.

    Returns:
        ``seconds`` (of generation: total, and mean per output of each stage) and, where the rows have them,
        ``trajectory`` (per condition and baseline), ``way`` (per group of captions), one entry per system that makes
        videos (model, still, pasted, and the gains over these two), ``interaction``, ``fidelity`` and ``recognised``
        (per system, of the trivial baselines and of the true videos), and ``breakdown`` (per verb and per object).
    """
    summary: dict[str, Any] = {"seconds": _seconds(rows, seeds)}
    if "way" in rows[0]:
        names = list(rows[0]["trajectory"])
        summary["trajectory"] = {name: _trajectory_figures([row["trajectory"][name] for row in rows]) for name in names}
        summary["way"] = _way_figures([row["way"] for row in rows if row["way"]], names)
    systems = [name for name in SYSTEMS if name in rows[0]]
    for name in systems:
        summary[name] = _video_figures([row[name] for row in rows], [row["reference"] for row in rows])
    cards = {name: [row[name] for row in rows] for name in systems}
    for name in rows[0].get("reference", {}):
        cards[name] = [row["reference"][name] for row in rows]
    interaction = {name: scorecard_figures(found) for name, found in cards.items()}
    if any(interaction.values()):
        summary["interaction"] = interaction
    pictures = {name: _fidelity_figures(found) for name, found in cards.items()}
    if any(pictures.values()):
        summary["fidelity"] = pictures
    if any(f"recognised_{name}" in cards.get(TRUE_VIDEO, [{}])[0] for name in QUESTIONS):
        summary["recognised"] = {name: _recognised(found, cards[TRUE_VIDEO]) for name, found in cards.items()}
    summary["breakdown"] = {key: _broken_down(rows, key) for key in ("verb", "object_name")}
    return summary


def scorecard_figures(found: Sequence[Row]) -> dict[str, Any]:
    """Figures of one system's scorecards; empty where it was not measured."""
    figures: dict[str, Figure] = {}
    for name in (*SCORECARD, "diversity"):
        if name == "contact_share" and "touching_frames" in found[0]:
            figures[name] = contact_figure(found)
        elif name in found[0]:
            figures[name] = mean_figure([one[name] for one in found])
    return {name: figure.to_dict() for name, figure in figures.items()}


def _fidelity_figures(found: Sequence[Row]) -> dict[str, Any]:
    return {name: mean_figure([one[name] for one in found]).to_dict() for name in FIDELITY if name in found[0]}


def _recognised(found: Sequence[Row], true: Sequence[Row]) -> dict[str, Any]:
    """By question: right answers for one system's videos as a share of those for the true ones, and both numbers."""
    summary = {}
    for question in QUESTIONS:
        own, base = (
            [row[f"recognised_{question}"] for row in rows if row[f"recognised_{question}"] is not None]
            for rows in (found, true)
        )
        summary[question] = {
            "share": ratio_figure(own, base).to_dict(), "right": sum(own), "true_right": sum(base), "clips": len(base)
        }  # fmt: skip
    return summary


def contact_figure(found: Sequence[Row]) -> Figure:
    """Share of the frames with a moving object in which it touches an actor."""
    return share_figure([one["touching_frames"] for one in found], [one["moving_frames"] for one in found])


def _seconds(rows: Sequence[Row], seeds: int) -> dict[str, Any]:
    stages = list(rows[0]["seconds"])
    seconds = {stage: sum(row["seconds"][stage] for row in rows) / len(rows) for stage in stages}
    per_clip = {"trajectory": sum(name in CONDITIONS for name in rows[0].get("trajectory", ())), "video": 1}
    total = sum(seconds[stage] * per_clip[stage] * len(rows) * seeds for stage in stages)
    return {"total": round(total, 1), "per_sample": {stage: round(seconds[stage], 3) for stage in stages}}


def _trajectory_figures(found: Sequence[Row]) -> dict[str, Any]:
    def of(key: str) -> list[Any]:
        return [measures[key] for measures in found]

    figures = {
        "final_distance_mean": mean_figure(of("final_distance")),
        "final_distance_median": median_figure(of("final_distance")),
        "vanished_share": mean_figure(of("vanished")),
        "object_miou": mean_figure(of("object_iou")),
        "actor_miou": mean_figure(of("actor_iou")),
        "moving_share": share_figure(of("moving_frames"), of("frames")),
        "touch_share": contact_figure(found),
        "actor_components": mean_figure(of("actor_components")),
        "actor_components_ratio": mean_figure(of("actor_components_ratio")),
    }
    for key in ("channel_miou", *OBJECT_FATE, "diversity"):
        if key in found[0]:
            figures[key] = mean_figure(of(key))
    return {name: figure.to_dict() for name, figure in figures.items()}


def _way_figures(ways: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    groups = {group: [way for way in ways if way["group"] == group] for group in sorted({way["group"] for way in ways})}
    directions = [way for way in ways if way["group"] in DIRECTIONS]
    ordered = {group: groups.pop(group) for group in DIRECTIONS if group in groups}
    if directions:
        ordered[ALL_DIRECTIONS] = directions
    return {
        group: {
            "chance": float(np.mean([CHANCE[way["movement"]] for way in members])),
            "right": {name: mean_figure([float(way["right"][name]) for way in members]).to_dict() for name in names},
        }
        for group, members in (ordered | groups).items()
    }


def _video_figures(found: Sequence[Row], references: Sequence[Row]) -> dict[str, Any]:
    def column(rows: Sequence[Row], key: str) -> Any:
        return np.array([row[key] for row in rows], dtype=np.float64)  # None becomes NaN

    keys = [key for key in PICTURES if key in found[0]]
    still, pasted = ([row[name] for row in references] for name in (STILL, PASTED))
    figures: dict[str, dict[str, Figure]] = {
        "model": {key: mean_figure(column(found, key)) for key in keys},
        "still": {key: mean_figure(column(still, key)) for key in keys},
        "pasted": {key: mean_figure(column(pasted, key)) for key in keys},
        "gain": {key: mean_figure(column(found, key) - column(still, key)) for key in keys},
        "gain_over_pasted": {key: mean_figure(column(found, key) - column(pasted, key)) for key in keys},
    }
    return {name: {key: figure.to_dict() for key, figure in of.items()} for name, of in figures.items()}


def _broken_down(rows: Sequence[Row], key: str) -> dict[str, Any]:
    """Per value of a field: clips, and the figure of each of :data:`BROKEN_DOWN` by "system/measure"."""
    found = {}
    for value in sorted({row[key] for row in rows}):
        columns = [flat(row) for row in rows if row[key] == value]
        names = [n for n in columns[0] if n.rpartition("/")[2] in BROKEN_DOWN and _evaluated(n)]
        figures = {
            name: mean_figure(np.array([c[name] for c in columns], dtype=np.float64)).to_dict() for name in names
        }
        found[value] = {"clips": len(columns), "figures": figures}
    return found


def _evaluated(column: str) -> bool:
    return column.partition("/")[0] in SYSTEMS or column.startswith("stage 1 from ")
