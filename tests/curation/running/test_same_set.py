"""It is the same set whoever does the work, and whether it is made at once or in several runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.curation.running.runs import CONFIG, contents, pushed, run, skipped
from tests.curation.running.troubles import DrawnSource

from mask2iv.cli import main
from mask2iv.contract import Label, Trajectory
from mask2iv.curation.running.run import curate
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.media.videos import write_video
from mask2iv.trajectories.storage import save_trajectory_file


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
