"""The simulator's arrays become clips."""

from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.execution.metaworld.films import FPS, FRAMES, SIZE, film_clips

GEOMETRY = {"position": [0, 0, 1], "rotation": np.eye(3).tolist(), "focal": 200.0, "centre": [127.5, 79.5]}


def test_films_become_clips_with_exact_masks_and_the_part_s_path(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (3, FRAMES, *SIZE), dtype=np.uint8)
    np.savez(tmp_path / "corner.npz", video=np.zeros((*labels.shape, 3), np.uint8), labels=labels, depth=np.ones(SIZE))
    known = {"hand": 3, "fingers": 3, "pose": 7}
    arrays = {name: rng.normal(size=(3, FRAMES, count)) for name, count in known.items()}
    np.savez(tmp_path / "truth.npz", steps=np.arange(48).reshape(3, 16), opening=np.ones((3, FRAMES)), **arrays)

    job = {"task": "faucet-open", "seed": 7}
    with ClipSetWriter(tmp_path / "set", SIZE, FRAMES, FPS, {}) as writer:
        for clip in film_clips(tmp_path / "corner.npz", job, "corner", GEOMETRY):
            writer.add(clip)

    clips = ClipSet(tmp_path / "set")
    assert clips.ids == [f"faucet-open-7-corner-{film}" for film in range(3)]
    assert (clips[2].trajectory.labels == labels[2]).all()
    row = clips.rows[1]
    assert row["caption"] == "a robot arm opening a faucet"
    assert row["metadata"]["steps"] == list(range(16, 32))
    assert row["metadata"]["camera"] == {"name": "corner", **GEOMETRY}
    assert np.allclose(row["metadata"]["pose"], arrays["pose"][1])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clips", "6"], "--clips: must be 1 to 5, the layouts of train, found 6"),
        (["--size", "64x64"], "size 64x64"),
    ],
)
def test_what_is_not_filmed(flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "set")
    assert main(["simulate", "--benchmark", "metaworld", "--split", "train", "--out", out, *flags]) == 2
    assert message in capsys.readouterr().err
