"""Several evaluations in one table, with paired differences over the clips that they share."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mask2iv.errors import InputError
from mask2iv.evaluation.measures.frechet import frechet_difference, frechet_figure
from mask2iv.evaluation.measures.metrics import Figure, mean_figure, share_difference, share_figure
from mask2iv.evaluation.per_clip.catalogue import DISTRIBUTIONS, MEASURES, Measure
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO
from mask2iv.evaluation.per_clip.outputs import END_TO_END
from mask2iv.evaluation.per_clip.rows import SYSTEMS, TITLES, TRIVIAL, Row, systems_of
from mask2iv.evaluation.reports.report import markdown_table
from mask2iv.evaluation.runs.folder import require_finished
from mask2iv.evaluation.runs.journal import read_features, read_protocol, read_rows

Format = Literal["markdown", "latex", "csv"]
MUST_AGREE = ("convention", "data_index_sha256", "split", "clip_ids_sha256", "clips", "scoring", "definitions",
              "weights", "seeds", "masks_found_by", "missing")  # fmt: skip
"""What two protocols must share for their figures to be compared."""
TO_THE_REQUESTED = ("object_miou", "actor_miou", "background_psnr")
"""Measures of a video against the trajectory it was asked to follow."""
REFERENCES = (STILL, PASTED, TRUE_VIDEO, *TRIVIAL)
"""What every run measures besides its systems: trivial videos and the true one, or trajectories without a model."""

VIDEOS = (*SYSTEMS, STILL, PASTED, TRUE_VIDEO)
"""Systems and references that are videos."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        name: shown in tables.
        folder: where it is.
        protocol: how its figures were made.
        rows: by clip id.
    """

    name: str
    folder: Path
    protocol: Mapping[str, Any]
    rows: Mapping[str, Row]

    @property
    def systems(self) -> list[str]:
        """What it evaluated: systems that make videos, and stage 1 by condition."""
        names = [name for name, _ in systems_of(next(iter(self.rows.values())))]
        return [name for name in names if name in SYSTEMS or name.startswith("stage 1 from ")]

    def measures(self, clip_id: str, system: str) -> Mapping[str, float | None]:
        """A system's measures of a clip."""
        return dict(systems_of(self.rows[clip_id]))[system]


@dataclass(frozen=True)
class Entry:
    """A line of the table: one system of one run."""

    name: str
    run: Evaluation
    system: str


@dataclass(frozen=True)
class Comparison:
    """Figures of several systems, and how much each differs from its like in the first run.

    Attributes:
        clip_ids: those that all share; every figure is of these.
        entries: lines by name; those of one system stand together.
        measures: columns, keys of :data:`~mask2iv.evaluation.per_clip.catalogue.MEASURES`.
        figures: by entry and measure.
        bases: for each entry that has one, the name of the entry that it is compared with.
        notes: differences between protocols that were allowed.
    """

    clip_ids: Sequence[str]
    entries: Mapping[str, Entry]
    measures: list[str]
    figures: dict[str, dict[str, Figure]]
    bases: dict[str, str]
    notes: list[str]

    @property
    def clips(self) -> int:
        """How many clips all share."""
        return len(self.clip_ids)

    @cached_property
    def differences(self) -> dict[str, dict[str, Figure]]:
        """Each entry less its base, paired by clip."""
        return {name: self.less(name, base) for name, base in self.bases.items()}

    def less(self, name: str, other: str) -> dict[str, Figure]:
        """An entry less another, paired by clip, for the measures that both have."""
        own, base = self.figures[name], self.figures[other]
        return {
            measure: _difference(self.entries[name], self.entries[other], self.clip_ids, measure)
            for measure in self.measures
            if measure in own and measure in base
        }


def read_evaluation(folder: Path, name: str | None = None) -> Evaluation:
    """A finished evaluation's folder.

    Args:
        folder: that ``mask2iv evaluate`` wrote.
        name: shown in tables; the folder's where None.

    Raises:
        InputError: it holds no finished evaluation.
    """
    require_finished(folder)
    rows = {row["clip_id"]: row for row in read_rows(folder)}
    return Evaluation(name or folder.resolve().name, folder, read_protocol(folder), rows)


def compare(
    runs: Sequence[Evaluation],
    measures: Sequence[str] | None = None,
    references: bool = False,
    allow_differences: bool = False,
) -> Comparison:
    """Gather the figures of several runs over the clips that all share.

    Args:
        runs: the others are compared with the first, like with like: stage 1 under the same condition, the same system
            of videos, or what else the first has of videos (a model's against another program's).
        measures: columns; None for all that the runs have.
        references: also show :data:`REFERENCES`, as the first run measured them.
        allow_differences: compare runs whose protocols differ, and say so.

    Raises:
        InputError: no runs, a name given twice, protocols that differ, an unknown measure, or no clip in common.
    """
    names = [run.name for run in runs]
    if not runs or len(set(names)) != len(names):
        raise InputError("names", f"runs need different names, found {', '.join(names) or 'none'}", "rename one")
    notes = _differences(runs)
    if notes and not allow_differences:
        raise InputError("runs", "; ".join(notes), "evaluate under one protocol, or allow differences")
    shared = [clip_id for clip_id in runs[0].rows if all(clip_id in run.rows for run in runs)]
    if not shared:
        raise InputError("runs", f"{', '.join(names)} have no clip in common")
    entries = _entries(runs, references)
    found = {entry.name: _figures(entry, shared) for entry in entries}
    if len({entry.system for entry in entries if entry.system in VIDEOS}) > 1:
        # Beside videos along given trajectories, overlap with a self-predicted trajectory says nothing.
        for entry in entries:
            if entry.system == END_TO_END:
                found[entry.name] = {k: v for k, v in found[entry.name].items() if k not in TO_THE_REQUESTED}
    shown = [name for name in MEASURES if any(name in figures for figures in found.values())]
    if measures is not None:
        unknown = [name for name in measures if name not in shown]
        if unknown:
            raise InputError("measures", f"{unknown[0]!r} is not measured", f"choose from {', '.join(shown)}")
        shown = [name for name in shown if name in measures]
    bases = {entry.name: base.name for entry in entries if (base := _base(entry, entries)) is not None}
    return Comparison(shared, {entry.name: entry for entry in entries}, shown, found, bases, notes)


def table(comparison: Comparison, form: Format = "markdown") -> str:
    """The comparison as text.

    Args:
        comparison: what :func:`compare` found.
        form: "markdown" and "latex" give tables with intervals, of figures and of differences, for stage 1 and for
            videos apart; "csv" gives one line per figure with value, low, high and number of clips.
    """
    if form == "csv":
        return _csv(comparison)
    parts = []
    for of_videos in (False, True):
        names = [name for name, entry in comparison.entries.items() if (entry.system in VIDEOS) == of_videos]
        parts += _grids(comparison, names, form)
    parts.append(
        f"{comparison.clips} clips; in brackets: 95 % intervals (bootstrap; jackknife for Frechet distances)."
        + "".join(f" Not under one protocol: {note}." for note in comparison.notes)
    )
    if form == "latex":
        parts[-1] = _tex(parts[-1])
    return "\n\n".join(parts) + "\n"


def _differences(runs: Sequence[Evaluation]) -> list[str]:
    first, found = runs[0], []
    for run in runs[1:]:
        for key in MUST_AGREE:
            # Runs of earlier versions do not state the convention: there was one.
            absent = "own" if key == "convention" else None
            one, other = first.protocol.get(key) or absent, run.protocol.get(key) or absent
            if key == "weights" and isinstance(one, dict) and isinstance(other, dict):
                shared = one.keys() & other.keys()
                # The same file may have different names.
                one, other = ({k: x[k].get("sha256", x[k]["name"]) for k in shared} for x in (one, other))
            if one != other:
                found.append(f"{first.name} and {run.name} differ in {key} ({_brief(one)} and {_brief(other)})")
    return found


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _entries(runs: Sequence[Evaluation], references: bool) -> list[Entry]:
    """The lines, those of one system together, in the order of the first run's systems."""
    order = list(dict.fromkeys(system for run in runs for system in run.systems))
    found = []
    for system in order:
        for run in runs:
            if system in run.systems:
                name = run.name if len(run.systems) == 1 else f"{run.name}: {TITLES.get(system, system)}"
                found.append(Entry(name, run, system))
    if references:
        there = dict(systems_of(next(iter(runs[0].rows.values()))))
        found += [Entry(TITLES.get(name, name), runs[0], name) for name in REFERENCES if name in there]
    return found


def _base(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The first run's entry that is like this one; None where there is none, and for the first run's own systems."""
    first = next(other.run for other in entries)
    if entry.run is first and entry.system not in REFERENCES:
        return None
    own = [other for other in entries if other.run is first and other.system not in REFERENCES]
    same = [other for other in own if other.system == entry.system]
    if same or (entry.system not in VIDEOS and entry.system not in REFERENCES):
        return next(iter(same), None)
    return next((other for other in own if (other.system in VIDEOS) == (entry.system in VIDEOS)), None)


def _columns(entry: Entry, clip_ids: Sequence[str]) -> dict[str, list[float | None]]:
    rows = [entry.run.measures(clip_id, entry.system) for clip_id in clip_ids]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _figures(entry: Entry, clip_ids: Sequence[str]) -> dict[str, Figure]:
    columns = _columns(entry, clip_ids)
    found = {name: mean_figure(_array(values)) for name, values in columns.items() if name in MEASURES}
    if "touching_frames" in columns:
        found["contact_share"] = share_figure(_array(columns["touching_frames"]), _array(columns["moving_frames"]))
    for metric in DISTRIBUTIONS:
        own, true = _features(entry, clip_ids, metric)
        if own and entry.system != TRUE_VIDEO:
            found[metric] = frechet_figure(own, true)
    return found


def _difference(entry: Entry, first: Entry, clip_ids: Sequence[str], name: str) -> Figure:
    if name in DISTRIBUTIONS:
        (one, true), (other, _) = (_features(e, clip_ids, name) for e in (entry, first))
        return frechet_difference(one, other, true)
    own, base = _columns(entry, clip_ids), _columns(first, clip_ids)
    if name == "contact_share":
        counts = [_array(c[key]) for c in (own, base) for key in ("touching_frames", "moving_frames")]
        return share_difference(*counts)
    return mean_figure(_array(own[name]) - _array(base[name]))


def _features(entry: Entry, clip_ids: Sequence[str], metric: str) -> tuple[list[Any], list[Any]]:
    if entry.system not in VIDEOS or metric not in entry.run.protocol["metrics"]:
        return [], []
    found = read_features(entry.run.folder, clip_ids, metric)
    return found.get(entry.system, []), found.get(TRUE_VIDEO, [])


def _array(values: Sequence[float | None]) -> Any:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _grids(comparison: Comparison, names: Sequence[str], form: Format) -> list[str]:
    """A table of figures of these entries and one of their differences, where they have any."""
    figures = {name: comparison.figures[name] for name in names}
    figures = {name: found for name, found in figures.items() if found.keys() & set(comparison.measures)}
    less = {
        f"{name} less {comparison.bases[name]}": comparison.differences[name]
        for name in figures
        if comparison.differences.get(name)
    }
    parts = [_grid(comparison, figures, form, best=True)] if figures else []
    if less:
        heading = "Differences, paired by clip; bold where the interval leaves out 0:"
        parts += [heading if form == "markdown" else _tex(heading), _grid(comparison, less, form, best=False)]
    return parts


def _grid(comparison: Comparison, lines: Mapping[str, Mapping[str, Figure]], form: Format, best: bool) -> str:
    measures = [name for name in comparison.measures if any(name in figures for figures in lines.values())]
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    head = [
        "system" if best else "difference",
        *(f"{MEASURES[m].title}{arrows[MEASURES[m].better]}" for m in measures),
    ]
    body = []
    for name, figures in lines.items():
        cells = []
        for measure in measures:
            figure, shown = figures.get(measure), MEASURES[measure]
            bold = figure is not None and (_is_best(figure, measure, lines) if best else _is_clear(figure, shown))
            cells.append(_cell(figure, shown, bold, form))
        body.append([name, *cells])
    if form == "latex":
        return _latex(head, body)
    return markdown_table(head, body)


def _is_best(figure: Figure, measure: str, lines: Mapping[str, Mapping[str, Figure]]) -> bool:
    """Best of the systems; the references do not compete."""
    better = MEASURES[measure].better
    references = {TITLES.get(name, name) for name in REFERENCES}
    competing = [figures[measure].value for n, figures in lines.items() if measure in figures and n not in references]
    values = [value * better for value in competing if value is not None]
    return bool(better and len(values) > 1 and figure.value is not None and figure.value * better == max(values))


def _is_clear(figure: Figure, measure: Measure) -> bool:
    """Whether the interval, as it is written, leaves out 0."""
    if figure.low is None or figure.high is None:
        return False
    return float(measure.form(figure.low)) > 0 or float(measure.form(figure.high)) < 0


def _cell(figure: Figure | None, measure: Measure, bold: bool, style: Format) -> str:
    if figure is None or figure.value is None:
        return "-" if style == "markdown" else "--"
    form = measure.form
    value = form(figure.value)
    if figure.low is None or figure.high is None:
        return value
    if style == "latex":
        value = f"\\textbf{{{value}}}" if bold else value
        return f"{value} \\scriptsize({form(figure.low)} to {form(figure.high)})"
    value = f"**{value}**" if bold else value
    return f"{value} ({form(figure.low)} to {form(figure.high)})"


def _latex(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """For the package booktabs."""
    rows = [" & ".join([_tex(name), *cells]) + r" \\" for name, *cells in body]
    titles = " & ".join(_tex(title) for title in head) + r" \\"
    columns = "l" + "r" * (len(head) - 1)
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", titles, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    )


def _tex(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in "%&_#$" else c for c in text)
    return escaped.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$")


def _csv(comparison: Comparison) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["system", "measure", "kind", "value", "low", "high", "clips"])
    for note in comparison.notes:
        writer.writerow([f"not under one protocol: {note}", "", "note", "", "", "", ""])
    for kind, lines in (("figure", comparison.figures), ("difference", comparison.differences)):
        for name, figures in lines.items():
            for measure in comparison.measures:
                if (f := figures.get(measure)) is not None:
                    writer.writerow([name, measure, kind, f.value, f.low, f.high, f.clips])
    return buffer.getvalue()
