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
from mask2iv.evaluation.report import cell
from mask2iv.evaluation.runner import EvaluationConfig, evaluate
from mask2iv.files import atomic_write, write_json
from mask2iv.manifest import weights_digest
from mask2iv.stages.pipeline import Mask2IVPipeline
from mask2iv.variants import Row

Figures = dict[str, Mapping[str, Any]]

VIDEO_COLUMNS = {
    "PSNR (dB)": ("psnr", "{:.2f}"),
    "PSNR where pixels change (dB)": ("psnr_changed", "{:.2f}"),
    "SSIM": ("ssim", "{:.3f}"),
}
TRAJECTORY_COLUMNS = {
    "final distance (share of the diagonal)": ("final_distance_mean", "{:.3f}"),
    "object gone at the end": ("vanished_share", "{:.3f}"),
    "object mIoU": ("object_miou", "{:.3f}"),
    "actor mIoU": ("actor_miou", "{:.3f}"),
    "moving object touches actor": ("touch_share", "{:.3f}"),
}


def columns_of(row: Row) -> dict[str, tuple[str, str]]:
    """Titles of the figures of a row, each with its name and its form."""
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

    Returns:
        The figures of :func:`columns_of`, by name.
    """
    stage, condition = ("trajectory" if row.video is None else "video"), settings.condition
    if row.video is not None and row.trajectory is not None and row.asked is not None:
        stage, condition = "end-to-end", row.asked
    settings = replace(settings, stage=stage, condition=condition)  # type: ignore[arg-type]
    name = evaluation_name(row)
    model = {"model": name, "model_sha256": " ".join(weights_digest(folders[name]) for name in row.variants)}
    result = evaluate(load_system(folders, row, device), clips, settings, out / name, {**model, **sources})
    made_by = VIDEO if stage == "video" else END_TO_END
    found = result["trajectory"][row.asked] if row.video is None else result[made_by]["model"]
    return {key: found[key] for key, _ in columns_of(row).values()}


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
    columns = columns_of(rows[0][0])
    lines = [["system", "given", *columns], ["---", "---", *["---:"] * len(columns)]]
    for row, title, figures in rows:
        cells = ["not run"] * len(columns)
        if figures is not None:
            cells = [cell(figures[key], form.format) for key, form in columns.values()]
        lines.append([title, row.given, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _csv(rows: Sequence[tuple[Row, str, Figures | None]]) -> str:
    """One line per figure, empty where a row was not run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "title", "given", "figure", "value", "low", "high", "clips"])
    for row, title, figures in rows:
        for key, _ in columns_of(row).values():
            found = (figures or {}).get(key, {})
            writer.writerow(
                [row.name, title, row.given, key, *(found.get(n) for n in ("value", "low", "high", "clips"))]
            )
    return text.getvalue()
