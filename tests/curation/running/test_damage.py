"""Deaths, damage, and a ledger that nobody vouches for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.curation.running.runs import CONFIG, contents, run, skipped, write_pushed
from tests.curation.running.troubles import DrawnSource

from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.sources.recognise import open_source
from mask2iv.data.folder import FolderConfig
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError


def test_a_recording_that_kills_its_worker_is_told_and_tried_again(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    (drawn.root / "step2.kill").touch()
    (drawn.root / "step3.kill-once").touch()
    result = run(drawn, out)
    assert list(result.failures) == ["step2"]
    assert "worker died" in result.failures["step2"].problem
    assert ClipSet(out).ids == ["step1", "step3", "step4"]
    (drawn.root / "step2.kill").unlink()
    assert run(drawn, out).new == 1
    run(drawn, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("make", "message"), [(os.mkfifo, "is not a file"), (lambda path: path.symlink_to(path.name), "symbolic links")]
)
def test_a_picture_that_is_no_file_is_said(
    make: Callable[[Path], None], message: str, tmp_path: Path, trees: ModuleType
) -> None:
    folder = trees.write_bridge_trajectory(tmp_path / "bridge" / "raw" / "traj_group0" / "traj0", frames=8)
    (folder / "images0" / "im_3.jpg").unlink()
    make(folder / "images0" / "im_3.jpg")
    with pytest.raises(InputError, match=r"no clip is left of .*: cannot be read"):
        run(open_source(tmp_path / "bridge"), tmp_path / "set", workers=1)
    [entry] = json.loads((tmp_path / "set" / "curation.jsonl").read_text().splitlines()[1])["left_out"]
    assert "im_3.jpg: " in entry["details"]
    assert message in entry["details"]


def test_a_recording_that_has_lost_a_picture_goes_out_of_the_set(tmp_path: Path, trees: ModuleType) -> None:
    for number in range(2):
        write_pushed(tmp_path / f"bridge/raw/traj_group0/traj{number}", (96, 128), trees)
    source, out = open_source(tmp_path / "bridge"), tmp_path / "set"
    config = CurationConfig(cut=FolderConfig((96, 128)), motion_share=0.0)
    assert run(source, out, config, workers=1).clips == 2
    (tmp_path / "bridge/raw/traj_group0/traj1/images0/im_3.png").unlink()
    result = run(source, out, config, workers=1)
    assert (result.new, result.clips) == (1, 1)
    assert [entry["reasons"] for entry in result.left_out] == [["cannot be read"]]


def test_bad_clips_are_left_out_with_a_reason_and_a_picture(drawn: DrawnSource, tmp_path: Path) -> None:
    (drawn.root / "fast.txt").write_text("9\n")  # leaves the picture
    out = tmp_path / "set"
    run(drawn, out)
    assert skipped(out) == {"fast": ["object missing in too many frames", "object lost"]}
    assert {path.name for path in (out / "sheets").iterdir()} == {
        "clips.jpg",
        "object-lost.jpg",
        "object-missing-in-too-many-frames.jpg",
    }
    card = (out / "README.md").read_text()
    assert "4 clips of 4 frames of 48x32 pixels" in card
    assert "| object lost | 1 |" in card


def test_other_settings_and_foreign_folders_are_refused(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(drawn, out)
    with pytest.raises(InputError, match="begun with other settings"):
        run(drawn, out, CurationConfig(cut=CONFIG.cut, motion_share=0.5))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no curated clip set"):
        run(drawn, foreign)
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]


def test_a_source_without_usable_clips_says_why(drawn: DrawnSource, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no clip is left of .*: too few frames"):
        run(drawn, tmp_path / "set", CurationConfig(cut=CONFIG.cut, min_frames=9))


def test_names_in_a_ledger_lead_nowhere_else(drawn: DrawnSource, tmp_path: Path) -> None:
    """What is removed and moved lies in the set, whatever the ledger says."""
    out, outside = tmp_path / "set", tmp_path / "outside"
    (drawn.root / "fast.txt").write_text("9\n")  # left out, with a picture
    run(drawn, out)
    good = (out / "curation.jsonl").read_text()
    outside.mkdir()
    (outside / "kept").touch()
    (tmp_path / "outside.jpg").touch()
    (drawn.root / "step1.txt").write_text("2 \n")
    (drawn.root / "fast.txt").write_text("9 \n")
    (out / "curation.jsonl").write_text(good.replace('"clip_id":"step1"', '"clip_id":"../../outside"'))
    with pytest.raises(InputError, match="clip_id"):
        run(drawn, out)
    for name in ("../../outside", str(outside)):
        (out / "curation.jsonl").write_text(good.replace('"name":"fast"', f'"name":"{name}"'))
        run(drawn, out)
    (out / "curation.jsonl").write_text(good.replace('"group":', '"grouped":'))
    with pytest.raises(InputError, match="clip step1: has no group or masks"):
        run(drawn, out)
    assert (outside / "kept").exists()
    assert (tmp_path / "outside.jpg").exists()


@pytest.mark.parametrize(
    "gone", ["clips/step2", "clips/step2/labels.npz", "skipped.jsonl", "manifest.json", "clipset.json"]
)
def test_what_is_gone_from_a_set_is_made_again(gone: str, drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(drawn, out)
    before = contents(out)
    shutil.rmtree(out / gone) if (out / gone).is_dir() else (out / gone).unlink()
    assert run(drawn, out).new == gone.startswith("clips/")
    assert contents(out) == before
    assert (out / "manifest.json").is_file()
