"""What was tried, a line each, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.files import disk_faults


@dataclass(frozen=True)
class Journal:
    """A file of JSON lines.

    Attributes:
        path: of the file, NAME.jsonl, which need not exist.
    """

    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """All lines; one that was cut off is left out."""
        if not self.path.is_file():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a line."""
        with disk_faults(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
