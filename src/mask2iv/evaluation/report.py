"""From per-clip rows to figures, and from figures to Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.evaluation.metrics import (
    CHANCE,
    CHANGED_ABOVE,
    CHANGED_KERNEL,
    LEAST_TURN,
    MOVING_SHARE,
    TOUCH_KERNEL,
    WAY_SHARE,
    Figure,
    mean_figure,
    median_figure,
    share_figure,
)

PREDICTED = ("position", "position and text", "text")
"""What stage 1 is told besides the image and the masks in it."""
TRIVIAL = ("object stays, no actor", "object slides, no actor")
TRUE = "true trajectories"
DIRECTIONS = ("left", "right", "forward", "backward")
ALL_DIRECTIONS = "all four directions"

Row = Mapping[str, Any]


# --- figures


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of the rows of ``per_clip.jsonl``, each as a :class:`~mask2iv.evaluation.metrics.Figure` in JSON.

    Returns:
        ``seconds`` (of generation: in all, and the mean per sample of each stage) and, where the rows have them,
        ``trajectory`` (per answer), ``way`` (per group of captions), ``video`` (model, still, and the gain over it).
    """
    stages = list(rows[0]["seconds"])
    seconds = {stage: sum(row["seconds"][stage] for row in rows) / len(rows) for stage in stages}
    per_clip = {"trajectory": sum(name in PREDICTED for name in rows[0].get("trajectory", ())), "video": 1}
    total = sum(seconds[stage] * per_clip[stage] * len(rows) for stage in stages)
    summary: dict[str, Any] = {
        "seconds": {"total": round(total, 1), "per_sample": {stage: round(seconds[stage], 3) for stage in stages}}
    }
    if "trajectory" in rows[0]:
        names = list(rows[0]["trajectory"])
        summary["trajectory"] = {name: _trajectory_figures([row["trajectory"][name] for row in rows]) for name in names}
        summary["way"] = _way_figures([row["way"] for row in rows if row["way"]], names)
    if "video" in rows[0]:
        summary["video"] = _video_figures([row["video"] for row in rows])
    return summary


def _trajectory_figures(found: Sequence[Row]) -> dict[str, Any]:
    def of(key: str) -> list[float]:
        return [float(measures[key]) for measures in found]

    figures = {
        "final_distance_mean": mean_figure(of("final_distance")),
        "final_distance_median": median_figure(of("final_distance")),
        "vanished_share": mean_figure(of("vanished")),
        "object_miou": mean_figure(of("object_iou")),
        "actor_miou": mean_figure(of("actor_iou")),
        "moving_share": share_figure(of("moving_frames"), of("frames")),
        "touch_share": share_figure(of("touching_frames"), of("moving_frames")),
    }
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


def _video_figures(found: Sequence[Row]) -> dict[str, Any]:
    def column(answer: str, key: str) -> Any:
        return np.array([video[answer][key] for video in found], dtype=np.float64)  # None becomes NaN

    keys = list(found[0]["model"])
    figures = {answer: {key: mean_figure(column(answer, key)) for key in keys} for answer in ("model", "still")}
    figures["gain"] = {key: mean_figure(column("model", key) - column("still", key)) for key in keys}
    return {answer: {key: figure.to_dict() for key, figure in of.items()} for answer, of in figures.items()}


# --- tables


def markdown(result: Mapping[str, Any]) -> str:
    """The content of ``metrics.json`` as Markdown: a line on the protocol, then one table per question."""
    parts = [_protocol_line(result)]
    if "trajectory" in result:
        parts += ["### Stage 1: where object and actor go", _trajectory_table(result["trajectory"]), _TRAJECTORY_LEGEND]
        if result["way"]:
            parts += ["### Stage 1 from text: does the object move as the caption says", _way_table(result["way"])]
            parts.append(_WAY_LEGEND)
    if "video" in result:
        parts += ["### Stage 2 along the true trajectories", _video_table(result["video"]), _VIDEO_LEGEND]
    return "\n\n".join(parts) + "\n"


_TRAJECTORY_LEGEND = (
    "Final distance: from the object's centroid in the last frame (or where it was last seen) to the target's, as a "
    f"share of the image diagonal. The object moves in frames where its centroid went by more than {MOVING_SHARE:.0%} "
    f"of the diagonal; it touches the actor where one of them, dilated by {TOUCH_KERNEL}x{TOUCH_KERNEL} pixels, "
    "overlaps the other."
)
_WAY_LEGEND = (
    f"Right: the object's centroid goes the way that the caption says by {WAY_SHARE:.0%} of the diagonal or more, and "
    "less far along the other axis; forward is up in the picture. Rotating (elongated objects only): the longer axis "
    f"of its mask turns as said by {LEAST_TURN} rad or more. Chance: a random one of four ways, or of two turns."
)
_VIDEO_LEGEND = (
    f"Pixels change where the true video differs from its first frame by more than {CHANGED_ABOVE} of 255, dilated by "
    f"{CHANGED_KERNEL}x{CHANGED_KERNEL} pixels."
)


def _protocol_line(result: Mapping[str, Any]) -> str:
    protocol, seconds = result["protocol"], result["seconds"]
    steps = {"trajectory": protocol["num_inference_steps"], "video": protocol["video_num_inference_steps"]}
    speed = ", ".join(
        f"stage {'1' if stage == 'trajectory' else '2'}: {steps[stage]} steps, {value:.1f} s"
        for stage, value in seconds["per_sample"].items()
    )
    size = "{num_frames} frames of {height}x{width}".format(**protocol["pipeline"])
    model, data = protocol["model_sha256"][:12], protocol["data_index_sha256"][:12]
    return (
        f"{protocol['clips']} clips, {size}, seed {protocol['seed']}; {speed} on {protocol['device']}; model "
        f"{Path(protocol['model']).name} ({model}), data index {data}. In brackets: 95 % bootstrap intervals over "
        "clips (one without width means that all clips agree). Overlaps and picture measures leave out the first "
        "frame, which is an input."
    )


def _trajectory_table(found: Mapping[str, Any]) -> str:
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        "final distance, mean": ("final_distance_mean", _percent),
        "median": ("final_distance_median", _percent),
        "object gone at the end": ("vanished_share", _percent),
        "object mIoU": ("object_miou", _three),
        "actor mIoU": ("actor_miou", _three),
        "object moves": ("moving_share", _percent),
        "moving object touches actor": ("touch_share", _percent),
    }
    head = ["answer", *(f"{title} (%)" if form is _percent else title for title, (_, form) in columns.items())]
    body = []
    for name, figures in found.items():
        cells = [cell(figures[key], form) for key, form in columns.values()]
        body.append([f"stage 1 from {name}" if name in PREDICTED else name, *cells])
    return _table(head, body)


def _way_table(found: Mapping[str, Any]) -> str:
    head = ["caption says", "clips", "stage 1 from text (%)", f"{TRUE} (%)", "chance (%)"]
    body = []
    for group, figures in found.items():
        right = figures["right"]
        text = cell(right["text"], _percent) if "text" in right else "-"
        body.append([group, str(right[TRUE]["clips"]), text, cell(right[TRUE], _percent), _percent(figures["chance"])])
    return _table(head, body)


def _video_table(found: Mapping[str, Any]) -> str:
    titles = {"model": "stage 2", "still": "first frame repeated", "gain": "stage 2 less first frame repeated"}
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        "PSNR (dB)": ("psnr", "{:.2f}".format),
        "PSNR where pixels change (dB)": ("psnr_changed", "{:.2f}".format),
        "SSIM": ("ssim", _three),
    }
    body = [
        [titles[answer], *(cell(figures[key], form) for key, form in columns.values())]
        for answer, figures in found.items()
    ]
    return _table(["answer", *columns], body)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def cell(figure: Mapping[str, Any], form: Callable[[float], str]) -> str:
    """A figure and its interval, or a dash."""
    shown = Figure(**figure)
    if shown.value is None or shown.low is None or shown.high is None:
        return "-"
    return f"{form(shown.value)} ({form(shown.low)} to {form(shown.high)})"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body))
