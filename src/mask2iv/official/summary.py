"""The summaries that import and export print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mask2iv.models.text import REMEDY
from mask2iv.official.exporting import ExportSummary

_SHOWN = 10


def import_summary(out: Path, report: Mapping[str, Any]) -> str:
    """A few lines about an import, with the keys that were left out or absent."""
    keys = report["keys"]
    carried = len(keys["carried"]) + len(keys["aliases"])
    lines = [
        f"{out}: {report['stage']}, layout {report['layout']}, {report['dtype']}",
        f"{keys['total']} keys: {keys['used']} used, {carried} kept for export",
    ]
    if keys["ignored"]:
        groups = [f"{name} ({group['count']})" for name, group in keys["ignored"].items()]
        lines.append(f"left out on request, without a place here: {_some(groups)}")
    if keys["absent"]:
        lines.append(f"not in the file, and computed or not needed: {_some(keys['absent'])}")
    if not report["prompts"]:
        lines.append(
            f"no CLIP vocabulary: only the empty prompt is known, all that this stage needs; for others, {REMEDY}"
        )
    return "\n".join(lines)


def export_summary(out: Path, summary: ExportSummary) -> str:
    """A few lines about an export, with the tensors that were copied or filled with zeros."""
    lines = [f"{out}: {summary.tensors} tensors, {summary.dtype}"]
    if summary.copied:
        lines.append(f"copies of the text encoder: {_some(summary.copied)}")
    if summary.zeroed:
        lines.append(f"zeros, used by no network: {_some(summary.zeroed)}")
    if summary.left_out:
        lines.append(f"left out, without a place in this layout: {_some(summary.left_out)}")
    return "\n".join(lines)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more (see the report)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
