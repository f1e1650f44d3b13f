"""The folder of an evaluation: what is written while it goes on, and how it is taken up again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv import config
from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.frechet import frechet_figure
from mask2iv.evaluation.per_clip.measure import TRUE_VIDEO, Features
from mask2iv.evaluation.per_clip.rows import Ranking, Row, flat
from mask2iv.evaluation.reports.page import write_page
from mask2iv.extras import require
from mask2iv.files import atomic_write, read_json, reason, write_json
from mask2iv.filmstrip import filmstrip
from mask2iv.media import write_png
from mask2iv.stages.config import PipelineConfig

JOURNAL, PROTOCOL, TABLE = "per_clip.jsonl", "protocol.json", "per_clip.parquet"
_DETAILS = ("clip_id", "caption", "verb", "object_name", "actor")


class Journal:
    """Rows, features and filmstrips of an evaluation.

    Args:
        out: a new folder, or that of an evaluation under the same protocol, which is then gone on with.
        protocol: plain JSON values; ``model``, ``data`` and ``predictions``, which are mere names, may differ.
        rank: by which the best and the worst clips are found.
        first: filmstrips of so many clips, in their order.
        keep: filmstrips of so many of the best and of the worst; of none where nothing tells clips apart.

    Raises:
        InputError: the folder holds something else, or an evaluation under another protocol.
    """

    def __init__(self, out: Path, protocol: Mapping[str, Any], rank: Ranking, first: int, keep: int) -> None:
        self.out, self.rank, self.first, self.keep = out, rank, first, keep if rank.better else 0
        require("pyarrow", "evaluation")  # it is needed last, and should be missed first
        self.rows: list[Row] = _claim(out, protocol)

    def add(
        self, row: Row, features: Mapping[str, Sequence[Features]], strip: Sequence[tuple[str, UInt8Array]]
    ) -> None:
        """Take a clip in: its features and its filmstrip are written, its row waits for :meth:`save`."""
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
        """Write the rows, and drop filmstrips of clips that are no longer among the best or the worst."""
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
        """``best`` and ``worst`` clips: id, caption, value and filmstrip, the farthest first."""
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
    """The rows of an evaluation's folder; empty where none is there yet.

    Raises:
        InputError: the file is damaged.
    """
    path = out / JOURNAL
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}; remove the folder and evaluate again") from error


def read_features(out: Path, clip_ids: Sequence[str], metric: str) -> dict[str, list[NDArray[np.float32]]]:
    """Features [n, D] of each clip by system, those of all its seeds together.

    Raises:
        InputError: a clip's features are missing or damaged.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    for clip_id in clip_ids:
        path = out / "features" / f"{clip_id}.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                by_system: dict[str, list[NDArray[np.float32]]] = {}
                for key in archive.files:
                    name, system, _ = key.split(" ")
                    if name == metric:
                        by_system.setdefault(system, []).append(archive[key])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be read: {reason(error)}; remove the folder, evaluate again") from error
        for system, parts in by_system.items():
            found.setdefault(system, []).append(np.concatenate(parts))
    return found


def write_table(rows: Sequence[Row], path: Path) -> None:
    """One row per clip and one column per measure, as Parquet."""
    pyarrow, parquet = require("pyarrow", "evaluation"), require("pyarrow.parquet", "evaluation")
    table = pyarrow.Table.from_pylist([{**{name: row[name] for name in _DETAILS}, **flat(row)} for row in rows])
    with atomic_write(path) as temporary:
        parquet.write_table(table, temporary)


def _claim(out: Path, protocol: Mapping[str, Any]) -> list[Row]:
    """The rows that are there already, of an evaluation under this very protocol."""
    path = out / PROTOCOL
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"--out {out} is not empty and holds no evaluation; choose another folder")
        write_json(path, protocol)
        return []
    found = read_json(path)
    if "pipeline" in found:
        # Settings that did not exist when it was written have their defaults.
        found["pipeline"] = config.to_dict(config.from_dict(PipelineConfig, found["pipeline"]))
    wanted = json.loads(json.dumps(protocol))
    # Hashes tell models and data apart; the same ones may be called by other paths.
    keys = {*found, *wanted} - {"model", "data", "predictions"}
    differing = sorted(key for key in keys if found.get(key) != wanted.get(key))
    if differing:
        raise InputError(
            f"--out {out} holds an evaluation that differs in {', '.join(differing)}; choose another folder"
        )
    return read_rows(out)
