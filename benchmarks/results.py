"""Tables of docs/results.md: evaluations of two models on the same clips, beside trivial answers and the truth.

    python benchmarks/results.py --before old/trajectory old/video --after new/trajectory new/video new/end-to-end

Each folder is one of ``mask2iv evaluate``; those of a model are taken together. The trivial answer is an object that
stays with no actor, or the first frame repeated; the pasted object is described in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.evaluation.per_clip.answers import END_TO_END, VIDEO
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO
from mask2iv.evaluation.per_clip.rows import TRIVIAL, TRUE
from mask2iv.evaluation.reports.report import cell as figure_cell
from mask2iv.files import read_json

Keys = tuple[str, ...]
DIRECTIONS = "all four directions"
# Title, name, factor, decimals.
OF_TRAJECTORIES = (
    ("final distance (% of the diagonal)", "final_distance_mean", 100, 1),
    ("object gone at the end (%)", "vanished_share", 100, 0),
    ("object in sight (% of frames)", "present", 100, 1),
    ("object mIoU", "object_miou", 1, 3),
    ("actor mIoU", "actor_miou", 1, 3),
    ("pieces of the actor", "actor_components", 1, 2),
    ("pieces of the actor by the true number", "actor_components_ratio", 1, 2),
    ("moving object touches actor (%)", "touch_share", 100, 0),
)
OF_PICTURES = (
    ("PSNR (dB)", "psnr", 1, 2),
    ("PSNR in the moved object (dB)", "psnr_object", 1, 2),
    ("PSNR in the actor (dB)", "psnr_actor", 1, 2),
    ("SSIM", "ssim", 1, 3),
    ("LPIPS", "lpips", 1, 3),
)
OF_FIDELITY = (
    ("detail of the moved object (true: 1)", "gradient_object", 1, 2),
    ("detail of the actor (true: 1)", "gradient_actor", 1, 2),
    ("detail of the rest (true: 1)", "gradient_rest", 1, 2),
    ("flicker of the actor (levels)", "actor_flicker", 1, 2),
)
OF_INTERACTION = (
    ("object gone at the end (%)", "vanished", 100, 0),
    ("object in sight (% of frames)", "present", 100, 1),
    ("pieces of the actor", "actor_components", 1, 2),
    ("pieces of the actor by the true number", "actor_components_ratio", 1, 2),
)
RECOGNISED = (("action", "verb"), ("object", "object_name"), ("actor", "actor"))


@dataclass(frozen=True)
class Line:
    """A line of the table: where ``metrics.json`` has the model's figure, and those that stand beside it."""

    title: str
    factor: float
    decimals: int
    model: Keys
    trivial: Keys | None = None
    pasted: Keys | None = None
    true: Keys | None = None


def trajectory_lines() -> Iterator[Line]:
    """Stage 1 by what it was told."""
    for told, asked in (("target", "position"), ("text", "text"), ("target and text", "position and text")):
        for title, name, factor, decimals in OF_TRAJECTORIES:
            answers = [("trajectory", answer, name) for answer in (asked, TRIVIAL[0], TRUE)]
            yield Line(f"{told}: {title}", factor, decimals, answers[0], answers[1], None, answers[2])
    yield Line("text: goes the way that the caption says (%)", 100, 0, ("way", DIRECTIONS, "right", "text"))


def video_lines(system: str, said: str) -> Iterator[Line]:
    """A system that makes videos."""
    for title, name, factor, decimals in OF_PICTURES:
        answers = [(system, answer, name) for answer in ("model", "still", "pasted")]
        yield Line(f"{said}: {title}", factor, decimals, *answers)
    yield Line(f"{said}: PSNR less that of the first frame (dB)", 1, 2, (system, "gain", "psnr"))
    yield Line(f"{said}: PSNR less that of the pasted object (dB)", 1, 2, (system, "gain_over_pasted", "psnr"))
    for group, measures in (("fidelity", OF_FIDELITY), ("interaction", OF_INTERACTION)):
        for title, name, factor, decimals in measures:
            figures = [(group, answer, name) for answer in (system, STILL, PASTED, TRUE_VIDEO)]
            yield Line(f"{said}: {title}", factor, decimals, *figures)
    for thing, question in RECOGNISED:
        shares = [("recognised", answer, question, "share") for answer in (system, STILL, PASTED)]
        yield Line(f"{said}: {thing} recognised (% of the true videos)", 100, 0, *shares)
    distances = [("distribution", "fvd-sim", answer) for answer in (system, STILL, PASTED)]
    yield Line(f"{said}: FVD-sim", 1, 1, *distances)


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


def cell(found: Mapping[str, Any], path: Keys | None, factor: float, decimals: int) -> str:
    """A figure with its interval."""
    place: Any = found
    for key in path or ():
        place = place.get(key) if isinstance(place, Mapping) else None
    if path is None or place is None:
        return "-"
    return figure_cell(place, lambda number: f"{factor * number:.{decimals}f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    before, after = figures(args.before), figures(args.after)
    print("| | before | these weights | trivial answer | pasted object | truth |\n|---|---:|---:|---:|---:|---:|")
    for line in (*trajectory_lines(), *video_lines(VIDEO, "video"), *video_lines(END_TO_END, "end to end")):
        cells = [cell(found, line.model, line.factor, line.decimals) for found in (before, after)]
        if cells != ["-", "-"]:
            cells += [cell(after, p, line.factor, line.decimals) for p in (line.trivial, line.pasted, line.true)]
            print(f"| {line.title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
