"""Raw recordings become a clip set: the same one whoever does the work, and whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from tests.curation.troubles import SIZE, DrawnSource

from mask2iv.cli import main
from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.curation.running.run import Curation, curate
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.running.splits import split_of
from mask2iv.curation.sources.interfaces import Source
from mask2iv.curation.sources.recognise import open_source
from mask2iv.data.folder import FolderConfig
from mask2iv.data.splits import open_split
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import sha256_file
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.scaling.processes import ProcessCrew
from mask2iv.trajectories.measures import iou
from mask2iv.trajectories.storage import save_trajectory_file

CONFIG = CurationConfig(cut=FolderConfig(SIZE, 4, 8.0), motion_share=0.0)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def skipped(folder: Path) -> dict[str, list[str]]:
    lines = (folder / "skipped.jsonl").read_text().splitlines()
    return {entry["name"]: entry["reasons"] for entry in map(json.loads, lines)}


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnSource:
    root = tmp_path / "drawn"
    root.mkdir()
    for step in range(1, 5):
        (root / f"step{step}.txt").write_text(f"{step}\n")
    return DrawnSource(root)


def run(source: Source, out: Path, config: CurationConfig = CONFIG, workers: int = 2, **options: Any) -> Curation:
    return curate(source, out, config, ProcessCrew(workers), **options)


# --- the data sets


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


def pushed(frame: int, size: tuple[int, int]) -> tuple[UInt8Array, BoolArray]:
    """A picture of a patterned box that an arm reaches for from below and pushes to the right, and where the box is."""
    random = np.random.default_rng(0)
    height, width = size
    picture = np.kron(random.integers(100, 140, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    left = width // 8 + 3 * max(0, frame - 8)
    top = height // 3
    box = np.s_[top : top + 24, left : left + 28]
    arm = np.s_[max(top + 24, height - 6 * frame) :, left + 6 : left + 18]
    picture[box] = np.add((220, 40, 30), random.integers(-25, 25, (24, 28, 3)))
    picture[arm] = np.add((30, 40, 60), random.integers(-20, 20, (height, 12, 1)))[: len(picture[arm])]
    where = np.zeros(size, dtype=np.bool_)
    where[box] = True
    return picture, where


def write_pushed(folder: Path, size: tuple[int, int], trees: ModuleType) -> None:
    """A trajectory of 20 such pictures."""
    trees.write_bridge_trajectory(folder, frames=20, size=size)
    for frame in range(20):
        write_png(folder / "images0" / f"im_{frame}.png", pushed(frame, size)[0])
        (folder / "images0" / f"im_{frame}.jpg").unlink()


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


# --- the same set


def test_as_many_workers_as_one_likes(drawn: DrawnSource, tmp_path: Path) -> None:
    run(drawn, tmp_path / "one", workers=1)
    run(drawn, tmp_path / "three", workers=3)
    elsewhere = tmp_path / "copy" / "drawn"
    shutil.copytree(drawn.root, elsewhere)
    run(DrawnSource(elsewhere), tmp_path / "moved")
    assert contents(tmp_path / "one") == contents(tmp_path / "three") == contents(tmp_path / "moved")


@pytest.mark.usefixtures("local_ray")
def test_ray_makes_the_same_set(drawn: DrawnSource, tmp_path: Path) -> None:
    from mask2iv.scaling.ray import RayCrew

    run(drawn, tmp_path / "processes")
    curate(drawn, tmp_path / "ray", CONFIG, RayCrew("local", 2))
    assert contents(tmp_path / "processes") == contents(tmp_path / "ray")


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    for number in range(6):
        frames = [pushed(frame + number + 8, (48, 96)) for frame in range(8)]
        labels = np.array([where * np.uint8(Label.OBJECT) for _, where in frames])
        labels[:, 40:, 50:60] = Label.ACTOR
        write_video(root / f"v{number}.mp4", np.array([picture for picture, _ in frames]), 8.0)
        save_trajectory_file(Trajectory(labels), root / f"v{number}_labels.npz")
    command = ["curate", str(root), "--size", "48x96", "--frames", "8", "--workers", "1", "--motion-share", "0"]
    command += ["--caption", "a hand pushing a box"]
    assert not main([*command, "--out", str(tmp_path / "alone")])
    out = tmp_path / "killed"
    script = [sys.executable, "-m", "mask2iv", *command, "--out", str(out)]
    process = subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The ledger's first line says what set it is; then there is a line for each recording.
    while process.poll() is None and not (ledger_lines(out) >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "clipset.json").exists()
    before = ledger_lines(out)
    assert before >= 3
    assert not main([*command, "--out", str(out)])
    assert contents(out) == contents(tmp_path / "alone")


def ledger_lines(out: Path) -> int:
    ledger = out / "curation.jsonl"
    return ledger.read_bytes().count(b"\n") if ledger.is_file() else 0


def test_running_again_does_what_is_missing(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert run(drawn, out).new == 4
    before = contents(out)
    assert run(drawn, out).new == 0
    assert contents(out) == before
    (drawn.root / "step5.txt").write_text("5\n")
    (drawn.root / "step2.txt").write_text("2 \n")  # other contents of another size
    again = run(drawn, out)
    assert (again.new, again.clips) == (2, 5)
    run(drawn, tmp_path / "at once")
    assert contents(out) == contents(tmp_path / "at once")


def test_recordings_that_are_gone_are_told_before_their_clips_are(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(drawn, out)
    (drawn.root / "step3.txt").unlink()
    with pytest.raises(InputError, match="1 of the set's recordings are no longer there, the first is step3"):
        run(drawn, out)
    assert len(ClipSet(out)) == 4
    assert run(drawn, out, prune=True).clips == 3
    assert not (out / "clips" / "step3").exists()


def test_the_slowest_share_is_set_aside_and_may_come_back(drawn: DrawnSource, tmp_path: Path) -> None:
    out = tmp_path / "set"
    config = CurationConfig(cut=CONFIG.cut, motion_share=0.25)
    run(drawn, out, config)
    assert ClipSet(out).ids == ["step2", "step3", "step4"]
    assert (out / "slow" / "step1" / "video.mp4").is_file()
    assert skipped(out) == {"step1": ["least motion"]}
    # A slower one comes: it goes in the other's place.
    (drawn.root / "step0.txt").write_text("0\n")
    run(drawn, out, config)
    assert ClipSet(out).ids == ["step1", "step2", "step3", "step4"]
    assert [path.name for path in (out / "slow").iterdir()] == ["step0"]


# --- deaths and damage


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


# --- a ledger that nobody vouches for


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


# --- what the run says of itself


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


# --- splits


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
