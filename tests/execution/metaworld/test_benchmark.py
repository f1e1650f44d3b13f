"""Journals become a table."""

import json
from pathlib import Path

import pytest

from mask2iv.errors import InputError
from mask2iv.execution.metaworld.benchmark import execute, markdown, summary


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


def test_unknown_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="oracle"):
        execute(tmp_path, ["oracel"], [0], None)
