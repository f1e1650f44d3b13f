"""What came out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from mask2iv.execution.cloning.experiment import PLANS
from mask2iv.execution.measuring.journal import Journal
from mask2iv.execution.measuring.shares import percent, wilson

Row = dict[str, Any]


def report(out: Path) -> str:
    """Tables of ``OUT/trials.jsonl``, over the scenes that all rows have: shares done and at target with 95 % Wilson
    intervals, and how often one policy does what another does not."""
    rows = Journal(out / "trials.jsonl").rows()
    lines: list[str] = []
    for task in dict.fromkeys(row["task"] for row in rows):
        lines += _table(task, [row for row in rows if row["task"] == task])
    return "\n".join(lines) + "\n"


def _table(task: str, rows: Sequence[Row]) -> list[str]:
    # A policy of every draw, and each plan once.
    made = {(row["arm"], row["draw"], row["index"]): row for row in rows}
    columns = {(arm, draw) for arm, draw, _ in made}
    whole = [i for i in sorted({row["index"] for row in rows}) if all((*one, i) in made for one in columns)]
    names = [*dict.fromkeys(arm for arm, _, _ in made if arm not in PLANS), *(n for n in PLANS if (n, 0) in columns)]
    lines = [
        f"| {task}: {len(whole)} scenes | trials | done | at target | done, by draw |",
        "|---|---:|---:|---:|---:|",
    ]
    done: dict[str, dict[tuple[int, int], bool]] = {}
    for name in names:
        draws = sorted(draw for arm, draw in columns if arm == name)
        chosen = {(draw, i): made[name, draw, i] for draw in draws for i in whole}
        if not chosen:
            continue
        done[name] = {key: bool(row["done"]) for key, row in chosen.items()}
        hits = {key: sum(bool(row[key]) for row in chosen.values()) for key in ("done", "at_target")}
        cells = [percent(wilson(number, len(chosen))) for number in hits.values()]
        each = ", ".join(f"{sum(done[name][draw, i] for i in whole)}" for draw in draws)
        lines.append(f"| {name} | {len(chosen)} | {' | '.join(cells)} | {each} |")
    return [*lines, "", *_pairs(done), ""]


def _pairs(done: dict[str, dict[tuple[int, int], bool]]) -> list[str]:
    """Of the policies, two and two in the same scene and draw."""
    names = [name for name in done if name not in PLANS]
    lines = ["| this | that | this alone | that alone |", "|---|---|---:|---:|"]
    for this, that in combinations(names, 2):
        a, b = ({key for key, good in done[name].items() if good} for name in (this, that))
        lines.append(f"| {this} | {that} | {len(a - b)} | {len(b - a)} |")
    return lines
