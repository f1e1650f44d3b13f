"""Tables of docs/results.md: evaluations of two models on the same clips, beside trivial baselines and the truth.

    python benchmarks/quality/results.py --before old/trajectory old/video --after new/trajectory new/video

Each folder is one of ``mask2iv evaluate``; those of a model are taken together. The trivial answer is an object that
stays with no actor, or the first frame repeated; the pasted object is described in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mask2iv.evaluation.per_clip.catalogue import MEASURES, QUESTION_TITLES, SHARE, TRAJECTORY_FIGURES, Measure
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO
from mask2iv.evaluation.per_clip.outputs import END_TO_END, VIDEO
from mask2iv.evaluation.per_clip.rows import TRIVIAL, TRUE
from mask2iv.evaluation.reports.report import cell as figure_cell
from mask2iv.evaluation.reports.summary import ALL_DIRECTIONS, FIDELITY
from mask2iv.parsing import read_json

Keys = tuple[str, ...]
OF_TRAJECTORIES: dict[str, Measure] = {
    "final_distance_mean": replace(
        TRAJECTORY_FIGURES["final_distance_mean"], title="final distance (% of the diagonal)"
    ),
    "vanished_share": replace(TRAJECTORY_FIGURES["vanished_share"], decimals=0),
    "present": replace(MEASURES["present"], title="object in sight (% of frames)"),
    "object_miou": MEASURES["object_miou"],
    "actor_miou": MEASURES["actor_miou"],
    "actor_components": MEASURES["actor_components"],
    "actor_components_ratio": MEASURES["actor_components_ratio"],
    "touch_share": replace(TRAJECTORY_FIGURES["touch_share"], decimals=0),
}
WHOLE = replace(SHARE, decimals=0)
OF_PICTURES = ("psnr", "psnr_object", "psnr_actor", "ssim", "lpips")
OF_FIDELITY = {name: MEASURES[name] for name in FIDELITY}
OF_INTERACTION = {
    "vanished": replace(MEASURES["vanished"], decimals=0),
    **{name: OF_TRAJECTORIES[name] for name in ("present", "actor_components", "actor_components_ratio")},
}


@dataclass(frozen=True)
class Line:
    """A line of the table: where ``metrics.json`` has the model's figure, and those that stand beside it."""

    title: str
    measure: Measure
    model: Keys
    trivial: Keys | None = None
    pasted: Keys | None = None
    true: Keys | None = None


def trajectory_lines() -> Iterator[Line]:
    """Stage 1 by what it was told."""
    for told, asked in (("target", "position"), ("text", "text"), ("target and text", "position and text")):
        for name, measure in OF_TRAJECTORIES.items():
            answers = [("trajectory", answer, name) for answer in (asked, TRIVIAL[0], TRUE)]
            yield Line(f"{told}: {measure.title}", measure, answers[0], answers[1], None, answers[2])
    yield Line("text: goes the way that the caption says (%)", WHOLE, ("way", ALL_DIRECTIONS, "right", "text"))


def video_lines(system: str, said: str) -> Iterator[Line]:
    """A system that makes videos."""
    for name in OF_PICTURES:
        answers = [(system, answer, name) for answer in ("model", "still", "pasted")]
        yield Line(f"{said}: {MEASURES[name].title}", MEASURES[name], *answers)
    yield Line(f"{said}: PSNR less that of the first frame (dB)", MEASURES["psnr"], (system, "gain", "psnr"))
    yield Line(
        f"{said}: PSNR less that of the pasted object (dB)", MEASURES["psnr"], (system, "gain_over_pasted", "psnr")
    )
    for group, measures in (("fidelity", OF_FIDELITY), ("interaction", OF_INTERACTION)):
        for name, measure in measures.items():
            figures = [(group, answer, name) for answer in (system, STILL, PASTED, TRUE_VIDEO)]
            yield Line(f"{said}: {measure.title}", measure, *figures)
    for question, title in QUESTION_TITLES.items():
        shares = [("recognised", answer, question, "share") for answer in (system, STILL, PASTED)]
        yield Line(f"{said}: {title} recognised (% of the true videos)", WHOLE, *shares)
    distances = [("distribution", "fvd-sim", answer) for answer in (system, STILL, PASTED)]
    yield Line(f"{said}: FVD-sim", replace(MEASURES["fvd-sim"], decimals=1), *distances)


def figures(folders: list[Path]) -> dict[str, Any]:
    """What the evaluations of one model found, put together: several have figures of a group, by system."""
    return merged([read_json(folder / "metrics.json") for folder in folders])


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Nested mappings as one; of values in one place the last stands."""
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = merged([found[key], value]) if both else value
    return found


def cell(found: Mapping[str, Any], path: Keys | None, measure: Measure) -> str:
    """A figure with its interval."""
    place: Any = found
    for key in path or ():
        place = place.get(key) if isinstance(place, Mapping) else None
    if path is None or place is None:
        return "-"
    return figure_cell(place, measure.form)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    before, after = figures(args.before), figures(args.after)
    print("| | before | these weights | trivial answer | pasted object | truth |\n|---|---:|---:|---:|---:|---:|")
    for line in (*trajectory_lines(), *video_lines(VIDEO, "video"), *video_lines(END_TO_END, "end to end")):
        cells = [cell(found, line.model, line.measure) for found in (before, after)]
        if cells != ["-", "-"]:
            cells += [cell(after, p, line.measure) for p in (line.trivial, line.pasted, line.true)]
            print(f"| {line.title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
