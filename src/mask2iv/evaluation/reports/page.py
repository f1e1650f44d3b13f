"""The report: one self-contained HTML file with tables, plots and filmstrips, for viewing offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from mask2iv.evaluation.per_clip.catalogue import MEASURES, Measure
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO
from mask2iv.evaluation.per_clip.rows import SYSTEMS, TITLES
from mask2iv.evaluation.reports.report import breakdown_tables, protocol_line, tables, trajectory_title
from mask2iv.files import atomic_write
from mask2iv.media.images import open_image

_JPEG_QUALITY = 85
_LABEL, _BAR, _VALUE, _ROW, _PAD = 215, 230, 165, 24, 8
_PLOTTED = (
    "psnr", "psnr_object", "gradient_object", "gradient_actor", "ssim", "lpips", "target_error", "object_miou",
    "actor_miou", "contact_share",
)  # fmt: skip

Interval = tuple[str, float, float, float]


def write_page(result: Mapping[str, Any], out: Path) -> None:
    """Write ``report.html``.

    Args:
        result: content of ``metrics.json``.
        out: folder of the evaluation, where its filmstrips are.
    """
    # Everything is escaped, whatever the template is called; only our own plots are marked safe.
    environment = Environment(loader=PackageLoader("mask2iv.evaluation.reports", "."), autoescape=True)
    name = result["protocol"].get("model") or result["protocol"].get("predictions")
    page = environment.get_template("report.html.j2").render(
        title=f"Evaluation of {Path(str(name)).name}",
        line=protocol_line(result).replace("In brackets", "Below each figure"),
        tables=tables(result),
        breakdown=breakdown_tables(result),
        plots=_plots(result),
        unavailable=result["protocol"]["unavailable"],
        strips=[
            (title, [_strip(entry, out) for entry in result[key]])
            for title, key in (("Best", "best"), ("Worst", "worst"))
        ],
        ranked_by=_measure_title(result["protocol"]["ranked_by"]),
        protocol=_flat_protocol(result["protocol"]),
    )
    with atomic_write(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def interval_plot(rows: Sequence[Interval], measure: Measure) -> Markup:
    """Values with their intervals on one axis, as SVG, one line per row."""
    form = measure.form
    low, high = min(row[2] for row in rows), max(row[3] for row in rows)
    span = (high - low) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span

    def x(value: float) -> float:
        return round(_LABEL + _BAR * (value - low) / (high - low), 1)

    height, width = _PAD + _ROW * len(rows) + _PAD, _LABEL + _BAR + _VALUE
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(measure.title)}">',
        f'<line class="axis" x1="{_LABEL}" x2="{_LABEL + _BAR}" y1="{height - 4}" y2="{height - 4}"/>',
    ]
    for index, (label, value, least, most) in enumerate(rows):
        y = _PAD + _ROW * index + _ROW / 2
        shown = escape(f"{form(value)} ({form(least)} to {form(most)})")
        parts += [
            f'<text x="{_LABEL - 12}" y="{y + 4}" text-anchor="end">{escape(label)}</text>',
            f'<line class="whisker" x1="{x(least)}" x2="{x(most)}" y1="{y}" y2="{y}"/>',
            f'<circle cx="{x(value)}" cy="{y}" r="4.5"/>',
            f'<text x="{_LABEL + _BAR + 12}" y="{y + 4}">{shown}</text>',
        ]
    return Markup("".join([*parts, "</svg>"]))  # all text in it is escaped above


def _plots(result: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """One plot of all systems for each main measure, and one of the evaluated system per verb."""
    found = []
    for name in _PLOTTED:
        measure = MEASURES[name]
        rows = [(label, figure) for label, figures in _systems(result) if (figure := figures.get(name)) is not None]
        if drawn := _intervals(rows):
            found.append((measure.title, interval_plot(drawn, measure)))
    key = result["protocol"]["ranked_by"].replace("psnr_changed", "psnr")
    groups = [(verb, group) for verb, group in result["breakdown"]["verb"].items() if key in group["figures"]]
    if drawn := _intervals([(f"{verb} ({group['clips']})", group["figures"][key]) for verb, group in groups]):
        plot = interval_plot(drawn, MEASURES[key.rpartition("/")[2]])
        found.append((f"{_measure_title(key)}, per verb (clips)", plot))
    return found


def _systems(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    def beside(system: str) -> dict[str, Any]:
        return {**result.get("interaction", {}).get(system, {}), **result.get("fidelity", {}).get(system, {})}

    found: list[tuple[str, Mapping[str, Any]]] = []
    for system in SYSTEMS:
        if system in result:
            for name, key in ((system, "model"), (STILL, "still"), (PASTED, "pasted")):
                found.append((TITLES[name], {**beside(name), **result[system][key]}))
    if beside(TRUE_VIDEO):
        found.append((TITLES[TRUE_VIDEO], beside(TRUE_VIDEO)))
    for name, figures in result.get("trajectory", {}).items():
        renamed = {"target_error": figures["final_distance_mean"], "contact_share": figures["touch_share"]}
        found.append((trajectory_title(name), {**figures, **renamed}))
    return list(dict(found).items())


def _intervals(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Interval]:
    return [(label, f["value"], f["low"], f["high"]) for label, f in rows if f["value"] is not None]


def _measure_title(column: str) -> str:
    system, _, name = column.partition("/")
    return f"{MEASURES[name].title} of {TITLES.get(system, system)}"


def _strip(entry: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """A clip's filmstrip as a data URL, and its heading."""
    value = entry["value"]
    shown = {
        "clip_id": entry["clip_id"],
        "caption": entry["caption"],
        "value": "-" if value is None else f"{value:.3g}",
    }
    if entry["filmstrip"] is None:
        return {**shown, "url": None}
    buffer = io.BytesIO()
    open_image(out / entry["filmstrip"]).convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return {**shown, "url": f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"}


def _flat_protocol(protocol: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in protocol.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += _flat_protocol(value, f"{name}.")
        else:
            found.append((name, str(value)))
    return found
