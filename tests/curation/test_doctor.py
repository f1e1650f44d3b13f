"""The doctor's counts, reasons, exit status, JSON and sheet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from mask2iv.cli import main
from mask2iv.curation.examination import examine
from mask2iv.curation.sources.bridge import BridgeSource
from mask2iv.curation.sources.hoi4d.source import Hoi4dSource
from mask2iv.errors import InputError
from mask2iv.media.images import read_image

Tree = tuple[Path, Mapping[str, str]]
REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "real"


def test_a_hoi4d_tree_is_counted(hoi4d: Tree) -> None:
    found = examine(Hoi4dSource(hoi4d[0]))
    # 11 of 16 sequences have video, masks and actions; one of them has a damaged video.
    assert (found.recordings, found.opened, found.frames) == (11, 11, 10 * 300)
    assert {one.reason: one.count for one in found.skipped} == {
        "action left out": 10 * 4,
        "action without a known verb": 1,
        "action too short": 1,
        "actions missing": 1,
        "actions unreadable": 1,
        "category left out": 1,
        "masks missing": 1,
        "masks unreadable": 2 + 3,
        "pictures unreadable": 1,
        "video missing": 1,
    }
    assert found.actions == 7 * 3 + 1 + 1
    assert found.sizes == {"64x36": 10}
    assert found.rates == {"15": 10}
    assert found.splits["test"] == 6
    assert found.verbs["pushing"] == 1


def test_a_bridge_tree_is_counted(bridge: Tree) -> None:
    found = examine(BridgeSource(bridge[0]))
    assert {one.reason: one.count for one in found.skipped} == {
        "no caption": 2,
        "pictures missing": 2,
        "caption confidence below 0.4": 1,
        "caption unreadable": 1,
        "more than 50 source frames": 1,
        "pictures unreadable": 3,
    }
    assert (found.actions, found.masks) == (5, {"to be found": 5})
    details = next(one for one in found.skipped if one.reason == "pictures unreadable")
    assert "jumps from frame 4 to 6" in details.details


def test_a_limit_opens_recordings_spread_evenly(bridge: Tree) -> None:
    found = examine(BridgeSource(bridge[0]), limit=3)
    assert (found.recordings, found.opened) == (9, 3)
    assert sum(one.count for one in found.skipped if one.reason == "no caption") == 2, "texts are read of all"
    with pytest.raises(InputError, match="limit: must be at least 1"):
        examine(BridgeSource(bridge[0]), limit=0)


def test_the_command_prints_reasons_and_writes_sheet_and_json(
    hoi4d: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, names = hoi4d
    arguments = ["doctor", str(root), "--sheet", str(tmp_path / "sheet.png"), "--json", str(tmp_path / "found.json")]
    assert main(arguments) == 3
    said = capsys.readouterr().out
    assert "HOI4D" in said
    assert f"1 x masks missing: {names['no masks']}: neither " in said
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["kind"] == "hoi4d"
    assert {"reason": "category left out", "count": 1, "example": names["left out category"], "details": "safe"} in (
        record["skipped"]
    )
    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape[1] == 4 + 3 * (192 + 4)
    # Of the object's red, half is the mask's colour.
    assert (abs(sheet.astype(int) - (228, 30, 20)).max(axis=-1) < 20).sum() > 100


def test_exit_status_tells_fine_from_nothing_usable(
    tiny_clips: Path, bridge: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tiny_clips)]) == 0
    assert main(["doctor", str(bridge[0] / bridge[1]["no caption"])]) == 2
    assert "nothing can be used" in capsys.readouterr().out
    assert main(["doctor", str(tiny_clips), "--sheet", str(tmp_path / "sheet.jpg")]) == 2
    assert "--sheet: must end in .png" in capsys.readouterr().err
    assert main(["doctor", str(tiny_clips), "--cameras", "images1"]) == 2
    assert "--cameras: says nothing of a source of kind clipset" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
@pytest.mark.parametrize(("name", "frames"), [("bridge_can", 37), ("rt1_coke", None), ("cups", 30)])
def test_real_clips_are_read(name: str, frames: int | None, tmp_path: Path) -> None:
    arguments = ["doctor", str(REAL / name / "video.mp4"), "--caption", "a hand pushing a cup"]
    assert main([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    record = json.loads((tmp_path / "found.json").read_text())
    assert frames in (None, record["frames"])


@pytest.mark.parametrize(("frames", "actions"), [(297, 2), (200, 1)])
def test_a_video_may_lack_a_few_frames_but_not_the_action(
    trees: ModuleType, frames: int, actions: int, tmp_path: Path
) -> None:
    name = "ZY20210800001/H1/C2/N1/S1/s1/T1"
    events = (("Push", 2.0, 5.0), ("Pull", 15.0, 20.0))
    trees.write_hoi4d_sequence(tmp_path, name, events, frames=frames)
    found = examine(Hoi4dSource(tmp_path))
    assert found.actions == actions
    assert [one.reason for one in found.skipped] == ["action ends after the video"] * (2 - actions)
