"""From raw data sets to clip sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.curation.running.runs import pushed, skipped, write_pushed

from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.data.splits import open_split
from mask2iv.data.store import ClipSet
from mask2iv.media.videos import write_video
from mask2iv.trajectories.measures import iou


def test_hoi4d_end_to_end(hoi4d: tuple[Path, Mapping[str, str]], tmp_path: Path, trees: ModuleType) -> None:
    root, names = hoi4d
    out = tmp_path / "set"
    height, width = (side // 2 for side in trees.SIZE)
    assert not main(["curate", str(root), "--out", str(out), "--size", f"{height}x{width}", "--motion-share", "0"])
    clips = ClipSet(out)
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in clips.rows:
        by_source.setdefault(row["metadata"]["source"], []).append(row)
    # The plain sequence: grasp (begun at the reach-out before it), pick up, put down; rest and carry are left out.
    plain = by_source[names["plain"]]
    assert [row["caption"] for row in plain] == [
        "a hand grasping a mug",
        "a hand picking up a mug",
        "a hand putting down a mug",
    ]
    assert {row["metadata"]["masks"] for row in clips.rows} == {"given"}
    # Exact masks, at the frames that were taken. The paper takes the middle of 1.2 times the height.
    clip = clips[clips.ids.index(plain[1]["clip_id"])]
    frame = clip.metadata["source_frames"][0]
    rows, columns = trees.object_box(frame, trees.HOI4D_FRAMES)
    found = np.argwhere(clip.trajectory.labels[0] == Label.OBJECT)
    for axis, (part, side) in enumerate(((rows, height), (columns, width))):
        expected = [edge * 0.6 - 0.1 * side for edge in (part.start, part.stop - 1)]
        assert found[:, axis].min() == pytest.approx(expected[0], abs=1.2)
        assert found[:, axis].max() == pytest.approx(expected[1], abs=1.2)
    # Both hands are in the labels of the sequence that shows both.
    both = clips[clips.ids.index(by_source[names["both hands"]][0]["clip_id"])]
    assert {Label.ACTOR, Label.OBJECT} <= set(np.unique(both.trajectory.labels))
    # The official test sequence, and what shows the same scene, are the test split, and no group is in two.
    splits = {(row["metadata"]["group"], row["metadata"]["split"]) for row in clips.rows}
    assert len(splits) == len({group for group, _ in splits})
    assert {row["metadata"]["source"] for row in open_split(out, "test").rows} == {
        names["official test"],
        names["leaks"],
    }
    why = Counter(reason for reasons in skipped(out).values() for reason in reasons)
    assert why["action left out"] == 40
    assert why["masks cannot be read"] == 5
    assert why["cannot be read"] == why["video missing"] == why["category left out"] == 1


def test_bridge_end_to_end_with_masks_found_by_motion(tmp_path: Path, trees: ModuleType) -> None:
    root, size = tmp_path / "bridge", (96, 128)
    names = [f"a/b/c/00/2023/raw/traj_group0/traj{number}" for number in range(2)]
    for name in names:
        write_pushed(root / name, size, trees)
    out = tmp_path / "set"
    assert not main(["curate", str(root), "--out", str(out), "--size", "96x128", "--motion-share", "0"])
    clips = ClipSet(out)
    assert len(clips) == 2
    assert not list(root.rglob("opened"))
    for clip in clips:
        assert clip.caption == "a robot gripper put the silver pot on the left burner"
        assert clip.metadata["masks"] == "motion, grabcut+flow"
        ious = [
            iou(pushed(frame, size)[1], labels == Label.OBJECT)
            for frame, labels in zip(clip.metadata["source_frames"], clip.trajectory.labels, strict=True)
        ]
        assert np.mean(ious) > 0.6


def test_a_box_in_the_first_frame_needs_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two things move alike; the user says which one is meant, and changes their mind."""
    root, out, size = tmp_path / "videos", tmp_path / "set", (96, 128)
    frames = [pushed(frame, size) for frame in range(20)]
    twice = np.array([np.concatenate([picture, picture[::-1]]) for picture, _ in frames])
    write_video(root / "a.mp4", twice, 8.0)
    command = ["curate", str(root), "--out", str(out), "--size", "192x128", "--motion-share", "0"]
    box = np.argwhere(frames[0][1])
    (top, left), (bottom, right) = box.min(0), box.max(0)
    for y in (top, 191 - bottom):
        said = f'"{left - 2},{y - 2},{right - left + 5},{bottom - top + 5}"'
        (root / "captions.csv").write_text(f"clip,caption,object_box\na,a robot arm pushing a box,{said}\n")
        assert main(["doctor", str(root)]) == 0
        assert "masks: to be found from prompts 1" in capsys.readouterr().out
        assert main(command) == 0
        [clip] = ClipSet(out)
        assert (clip.metadata["masks"], clip.metadata["chosen"]) == ("given box, grabcut+flow", "given")
        truth = np.zeros((192, 128), np.bool_)
        truth[y : y + bottom - top + 1, left : right + 1] = True
        assert iou(truth, clip.trajectory.labels[0] == Label.OBJECT) > 0.8
        # It has been pushed to the right, and something has come to push it.
        assert np.argwhere(clip.trajectory.labels[-1] == Label.OBJECT)[:, 1].min() > left + 20
        assert (clip.trajectory.labels[-1] == Label.ACTOR).any()
    (root / "captions.csv").write_text("clip,caption,object_box\na,a robot arm pushing a box,900 9 9 9\n")
    assert main(["doctor", str(root)]) == 2
    assert "1 x prompt outside the picture: a.mp4: object_box: 900,9,9,9 is not within" in capsys.readouterr().out
    assert main(command) == 2
    assert "prompt outside the picture" in capsys.readouterr().err
