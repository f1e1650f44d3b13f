"""The paper's tables: each row a trained system, put to the same clips with the same steps and seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mask2iv.contract import Clip
from mask2iv.evaluation.answers import END_TO_END, VIDEO
from mask2iv.evaluation.measure import Measurer
from mask2iv.evaluation.report import COLUMNS, Form, cell, percent
from mask2iv.evaluation.runner import EvaluationConfig, evaluate
from mask2iv.evaluation.summary import PICTURES
from mask2iv.files import atomic_write, write_json
from mask2iv.manifest import weights_digest
from mask2iv.stages.pipeline import Mask2IVPipeline
from mask2iv.variants import Row

Figures = dict[str, Mapping[str, Any]]
DISTANCES = ("fvd", "fvd-sim", "fid")

VIDEO_COLUMNS = {name: (title, form) for name, (title, form, _) in COLUMNS.items() if name in (*DISTANCES, *PICTURES)}
TRAJECTORY_COLUMNS: dict[str, tuple[str, Form]] = {
    "final_distance_mean": ("final distance (%)", percent),
    "vanished_share": ("object gone at the end (%)", percent),
    "object_miou": ("object mIoU", "{:.3f}".format),
    "actor_miou": ("actor mIoU", "{:.3f}".format),
    "touch_share": ("moving object touches actor (%)", percent),
}


def columns_of(row: Row) -> dict[str, tuple[str, Form]]:
    """Title and form of each figure that a row can have, by name."""
    return TRAJECTORY_COLUMNS if row.video is None else VIDEO_COLUMNS


def evaluation_name(row: Row) -> str:
    """Folder of a row's evaluation; rows that are the same system, asked the same, share it."""
    if row.video is None:
        return str(row.trajectory)
    if row.trajectory is None:
        return f"{row.video}-foreign" if row.foreign else row.video
    return f"{row.trajectory}+{row.video} from {row.asked}".replace(" ", "-")


def load_system(folders: Mapping[str, Path], row: Row, device: torch.device) -> Mask2IVPipeline:
    """A row's networks: stage 2 of one model folder, stage 1 of another, or one of them.

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
    pipeline.trajectory_stage = first.trajectory_stage
    pipeline.config = replace(pipeline.config, mask_layout=first.config.mask_layout)
    return pipeline.to(device)


def score(
    folders: Mapping[str, Path],
    row: Row,
    clips: Sequence[Clip],
    settings: EvaluationConfig,
    out: Path,
    sources: Mapping[str, Any],
    device: torch.device,
    measurer: Measurer,
) -> Figures:
    """Evaluate a row, or read its figures where that is done; goes on with one that was interrupted.

    Args:
        folders: model folder of each of the row's variants.
        row: the row.
        clips: to evaluate on.
        settings: steps and seed, alike for all rows; the row says the stage.
        out: folder of evaluations.
        sources: ``data`` and ``data_index_sha256``.
        device: where to compute.
        measurer: the metrics, alike for all rows.

    Returns:
        Those figures of :func:`columns_of` that were measured, by name.
    """
    stage, condition = ("trajectory" if row.video is None else "video"), settings.condition
    if row.video is not None and row.trajectory is not None and row.asked is not None:
        stage, condition = "end-to-end", row.asked
    settings = replace(settings, stage=stage, condition=condition)  # type: ignore[arg-type]
    name = evaluation_name(row)
    model = {"model": name, "model_sha256": " ".join(weights_digest(folders[name]) for name in row.variants)}
    pipeline = load_system(folders, row, device)
    result = evaluate(pipeline, clips, settings, out / name, {**model, **sources}, measurer)
    made_by = VIDEO if stage == "video" else END_TO_END
    if row.video is None:
        found = result["trajectory"][row.asked]
    else:
        distances = {name: of[made_by] for name, of in result.get("distribution", {}).items()}
        found = {**distances, **result[made_by]["model"]}
    return {name: found[name] for name in columns_of(row) if name in found}


# --- tables


def write_tables(path: Path, rows: Sequence[tuple[Row, str, Figures | None]], provenance: Mapping[str, Any]) -> str:
    """Write ``path`` with the suffixes .md, .csv and .json; returns the Markdown.

    Args:
        path: without a suffix.
        rows: each with its title and its figures; None where it was not run.
        provenance: how the figures came about: ``line`` goes under the Markdown table, all of it into the JSON.
    """
    blocks = []
    for heading, chosen in (
        ("Videos", [entry for entry in rows if entry[0].video is not None]),
        ("Trajectories (stage 1)", [entry for entry in rows if entry[0].video is None]),
    ):
        if chosen:
            blocks += [f"### {heading}", _markdown(chosen)]
    text = "\n\n".join([*blocks, str(provenance["line"])]) + "\n"
    with atomic_write(path.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_write(path.with_suffix(".csv")) as temporary:
        temporary.write_text(_csv(rows), encoding="utf-8")
    table = [
        {"row": row.name, "title": title, "given": row.given, "figures": figures or None}
        for row, title, figures in rows
    ]
    write_json(path.with_suffix(".json"), {"rows": table, "provenance": provenance})
    return text


def _markdown(rows: Sequence[tuple[Row, str, Figures | None]]) -> str:
    measured = {name for _, _, figures in rows for name in figures or ()}
    columns = {name: column for name, column in columns_of(rows[0][0]).items() if name in measured}
    lines = [["system", "given", *(title for title, _ in columns.values())], ["---", "---", *["---:"] * len(columns)]]
    for row, title, figures in rows:
        cells = ["not run"] * len(columns)
        if figures is not None:
            cells = [cell(figures[name], form) if name in figures else "-" for name, (_, form) in columns.items()]
        lines.append([title, row.given, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _csv(rows: Sequence[tuple[Row, str, Figures | None]]) -> str:
    """One line per figure, empty where a row was not run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "title", "given", "figure", "value", "low", "high", "clips"])
    for row, title, figures in rows:
        for key in figures if figures is not None else columns_of(row):
            found = (figures or {}).get(key, {})
            writer.writerow(
                [row.name, title, row.given, key, *(found.get(n) for n in ("value", "low", "high", "clips"))]
            )
    return text.getvalue()
