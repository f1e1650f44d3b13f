"""Tables of docs/results.md: evaluations of two models on the same clips, beside the trivial answer.

    python benchmarks/results.py --before old/trajectory old/video --after new/trajectory new/video

Each folder is one of ``mask2iv evaluate``; those of a model are taken together.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mask2iv.evaluation.report import cell as figure_cell
from mask2iv.files import read_json

DIRECTIONS, STAYS = "all four directions", "object stays, no actor"
# What is measured: title, factor, decimals, where the figure is, where the trivial answer's is.
LINES: tuple[tuple[str, float, int, tuple[str, ...], tuple[str, ...] | None], ...] = (
    *(
        (f"{title} {measure}", factor, decimals, ("trajectory", asked, name), ("trajectory", STAYS, name))
        for title, asked in (("target:", "position"), ("text:", "text"))
        for measure, name, factor, decimals in (
            ("final distance (% of the diagonal)", "final_distance_mean", 100, 1),
            ("object gone at the end (%)", "vanished_share", 100, 0),
            ("object mIoU", "object_miou", 1, 3),
            ("actor mIoU", "actor_miou", 1, 3),
            ("moving object touches actor (%)", "touch_share", 100, 0),
        )
    ),
    ("text: goes the way that the caption says (%)", 100, 0, ("way", DIRECTIONS, "right", "text"), None),
    ("video: PSNR (dB)", 1, 2, ("video", "model", "psnr"), ("video", "still", "psnr")),
    ("video: PSNR less that of the first frame (dB)", 1, 2, ("video", "gain", "psnr"), None),
    ("video: SSIM", 1, 3, ("video", "model", "ssim"), ("video", "still", "ssim")),
    ("video: FVD-sim", 1, 1, ("distribution", "fvd-sim", "video"), ("distribution", "fvd-sim", "still")),
)


def figures(folders: list[Path]) -> dict[str, Any]:
    """What the evaluations of one model found, put together."""
    found: dict[str, Any] = {}
    for folder in folders:
        found |= read_json(folder / "metrics.json")
    return found


def cell(found: Mapping[str, Any], path: tuple[str, ...] | None, factor: float, decimals: int) -> str:
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
    print("| | before | these weights | trivial answer |\n|---|---:|---:|---:|")
    for title, factor, decimals, path, trivial in LINES:
        cells = [cell(before, path, factor, decimals), cell(after, path, factor, decimals)]
        if cells != ["-", "-"]:
            print(f"| {title} | {' | '.join(cells)} | {cell(after, trivial, factor, decimals)} |")


if __name__ == "__main__":
    main()
