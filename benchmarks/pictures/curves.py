"""Draws the losses of training runs, one panel for each curve.

    python benchmarks/pictures/curves.py --out docs/images/curves.svg \
        --curve "stage 1" runs/a/training/trajectory/log.jsonl runs/b/training/trajectory/log.jsonl

Several logs of a curve are runs that began where the one before ended. Dots: the training loss, the mean since the dot
before; lines: the loss on the run's held-out clips at fixed noise, with the moving average.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

from mask2iv.files import atomic_write

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 260, 56, 34, 40
Points = list[tuple[float, float]]


@dataclass
class Curve:
    """Losses by step, counted over all logs; those on held-out clips by run, since runs may have different ones."""

    title: str
    training: Points = field(default_factory=list)
    held_out: list[Points] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)


def read(title: str, logs: list[Path], average: int = 4) -> Curve:
    """One curve; each dot is the mean of so many lines of the log."""
    curve, begun = Curve(title), 0
    for log in logs:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        curve.starts.append(begun)
        losses = [(begun + line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
        for start in range(0, len(losses), average):
            part = losses[start : start + average]
            curve.training.append((part[-1][0], sum(loss for _, loss in part) / len(part)))
        curve.held_out.append(
            [(begun + line["step"], line["validation"]["loss"]) for line in lines if "validation" in line]
        )
        begun += max(line["step"] for line in lines)
    return curve


def panel(curve: Curve, offset: int) -> list[str]:
    """The SVG elements of a curve, `offset` pixels to the right."""
    every = [*curve.training, *(point for run in curve.held_out for point in run)]
    last, high = max(step for step, _ in every), 1.05 * max(loss for _, loss in every)

    def place(step: float, loss: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - 12) * step / last
        return offset + LEFT + across, TOP + (HEIGHT - TOP - BOTTOM) * (1 - loss / high)

    floor = HEIGHT - BOTTOM
    parts = [f'<text x="{offset + LEFT}" y="20" font-weight="bold">{curve.title}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(0, high * share)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{offset + WIDTH - 12}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{high * share:.2f}</text>')
        x, _ = place(last * share, 0)
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{last * share:.0f}</text>')
    for start in curve.starts[1:]:
        x, _ = place(start, 0)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{floor}" stroke="#999" stroke-dasharray="3 3"/>')
    for x, y in (place(*point) for point in curve.training):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="#7aa6d8"/>')
    for run in curve.held_out:
        points = [place(*point) for point in run]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#c0392b" stroke-width="1.6"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#c0392b"/>' for x, y in points]
    middle = offset + (WIDTH + LEFT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">steps of four clips</text>')
    return parts


def main() -> None:
    """Read the logs, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", nargs="+", action="append", required=True, metavar="TITLE LOG")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    curves = [read(title, [Path(log) for log in logs]) for title, *logs in given.curve]
    body = [part for index, curve in enumerate(curves) for part in panel(curve, index * WIDTH)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(curves)}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    )
    with atomic_write(given.out) as temporary:
        temporary.write_text("\n".join([head, *body, "</svg>"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
