"""Figures as tables, and tables as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.evaluation.measures.fidelity import ACTOR_PIECE, MOVED_SHARE
from mask2iv.evaluation.measures.metrics import (
    CHANGED_ABOVE,
    CHANGED_KERNEL,
    Figure,
)
from mask2iv.evaluation.measures.scorecard import SUCCESS
from mask2iv.evaluation.per_clip.catalogue import (
    MEASURES,
    OBJECT_FATE,
    QUESTION_TITLES,
    SHARE,
    TRAJECTORY_FIGURES,
    Measure,
)
from mask2iv.evaluation.per_clip.measure import PASTED, STILL
from mask2iv.evaluation.per_clip.outputs import CONDITIONS
from mask2iv.evaluation.per_clip.rows import SYSTEMS, TITLES, TRUE
from mask2iv.trajectories.scoring.movement import LEAST_TURN, MOVING_SHARE, TOUCH_KERNEL, WAY_SHARE
from mask2iv.trajectories.scoring.score import AREA_FACTOR


@dataclass(frozen=True)
class Table:
    """The figures for one question.

    Attributes:
        title: the question.
        head: titles of the columns.
        body: rows of cells.
        legend: what the terms mean.
    """

    title: str
    head: list[str]
    body: list[list[str]]
    legend: str = ""

    def markdown(self) -> str:
        """The cells as a Markdown table."""
        return markdown_table(self.head, self.body)


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Cells as a Markdown table, the first `texts` columns aligned to the left."""
    # Without pandas: it would save a dozen lines of all table writers, and needs tabulate to write Markdown.
    rule = [*["---"] * texts, *["---:"] * (len(head) - texts)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body))


def cell(figure: Mapping[str, Any], form: Callable[[float], str]) -> str:
    """A figure with its interval, if it has one; "-" where there is no figure."""
    shown = Figure(**figure)
    if shown.value is None:
        return "-"
    if shown.low is None or shown.high is None:
        return form(shown.value)
    return f"{form(shown.value)} ({form(shown.low)} to {form(shown.high)})"


def markdown(result: Mapping[str, Any]) -> str:
    """The content of ``metrics.json`` as Markdown: a line on the protocol, then one table per question."""
    parts = [protocol_line(result)]
    for table in tables(result):
        parts += [f"### {table.title}", table.markdown(), *([table.legend] if table.legend else [])]
    missing = result["protocol"]["unavailable"]
    if missing:
        parts += ["### Not measured", "\n".join(f"- {name}: {reason}" for name, reason in missing.items())]
    return "\n\n".join(parts) + "\n"


def brief(result: Mapping[str, Any]) -> list[str]:
    """The main figures of ``metrics.json``, a line per system, without the baselines."""
    protocol = result["protocol"]
    found = [f"{protocol['clips']} clips; in brackets: 95 % intervals. {_counted(protocol)}"]
    for name, figures in result.get("trajectory", {}).items():
        if name in CONDITIONS:
            found.append(f"{trajectory_title(name)}: {_named(figures, TRAJECTORY_FIGURES, _MAIN_OF_STAGE_1)}")
    for system in SYSTEMS:
        if system in result:
            figures = {**result.get("interaction", {}).get(system, {}), **result[system]["model"]}
            found.append(f"{TITLES[system]}: {_named(figures, MEASURES, _MAIN_OF_VIDEOS)}")
    return found


def _named(figures: Mapping[str, Any], measures: Mapping[str, Measure], names: Sequence[str]) -> str:
    shown = [f"{measures[name].title} {cell(figures[name], measures[name].form)}" for name in names if name in figures]
    return ", ".join(shown) or "nothing of the main figures was measured"


def _counted(protocol: Mapping[str, Any]) -> str:
    """Which measures count the first frame."""
    if protocol.get("convention") != "paper":
        return "Overlaps and picture measures leave out the first frame, which is an input."
    return (
        "PSNR, FVD and the mIoU over colour channels are by the paper's protocol and count the first frame; they are "
        "not comparable with those of the own one. Other overlaps and picture measures leave it out: it is an input."
    )


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The tables of ``metrics.json``, in the order of a report."""
    found = []
    if "trajectory" in result:
        found.append(_trajectory_table(result["trajectory"]))
        if any("success" in figures for figures in result["trajectory"].values()):
            found.append(_object_table(result["trajectory"]))
    if result.get("way"):
        found.append(_way_table(result["way"]))
    found += [_video_table(name, result[name]) for name in SYSTEMS if name in result]
    if "fidelity" in result:
        found.append(_fidelity_table(result["fidelity"]))
    if "recognised" in result:
        found.append(_recognised_table(result["recognised"]))
    if "distribution" in result:
        found.append(_distribution_table(result["distribution"]))
    if "interaction" in result:
        found.append(_interaction_table(result["interaction"]))
    return found


def breakdown_tables(result: Mapping[str, Any]) -> list[Table]:
    """Figures per verb and per object, one table each."""
    found = []
    for key, name in (("verb", "verb"), ("object_name", "object")):
        groups = result["breakdown"][key]
        columns = list(dict.fromkeys(column for group in groups.values() for column in group["figures"]))
        systems = list(dict.fromkeys(column.partition("/")[0] for column in columns))
        for system in systems:
            own = [column for column in columns if column.partition("/")[0] == system]
            measures = [MEASURES[column.partition("/")[2]] for column in own]
            body = [
                [
                    value,
                    str(group["clips"]),
                    *(cell(group["figures"][c], m.form) for c, m in zip(own, measures, strict=True)),
                ]
                for value, group in groups.items()
            ]
            head = [name, "clips", *(measure.title for measure in measures)]
            found.append(Table(f"Per {name}: {TITLES.get(system, system)}", head, body))
    return found


_MAIN_OF_STAGE_1 = ("final_distance_mean", "object_miou", "vanished_share")
_MAIN_OF_VIDEOS = ("psnr", "ssim", "lpips", "success", "object_miou")
_TRAJECTORY_LEGEND = (
    "Final distance: from the object's centroid in the last frame (or where it was last seen) to the target's, as a "
    f"share of the image diagonal. The object moves in frames where its centroid went by more than {MOVING_SHARE:.0%} "
    f"of the diagonal; it touches the actor where one of them, dilated by {TOUCH_KERNEL}x{TOUCH_KERNEL} pixels, "
    "overlaps the other."
)
_WAY_LEGEND = (
    f"Right: the object's centroid goes the way that the caption says by {WAY_SHARE:.0%} of the diagonal or more, and "
    "less far along the other axis; forward is up in the picture. Rotating (elongated objects only): the longer axis "
    f"of its mask turns in that sense by {LEAST_TURN} rad or more. Chance: a random one of four ways, or of two turns."
)
_VIDEO_LEGEND = (
    f"Pixels change where the true video differs from its first frame by more than {CHANGED_ABOVE} of 255, dilated by "
    f"{CHANGED_KERNEL}x{CHANGED_KERNEL} pixels. The object has moved in frames where its centroid is farther than "
    f"{MOVED_SHARE:.1%} of the diagonal from its first one. The pasted object is the first frame's, cut out and moved "
    "as the true masks move; no actor is drawn."
)
_FIDELITY_LEGEND = (
    "Detail: mean absolute difference of neighbouring pixels within the moved object, the actor and the rest, by that "
    "of the true video; less than 1 is blur, more is noise. Flicker of the actor: mean second difference of its mean "
    "colour over time, of 255 levels; near the true video's is good."
)
_RECOGNISED_LEGEND = (
    "Right answers of FVD-sim's network to what the videos show, as a share of its right answers to the true videos; "
    "then both numbers."
)
_PIECES_LEGEND = (
    f" Pieces of the actor: connected parts of {ACTOR_PIECE:.0%} of its area or more, per frame that shows one; an "
    "object in front of it parts the true one as well."
)
_CHANNELS_LEGEND = (
    " Over colour channels: the mean IoU of red, green and blue over all frames, an empty one counting as 1, as the "
    "official code validates."
)
_OBJECT_LEGEND = (
    f"Success: the object ends nearer than {SUCCESS:.0%} of the diagonal to the target and is in sight. Size kept: "
    f"area within a factor {AREA_FACTOR:g} of the first. Jerk: mean second difference of the object's centroid, "
    "share of the diagonal."
)
_INTERACTION_LEGEND = (
    "Masks are found again in the videos from the first frame's; what the true video scores is the ceiling. Target "
    f"error: share of the diagonal; success: below {SUCCESS:.0%} of it, and in sight at the end. mIoU: to the "
    f"requested trajectory. Size kept: area within a factor {AREA_FACTOR:g} of the first. Background: each frame "
    "against the first, outside the masks. Flicker: mean second difference over time, of 255 levels. Jerk: the same of "
    "the object's centroid, share of the diagonal."
)
_DISTRIBUTION_LEGEND = (
    "Frechet distances to the true videos, with jackknife intervals over groups of clips. They fall with the number of "
    "clips: compare equal numbers. FVD-sim is not FVD."
)


def protocol_line(result: Mapping[str, Any]) -> str:
    """What was evaluated, on what, and how to read the figures."""
    protocol, scoring = result["protocol"], result["protocol"]["scoring"]
    every = scoring["stride"] if isinstance(scoring["stride"], str) else f"every {scoring['stride']}th from the first"
    size = "{num_frames} frames ({every}) of {height}x{width} ({resize})".format(**scoring, every=every)
    parts = [f"{protocol['clips']} clips, {size}"]
    if "model_sha256" in protocol:
        steps = {"trajectory": protocol["num_inference_steps"], "video": protocol["video_num_inference_steps"]}
        speed = ", ".join(
            f"stage {'1' if stage == 'trajectory' else '2'}: {steps[stage]} steps, {value:.1f} s"
            for stage, value in result["seconds"]["per_sample"].items()
        )
        seeds = f"seed {protocol['seed']}" + (f" and {protocol['seeds'] - 1} more" if protocol["seeds"] > 1 else "")
        asked = f"; stage 1 given the {protocol['condition']}" if protocol["condition"] else ""
        model = f"model {Path(protocol['model']).name} ({protocol['model_sha256'][:12]})"
        parts.append(f"{seeds}; {speed}, sampler {protocol['sampler']}, on {protocol['device']}{asked}; {model}")
    else:
        lacking = f" ({len(protocol['missing'])} clips have none and are left out)" if protocol["missing"] else ""
        parts.append(f"videos of {Path(protocol['predictions']).name}{lacking}, {protocol['seeds']} per clip")
    return (
        f"{', '.join(parts)}, data index {protocol['data_index_sha256'][:12]}. In brackets: 95 % bootstrap intervals "
        f"over clips (one without width means that all clips agree). {_counted(protocol)}"
    )


def _trajectory_table(found: Mapping[str, Any]) -> Table:
    shown = {key: one for key, one in TRAJECTORY_FIGURES.items() if key in next(iter(found.values()))}
    head = ["system", *(measure.title for measure in shown.values())]
    body = [
        [trajectory_title(name), *(cell(figures[key], measure.form) for key, measure in shown.items())]
        for name, figures in found.items()
    ]
    legend = _TRAJECTORY_LEGEND + _PIECES_LEGEND + (_CHANNELS_LEGEND if "channel_miou" in shown else "")
    return Table("Stage 1: where object and actor go", head, body, legend)


def _object_table(found: Mapping[str, Any]) -> Table:
    """The part of the scorecard that the first table lacks."""
    named = {trajectory_title(name): figures for name, figures in found.items()}
    return _measures("Stage 1: what becomes of the object", named, (*OBJECT_FATE, "diversity"), _OBJECT_LEGEND)


def trajectory_title(name: str) -> str:
    """The name of a trajectory in tables: by stage 1 under a condition, or by a baseline."""
    return f"stage 1 from {name}" if name in CONDITIONS else name


def _way_table(found: Mapping[str, Any]) -> Table:
    """Of stage 1 from text alone where that was evaluated, or else from what it was given."""
    measured = next(iter(found.values()))["right"]
    asked = "text" if "text" in measured else next(name for name in measured if name in CONDITIONS)
    head = ["caption says", "clips", f"stage 1 from {asked} (%)", f"{TRUE} (%)", "chance (%)"]
    body = []
    for group, figures in found.items():
        right = figures["right"]
        cells = [cell(right[name], SHARE.form) for name in (asked, TRUE)]
        body.append([group, str(right[TRUE]["clips"]), *cells, SHARE.form(figures["chance"])])
    return Table(f"Stage 1 from {asked}: does the object move as the caption says", head, body, _WAY_LEGEND)


def _video_table(system: str, found: Mapping[str, Any]) -> Table:
    name = {"video": "stage 2", "end_to_end": "both stages"}.get(system, system)
    titles = {
        "model": name,
        "still": TITLES[STILL],
        "pasted": TITLES[PASTED],
        "gain": f"{name} less {TITLES[STILL]}",
        "gain_over_pasted": f"{name} less {TITLES[PASTED]}",
    }
    titled = {"video": "Stage 2 along the true trajectories", "end_to_end": "Both stages, end to end"}
    return _measures(
        titled.get(system, "Predictions against the true videos"),
        {titles[key]: figures for key, figures in found.items()},
        tuple(found["model"]),
        _VIDEO_LEGEND if "psnr_changed" in found["model"] else "",
    )


def _fidelity_table(found: Mapping[str, Any]) -> Table:
    names = tuple(dict.fromkeys(key for figures in found.values() for key in figures))
    named = {TITLES[name]: figures for name, figures in found.items() if figures}
    return _measures("Pictures: do object and actor convince", named, names, _FIDELITY_LEGEND)


def _recognised_table(found: Mapping[str, Any]) -> Table:
    body = [
        [TITLES[name], *(text for question in QUESTION_TITLES for text in _recognised_cells(of_system[question]))]
        for name, of_system in found.items()
    ]
    head = ["system", *(text for title in QUESTION_TITLES.values() for text in (f"{title} (%)", "right"))]
    return Table("Pictures: is it recognised what they show", head, body, _RECOGNISED_LEGEND)


def _recognised_cells(found: Mapping[str, Any]) -> tuple[str, str]:
    """The share, and both numbers, which are means over seeds."""
    return cell(found["share"], SHARE.form), f"{found['right']:g} of {found['true_right']:g}"


def _interaction_table(found: Mapping[str, Any]) -> Table:
    names = tuple(dict.fromkeys(key for figures in found.values() for key in figures))
    named = {TITLES[name]: figures for name, figures in found.items()}
    return _measures("Interaction: what the videos do", named, names, _INTERACTION_LEGEND + _PIECES_LEGEND)


def _distribution_table(found: Mapping[str, Any]) -> Table:
    systems = list(dict.fromkeys(system for figures in found.values() for system in figures))
    named = {TITLES[s]: {metric: figures[s] for metric, figures in found.items() if s in figures} for s in systems}
    return _measures("Distances between the sets of videos", named, tuple(found), _DISTRIBUTION_LEGEND)


def _measures(title: str, found: Mapping[str, Any], names: Sequence[str], legend: str) -> Table:
    shown = [name for name in names if any(name in figures for figures in found.values())]
    body = [
        [row, *(cell(figures[name], MEASURES[name].form) if name in figures else "-" for name in shown)]
        for row, figures in found.items()
    ]
    return Table(title, ["system", *(MEASURES[name].title for name in shown)], body, legend)
