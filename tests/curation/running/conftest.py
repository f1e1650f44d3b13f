"""A source that is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.curation.running.troubles import DrawnSource


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnSource:
    root = tmp_path / "drawn"
    root.mkdir()
    for step in range(1, 5):
        (root / f"step{step}.txt").write_text(f"{step}\n")
    return DrawnSource(root)
