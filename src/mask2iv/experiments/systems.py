"""The paper's tables: each row is a trained system, evaluated on the same clips with the same steps and seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mask2iv.contract import Clip
from mask2iv.evaluation.measures.metrics import Figure
from mask2iv.evaluation.per_clip.catalogue import MEASURES
from mask2iv.evaluation.per_clip.measure import Measurer
from mask2iv.evaluation.per_clip.outputs import END_TO_END, VIDEO
from mask2iv.evaluation.per_clip.rows import TITLES, TRIVIAL
from mask2iv.evaluation.reports.report import cell, markdown_table
from mask2iv.evaluation.runs.compare import REFERENCES, Evaluation, compare, read_evaluation
from mask2iv.evaluation.runs.runner import EvaluationConfig, evaluate
from mask2iv.experiments.variants import Row
from mask2iv.files import atomic_write, write_json
from mask2iv.manifest import weights_digest
from mask2iv.pipelines.pipeline import Mask2IVPipeline


def reference(row: Row) -> Row:
    """What a row is compared with, clip by clip.

    A video system is compared with Mask2IV along true masks, a model of stage 1 with the joint one under the same
    conditions.
    """
    if row.video is None:
        return replace(row, trajectory="joint")
    return replace(row, video="mask2iv", trajectory=None, asked=None, foreign=False)


def evaluation_name(row: Row) -> str:
    """Folder of a row's evaluation; rows with the same system and conditions share it."""
    if row.video is None:
        return str(row.trajectory)
    if row.trajectory is None:
        return f"{row.video}-foreign" if row.foreign else row.video
    return f"{row.trajectory}+{row.video} from {row.asked}".replace(" ", "-")


def load_system(folders: Mapping[str, Path], row: Row, device: torch.device) -> Mask2IVPipeline:
    """A row's networks: stage 2 from one model folder, stage 1 from another, or one of them.

    Args:
        folders: model folder of each of the row's variants.
        row: the row.
        device: where to compute.
    """
    loaded = {name: Mask2IVPipeline.from_pretrained(folders[name]) for name in row.variants}
    if row.video is None or row.trajectory is None:
        [pipeline] = loaded.values()
        return pipeline.to(device)
    first, pipeline = loaded[row.trajectory], loaded[row.video]
    pipeline.trajectory_stage, pipeline.planning_stage = first.trajectory_stage, first.planning_stage
    pipeline.config = replace(pipeline.config, mask_layout=first.config.mask_layout)
    return pipeline.to(device)


def as_asked(row: Row, settings: EvaluationConfig) -> EvaluationConfig:
    """The settings with the stage that a row is measured by, and the condition of its stage 1."""
    if row.video is None:
        return replace(settings, stage="trajectory")
    if row.trajectory is None:
        return replace(settings, stage="video")
    return replace(settings, stage="end-to-end", condition=row.asked)


def score(
    folders: Mapping[str, Path],
    row: Row,
    clips: Sequence[Clip],
    settings: EvaluationConfig,
    out: Path,
    sources: Mapping[str, Any],
    device: torch.device,
    measurer: Measurer,
) -> None:
    """Evaluate a row, resuming where an earlier evaluation stopped.

    Args:
        folders: model folder of each of the row's variants.
        row: the row.
        clips: to evaluate on.
        settings: steps and seed, shared by all rows; the row decides the stage.
        out: folder of evaluations.
        sources: ``data`` and ``data_index_sha256``.
        device: where to compute.
        measurer: the metrics.
    """
    model = {
        "model": evaluation_name(row),
        "model_sha256": " ".join(weights_digest(folders[name]) for name in row.variants),
    }
    system = load_system(folders, row, device)
    evaluate(system, clips, as_asked(row, settings), out / evaluation_name(row), {**model, **sources}, measurer)


# --- tables


@dataclass(frozen=True)
class Figures:
    """A row's figures by measure, and their differences from those of its :func:`reference`."""

    own: Mapping[str, Figure]
    less_reference: Mapping[str, Figure]


def reference_rows(table: Sequence[Row]) -> list[Row]:
    """The :data:`~mask2iv.evaluation.runs.compare.REFERENCES` of a table's systems, as rows."""
    videos = [Row(name, TITLES[name], "-", video=name) for name in REFERENCES if name not in TRIVIAL]
    trajectories = [Row(name, name, "-", trajectory=name) for name in TRIVIAL]
    return [
        *(videos if any(row.video for row in table) else []),
        *(trajectories if any(not row.video for row in table) else []),
    ]


def gather(rows: Sequence[Row], evaluations: Path) -> dict[str, Figures]:
    """Figures of rows whose evaluations are finished, by the row's name; and of :func:`reference_rows`.

    Raises:
        InputError: evaluations that were not made under one protocol.
    """
    found: dict[str, Figures] = {}
    for group in ([row for row in rows if row.video], [row for row in rows if not row.video]):
        if not group:
            continue
        runs = {name: read_evaluation(evaluations / name) for name in sorted({evaluation_name(row) for row in group})}
        comparison = compare(list(runs.values()), references=True)
        for row in reference_rows(group):
            found[row.name] = Figures(comparison.figures[row.title], {})
        for row in group:
            entry, other = _entry(row, runs), _entry(reference(row), runs)
            less = comparison.less(entry, other) if entry and other and entry != other else {}
            assert entry is not None  # its run is among those that were read
            found[row.name] = Figures(comparison.figures[entry], less)
    return found


def _entry(row: Row, runs: Mapping[str, Evaluation]) -> str | None:
    """What a comparison calls a row; None where it was not run."""
    run = runs.get(evaluation_name(row))
    if run is None:
        return None
    of_stage_2 = VIDEO if row.trajectory is None else END_TO_END
    system = f"stage 1 from {row.asked}" if row.video is None else of_stage_2
    return run.name if len(run.systems) == 1 else f"{run.name}: {TITLES.get(system, system)}"


def write_tables(
    path: Path,
    rows: Sequence[tuple[Row, str, Figures | None]],
    provenance: Mapping[str, Any],
    measures: Sequence[str] | None = None,
) -> str:
    """Write ``path`` with the suffixes .md, .csv and .json; returns the Markdown.

    Args:
        path: without a suffix.
        rows: each with its title and its figures; None where it was not run.
        provenance: how the figures came about: ``line`` goes under the Markdown table, all of it into the JSON.
        measures: columns of the Markdown; None for all. The other files hold all.
    """
    measures = list(MEASURES) if measures is None else measures
    blocks = []
    for heading, compared_with, chosen in (
        ("Videos", "Mask2IV along true masks", [entry for entry in rows if entry[0].video is not None]),
        (
            "Trajectories (stage 1)",
            "the joint model asked in the same way",
            [entry for entry in rows if entry[0].video is None],
        ),
    ):
        if any(figures for _, _, figures in chosen):
            blocks += [f"### {heading}", _markdown(chosen, "own", measures)]
        if any(figures.less_reference for _, _, figures in chosen if figures):
            blocks += [f"Less {compared_with}, paired by clip:", _markdown(chosen, "less_reference", measures)]
    text = "\n\n".join([*blocks, str(provenance["line"])]) + "\n"
    with atomic_write(path.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_write(path.with_suffix(".csv")) as temporary:
        temporary.write_text(_csv(rows), encoding="utf-8")
    table = [
        {
            "row": row.name,
            "title": title,
            "given": row.given,
            **{part: _json(getattr(figures, part)) if figures else None for part in ("own", "less_reference")},
        }
        for row, title, figures in rows
    ]
    write_json(path.with_suffix(".json"), {"rows": table, "provenance": provenance})
    return text


def _json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_dict() for name, figure in figures.items()}


def _markdown(rows: Sequence[tuple[Row, str, Figures | None]], part: str, wanted: Sequence[str]) -> str:
    known = [getattr(figures, part) for _, _, figures in rows if figures]
    measures = [name for name in MEASURES if name in wanted and any(name in figures for figures in known)]
    head, body = ["system", "given", *(MEASURES[name].title for name in measures)], []
    for row, title, figures in rows:
        own = getattr(figures, part) if figures else {}
        if part == "less_reference" and not own:
            continue
        missing = "-" if figures else "not run"
        cells = [cell(own[name].to_dict(), MEASURES[name].form) if name in own else missing for name in measures]
        body.append([title, row.given, *cells])
    return markdown_table(head, body, texts=2)


def _csv(rows: Sequence[tuple[Row, str, Figures | None]]) -> str:
    """One line per figure and per difference; an empty one for each row that was not run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "title", "given", "measure", "kind", "value", "low", "high", "clips"])
    for row, title, figures in rows:
        parts = {} if figures is None else {"figure": figures.own, "difference": figures.less_reference}
        for kind, part in parts.items():
            for name in MEASURES:
                if (one := part.get(name)) is not None:
                    found = [one.value, one.low, one.high, one.clips]
                    writer.writerow([row.name, title, row.given, name, kind, *found])
        if figures is None:
            writer.writerow([row.name, title, row.given, *[""] * 6])
    return text.getvalue()
