"""The folder of an evaluation: what is written while it runs, and how it is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Required

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from mask2iv import config
from mask2iv.config import read_records
from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError, within
from mask2iv.evaluation.measures.frechet import frechet_figure
from mask2iv.evaluation.per_clip.measure import TRUE_VIDEO, Features
from mask2iv.evaluation.per_clip.rows import DETAILS, Ranking, Row, StoredRow, flat
from mask2iv.evaluation.reports.page import write_page
from mask2iv.evaluation.runs.folder import JOURNAL, PROTOCOL, TABLE
from mask2iv.extras import require
from mask2iv.files import atomic_write, write_json
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.parsing import read_arrays
from mask2iv.stages.config import PipelineConfig

_AGAIN = "remove the folder and evaluate again"


class _Protocol(TypedDict, total=False):
    """The part of ``protocol.json`` that is computed with; the rest is compared and shown as it is."""

    metrics: Required[dict[str, Any]]
    weights: dict[str, dict[str, Any]]


class Journal:
    """Rows, features and filmstrips of an evaluation.

    Args:
        out: a new folder, or that of an evaluation under the same protocol, which is then resumed.
        protocol: plain JSON values; ``model``, ``data`` and ``predictions``, which are mere names, may differ.
        rank: what makes clips the best and the worst.
        first: how many clips, in their order, get filmstrips.
        keep: how many of the best and how many of the worst get filmstrips; none where clips are not ranked.

    Raises:
        InputError: the folder holds something else, or an evaluation under another protocol.
    """

    def __init__(self, out: Path, protocol: Mapping[str, Any], rank: Ranking, first: int, keep: int) -> None:
        self.out, self.rank, self.first, self.keep = out, rank, first, keep if rank.better else 0
        require("pyarrow", "evaluation")  # needed last, but its absence should show first
        self.rows: list[Row] = _claim(out, protocol)

    def add(
        self, row: Row, features: Mapping[str, Sequence[Features]], strip: Sequence[tuple[str, UInt8Array]]
    ) -> None:
        """Add a clip: its features and its filmstrip are written, its row waits for :meth:`save`."""
        arrays = {
            f"{metric} {system} {seed}": found[metric]
            for system, of_seeds in features.items()
            for seed, found in enumerate(of_seeds)
            for metric in found
        }
        if arrays:
            with atomic_write(self._features(row["clip_id"])) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        self.rows.append(row)
        if row["clip_id"] in self._shown():
            write_png(self._filmstrip(row["clip_id"]), filmstrip(strip))

    def save(self) -> None:
        """Write the rows, and delete filmstrips of clips that are no longer among the best or the worst."""
        with atomic_write(self.out / JOURNAL) as temporary:
            text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.rows)
            temporary.write_text(text, encoding="utf-8")
        shown = self._shown()
        for path in (self.out / "filmstrips").glob("*.png"):
            if path.stem not in shown:
                path.unlink()

    def distributions(self, names: Iterable[str]) -> dict[str, Any]:
        """``{"distribution": {metric: {system: figure}}}``: Frechet distances to the true videos; empty without any."""
        found: dict[str, Any] = {}
        if not any("reference" in row for row in self.rows):
            return found  # there are no videos
        for metric in names:
            read = read_features(self.out, [row["clip_id"] for row in self.rows], metric)
            true = read.pop(TRUE_VIDEO, [])
            found[metric] = {system: frechet_figure(of_clips, true).to_dict() for system, of_clips in read.items()}
        return {"distribution": found} if any(found.values()) else {}

    def ranked(self) -> dict[str, Any]:
        """``best`` and ``worst`` clips: id, caption, value and filmstrip, the most extreme first."""
        order = sorted(self.rows, key=self.rank)

        def entries(rows: Sequence[Row]) -> list[dict[str, Any]]:
            return [
                {
                    "clip_id": row["clip_id"],
                    "caption": row["caption"],
                    "value": flat(row).get(self.rank.name),
                    "filmstrip": path.relative_to(self.out).as_posix() if path.is_file() else None,
                }
                for row in rows
                for path in [self._filmstrip(row["clip_id"])]
            ]

        return {"best": entries(order[::-1][: self.keep]), "worst": entries(order[: self.keep])}

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the table and the report."""
        write_table(self.rows, self.out / TABLE)
        write_page(result, self.out)

    def _shown(self) -> set[str]:
        order = sorted(self.rows, key=self.rank)
        ends = order[: self.keep] + order[len(order) - min(self.keep, len(order)) :]
        return {row["clip_id"] for row in [*self.rows[: self.first], *ends]}

    def _filmstrip(self, clip_id: str) -> Path:
        return self.out / "filmstrips" / f"{clip_id}.png"

    def _features(self, clip_id: str) -> Path:
        return self.out / "features" / f"{clip_id}.npz"


def read_rows(out: Path) -> list[Row]:
    """The rows in an evaluation's folder; empty where there are none yet.

    Raises:
        InputError: the file is damaged.
    """
    path = out / JOURNAL
    if not path.is_file():
        return []
    try:
        rows: list[Row] = [dict(row) for row in read_records(path, StoredRow)]
    except InputError as error:
        raise InputError(error.field, error.problem, _AGAIN) from error
    measured = {frozenset(flat(row)) for row in rows}
    if len(measured) > 1 or len({row["clip_id"] for row in rows}) < len(rows):
        raise InputError(str(path), "is damaged: its lines have different measures, or a clip twice", _AGAIN)
    return rows


def read_protocol(out: Path) -> dict[str, Any]:
    """What an evaluation was run under.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = out / PROTOCOL
    protocol = config.read_config(path, dict[str, Any])
    with within(str(path)):
        config.from_dict(_Protocol, protocol, unknown="ignore")
    return protocol


def read_features(out: Path, clip_ids: Sequence[str], metric: str) -> dict[str, list[NDArray[np.float32]]]:
    """Features [n, D] of each clip by system, all seeds together.

    Raises:
        InputError: a clip's features are missing or damaged.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    for clip_id in clip_ids:
        path = out / "features" / f"{clip_id}.npz"
        by_system: dict[str, list[NDArray[np.float32]]] = {}
        try:
            for key, values in read_arrays(path).items():
                name, _, system = key.rpartition(" ")[0].partition(" ")
                if name == metric:
                    if values.dtype.kind != "f" or values.ndim != 2 or not np.isfinite(values).all():
                        raise InputError(str(path), f"{key!r} must be finite floats [n, D]")
                    by_system.setdefault(system, []).append(values)
        except InputError as error:
            raise InputError(error.field, error.problem, _AGAIN) from error
        for system, parts in by_system.items():
            found.setdefault(system, []).append(np.concatenate(parts))
    widths = {features.shape[1] for of_clips in found.values() for features in of_clips}
    if len(widths) > 1:
        raise InputError(str(out / "features"), f"have different widths for {metric}: {sorted(widths)}", _AGAIN)
    return found


def write_table(rows: Sequence[Row], path: Path) -> None:
    """One row per clip and one column per measure, as Parquet."""
    pyarrow, parquet = require("pyarrow", "evaluation"), require("pyarrow.parquet", "evaluation")
    table = pyarrow.Table.from_pylist([{**{name: row[name] for name in DETAILS}, **flat(row)} for row in rows])
    with atomic_write(path) as temporary:
        parquet.write_table(table, temporary)


def _claim(out: Path, protocol: Mapping[str, Any]) -> list[Row]:
    """The rows that are already there, if they were made under this protocol."""
    path = out / PROTOCOL
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError("out", f"{out} is not empty and holds no evaluation", "choose another folder")
        write_json(path, protocol)
        return []
    # Protocols of earlier versions do not state the convention: there was one.
    found = {"convention": "own", **read_protocol(out)}
    if isinstance(found.get("pipeline"), dict):
        # Settings that are newer than the file have their defaults.
        with within(str(path)):
            found["pipeline"] = config.to_dict(config.from_dict(PipelineConfig, found["pipeline"], "pipeline"))
    wanted = config.plain(protocol)
    # Hashes identify models and data; paths to the same ones may differ.
    keys = {*found, *wanted} - {"model", "data", "predictions"}
    differing = sorted(key for key in keys if found.get(key) != wanted.get(key))
    if differing:
        raise InputError(
            "out", f"{out} holds an evaluation that differs in {', '.join(differing)}", "choose another folder"
        )
    return read_rows(out)
