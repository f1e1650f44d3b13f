"""The files in an evaluation's folder, by name."""

from __future__ import annotations

from pathlib import Path

from mask2iv.errors import InputError

JOURNAL, PROTOCOL, TABLE = "per_clip.jsonl", "protocol.json", "per_clip.parquet"
FIGURES = "metrics.json"


def require_finished(folder: Path) -> None:
    """Raises InputError unless ``folder`` holds a finished evaluation."""
    if not (folder / FIGURES).is_file():
        raise InputError(str(folder), f"holds no finished evaluation (no {FIGURES})", "finish it with mask2iv evaluate")
