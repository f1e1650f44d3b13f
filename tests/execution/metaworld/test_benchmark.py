"""Journals become a table."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mask2iv.errors import InputError
from mask2iv.execution.metaworld.benchmark import execute, markdown, summary
from mask2iv.execution.metaworld.bridge import VARIABLE


def row(task: str, seed: int, success: bool, plans: int) -> dict[str, object]:
    return {
        "task": task,
        "camera": "corner",
        "seed": seed,
        "success": success,
        "steps": 100,
        "plans": plans,
        "kinds": [],
    }


def test_success_is_told_with_and_without_planning_again(tmp_path: Path) -> None:
    rows = [
        row("hammer", 0, True, 1),
        row("hammer", 1, True, 3),
        row("assembly", 0, False, 6),
        row("assembly", 1, True, 1),
    ]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    found = summary(tmp_path)
    assert found["text"]["all"]["share"] == 0.75
    assert found["text-once"]["all"]["share"] == 0.5
    assert found["text"]["hammer"]["share"] == 1.0
    assert found["text-once"]["hammer"]["low"] < 0.5 < found["text-once"]["hammer"]["high"]
    table = markdown(found)
    assert table.splitlines()[0] == "| success, % | text-once | text |"
    assert "| hammer | 50 (9 to 91) | 100 (34 to 100) |" in table


def test_only_episodes_without_a_row_are_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)  # which has no Meta-World: whatever is simulated fails
    journal = tmp_path / "slide.jsonl"
    journal.write_text(json.dumps(row("hammer", 0, False, 1)) + "\n")
    known = journal.read_bytes()
    told: list[str] = []
    given: dict[str, Any] = {"tasks": ["hammer"], "cameras": ["corner"], "told": told.append}
    execute(tmp_path, ["slide"], [0], None, **given)
    with pytest.raises(InputError, match="the simulator failed"):
        execute(tmp_path, ["slide"], [0, 1], None, **given)
    assert journal.read_bytes() == known
    assert not told


def test_unknown_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="oracle"):
        execute(tmp_path, ["oracel"], [0], None)
