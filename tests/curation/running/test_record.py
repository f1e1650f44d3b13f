"""What a run says of itself, and how it divides the clips."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import pytest
from tests.curation.running.runs import run
from tests.curation.running.troubles import DrawnSource

from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.running.splits import split_of
from mask2iv.files import sha256_file


def test_the_manifest_tells_what_made_the_set(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(drawn, out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"] == json.loads((out / "clipset.json").read_text())["provenance"]["settings"]
    assert manifest["ledger"]["sha256"] == sha256_file(out / "curation.jsonl")
    assert manifest["seeds"] == {"splits": 42}
    assert manifest["counts"] == {"recordings": 4, "new": 4, "clips": 4, "left_out": 0, "failures": 0}
    assert (manifest["hardware"]["crew"], manifest["hardware"]["workers"]) == ("processes", 2)
    assert manifest["versions"]["av"] == av.__version__


def test_a_defect_is_told_with_its_traceback(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    (drawn.root / "step2.txt").write_text("2\n")
    (drawn.root / "step2.defect").touch()
    assert list(run(drawn, out).failures) == ["step2"]
    [failure] = json.loads((out / "failures.json").read_text())
    assert failure["recording"] == "step2"
    assert failure["problem"].startswith("ZeroDivisionError")
    assert failure["details"][0] == "Traceback (most recent call last):"
    (drawn.root / "step2.defect").unlink()
    run(drawn, out)
    assert not (out / "failures.json").exists()


def test_a_draw_depends_on_the_group_alone() -> None:
    config = CurationConfig(validation=0.2, test=0.3)
    draws = Counter(split_of(f"group {number}", None, config) for number in range(4000))
    assert draws["test"] / 4000 == pytest.approx(0.3, abs=0.03)
    assert draws["validation"] / 4000 == pytest.approx(0.2, abs=0.03)
    assert split_of("any", "test", config) == "test"
    # Where a list names the test clips, the rest is divided into training and validation.
    rest = Counter(split_of(f"group {number}", "not test", config) for number in range(4000))
    assert rest["test"] == 0
    assert rest["validation"] / 4000 == pytest.approx(0.2, abs=0.03)
    # Where a source is divided already, it stays as it is.
    assert {split_of(f"group {number}", "train", config) for number in range(100)} == {"train"}
