"""Journals say what they were made under, and do not grow under anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mask2iv import __version__
from mask2iv.errors import InputError
from mask2iv.execution.measuring.conditions import claim

TEXT: dict[str, Any] = {"benchmark": "sim-robot", "plan": "text", "model": "embedded", "model_sha256": "a1", "seed": 0}


def test_a_manifest_says_what_a_journal_was_made_under(tmp_path: Path) -> None:
    claim(tmp_path / "out", "text", TEXT)
    told = json.loads((tmp_path / "out" / "text.manifest.json").read_text())
    assert {**told, **TEXT} == told
    assert told["versions"]["mask2iv"] == __version__
    assert told["hardware"]["cores"] > 0


def test_the_same_weights_may_have_another_name(tmp_path: Path) -> None:
    claim(tmp_path, "text", TEXT)
    claim(tmp_path, "text", {**TEXT, "model": "runs/mine"})


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("model_sha256", "b2"), ("split", "test")])
def test_a_journal_does_not_grow_under_other_conditions(tmp_path: Path, name: str, value: object) -> None:
    claim(tmp_path, "text", TEXT)
    before = (tmp_path / "text.manifest.json").read_bytes()
    with pytest.raises(InputError, match=rf"attempts of text with {name} .* \(now {value}\)"):
        claim(tmp_path, "text", {**TEXT, name: value})
    assert (tmp_path / "text.manifest.json").read_bytes() == before
    claim(tmp_path, "best", {**TEXT, "plan": "best", name: value})


def test_a_journal_without_a_manifest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"no text\.manifest\.json says under what"):
        claim(tmp_path, "text", TEXT)
