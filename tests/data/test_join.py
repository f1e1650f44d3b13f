"""Joining clip sets for training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.data.shards import write_shards
from mask2iv.data.store import ClipSet


def renamed(clips: Path, out: Path, prefix: str) -> Path:
    """The same clips under other names."""
    shutil.copytree(clips, out)
    for folder in (out / "clips").iterdir():
        folder.rename(folder.with_name(folder.name.replace("clip", prefix)))
    index = out / "index.jsonl"
    index.write_text(index.read_text().replace('"clip-', f'"{prefix}-'))
    return out


def test_the_joined_set_has_the_clips_of_all_whatever_their_order(tiny_clips: Path, tmp_path: Path) -> None:
    other = renamed(tiny_clips, tmp_path / "other", "alpha")
    for name, sets in (("ab", (tiny_clips, other)), ("ba", (other, tiny_clips))):
        assert main(["join", *map(str, sets), "--out", str(tmp_path / name)]) == 0
    joined, first, second = ClipSet(tmp_path / "ab"), ClipSet(tiny_clips), ClipSet(other)
    assert joined.ids == [*second.ids, *first.ids], "sorted by id"
    assert joined.rows[: len(second)] == second.rows
    assert (tmp_path / "ab" / "index.jsonl").read_bytes() == (tmp_path / "ba" / "index.jsonl").read_bytes()
    assert np.array_equal(joined[len(second)].video, first[0].video)
    sources = joined.info["provenance"]["joined"]
    assert [source["num_clips"] for source in sources] == [len(first), len(second)]


def test_shards_are_joined_like_the_set_they_were_made_of(tiny_clips: Path, tmp_path: Path) -> None:
    other = renamed(tiny_clips, tmp_path / "other", "alpha")
    write_shards([ClipSet(tiny_clips)], tmp_path / "shards")
    for name, first in (("sets", tiny_clips), ("shards and a set", tmp_path / "shards")):
        assert main(["join", str(first), str(other), "--out", str(tmp_path / name)]) == 0
    assert list(ClipSet(tmp_path / "shards and a set").digests()) == list(ClipSet(tmp_path / "sets").digests())
    assert ClipSet(tmp_path / "shards and a set").rows == ClipSet(tmp_path / "sets").rows


def test_a_limit_holds_for_each_set(tiny_clips: Path, tmp_path: Path) -> None:
    other = renamed(tiny_clips, tmp_path / "other", "alpha")
    assert main(["join", str(tiny_clips), str(other), "--out", str(tmp_path / "out"), "--limit", "2"]) == 0
    assert ClipSet(tmp_path / "out").ids == ["alpha-0", "alpha-1", "clip-0", "clip-1"]


def test_sets_that_do_not_go_together_are_refused(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = renamed(tiny_clips, tmp_path / "other", "alpha")
    header = other / "clipset.json"
    header.write_text(header.read_text().replace('"fps": 8.0', '"fps": 10.0'))
    for sets, message in (
        ((tiny_clips,), "two clip sets or more"),
        ((tiny_clips, tiny_clips), "both hold a clip clip-0"),
        ((tiny_clips, other), "has fps 10.0"),
    ):
        assert main(["join", *map(str, sets), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
