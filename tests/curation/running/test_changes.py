"""What counts as a change of a recording, so that it is worked on anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.curation.running.runs import contents, run
from tests.curation.running.troubles import SIZE, DrawnMasks

from mask2iv.contract import Trajectory
from mask2iv.curation.running.ledger import said_of
from mask2iv.curation.sources.folder import Defaults, FolderSource
from mask2iv.curation.sources.footage import VideoFootage
from mask2iv.curation.sources.interfaces import Recording, Segment
from mask2iv.data.captions import Description
from mask2iv.data.masks import MasksBeside
from mask2iv.data.store import ClipSet
from mask2iv.media.videos import VideoInfo, write_video
from mask2iv.trajectories.storage import save_trajectory_file, save_trajectory_folder


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_changed_masks_are_a_change_of_the_recording(kind: str, tmp_path: Path) -> None:
    root, out = tmp_path / "videos", tmp_path / "set"
    labels = DrawnMasks(2).read(range(8), VideoInfo(np.arange(8) / 8.0, 8.0, SIZE, SIZE), SIZE)
    for name in "ab":
        write_video(root / f"{name}.mp4", np.full((8, *SIZE, 3), 100, np.uint8), 8.0)

    def save(name: str, labels: np.ndarray) -> None:
        if kind == "file":
            save_trajectory_file(Trajectory(labels), root / f"{name}_labels.npz")
        else:
            save_trajectory_folder(Trajectory(labels), root / f"{name}_masks", overwrite=True)

    for name in "ab":
        save(name, labels)
    source = FolderSource(root, Defaults("a hand pushing a cup"))
    assert run(source, out).new == 2
    assert run(source, out).new == 0
    moved = np.roll(labels, 1, axis=2)
    save("b", moved)
    assert run(source, out).new == 1
    assert (ClipSet(out)[1].trajectory.labels[0] == moved[0]).all()
    run(source, tmp_path / "at once")
    assert contents(out) == contents(tmp_path / "at once")


def test_another_meaning_of_masks_is_a_change_of_the_recording() -> None:
    said = Description("a hand pushing a cup", "pushing", "cup", "hand")
    recordings = [
        Recording("a", VideoFootage(video), (Segment("", said, masks=MasksBeside(video, numbers)),), "a")
        for video, numbers in ((Path("a.mp4"), (1, 2)), (Path("a.mp4"), (2, 1)), (Path("there/a.mp4"), (1, 2)))
    ]
    one, other, elsewhere = map(said_of, recordings)
    assert one == elsewhere != other
