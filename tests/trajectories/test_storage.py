"""Files and folders of trajectories."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.boxes import square

from mask2iv.contract import LABEL_COLOURS, Trajectory
from mask2iv.errors import InputError
from mask2iv.media.fitting import place
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file, save_trajectory_folder


@pytest.fixture
def trajectory() -> Trajectory:
    labels = np.random.default_rng(0).integers(0, 4, size=(5, 13, 17), dtype=np.uint8)
    return Trajectory(labels, fps=12.5)


def test_file_and_folder_round_trip_losslessly(trajectory: Trajectory, tmp_path: Path) -> None:
    save_trajectory_file(trajectory, tmp_path / "a.npz")
    save_trajectory_file(trajectory, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save_trajectory_folder(trajectory, tmp_path / "frames")
    for path in ("a.npz", "frames"):
        loaded = load_trajectory(tmp_path / path)
        np.testing.assert_array_equal(loaded.labels, trajectory.labels)
        assert loaded.fps == trajectory.fps
    shown = np.asarray(Image.open(tmp_path / "frames" / "0000.png").convert("RGB"))
    np.testing.assert_array_equal(shown, LABEL_COLOURS[trajectory.labels[0]])


def test_which_part_of_a_picture_it_shows_travels_along(trajectory: Trajectory, tmp_path: Path) -> None:
    known = Trajectory(trajectory.labels, 8.0, placement=place((90, 60), (13, 17), "centre", 1.2))
    save_trajectory_file(known, tmp_path / "a.npz")
    save_trajectory_folder(known, tmp_path / "frames")
    for path in ("a.npz", "frames"):
        assert load_trajectory(tmp_path / path).placement == known.placement
    header = tmp_path / "frames" / "trajectory.json"
    for change in ({"box": [0, 0, 900, 60]}, {"fit": "zoom"}, {"size": None}):
        damaged = json.loads((tmp_path / "frames" / "trajectory.json").read_text())
        damaged["placement"] |= change
        (tmp_path / "frames" / "trajectory.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"^trajectory: .*trajectory.json: placement"):
            load_trajectory(tmp_path / "frames")
        save_trajectory_folder(known, tmp_path / "frames", overwrite=True)
    header.write_text('{"fps": 8, "placement": [1]}')
    with pytest.raises(InputError, match="placement: expected an object"):
        load_trajectory(tmp_path / "frames")


def test_folder_is_not_overwritten_unasked(trajectory: Trajectory, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        save_trajectory_folder(trajectory, tmp_path)
    save_trajectory_folder(trajectory, tmp_path, overwrite=True)
    assert load_trajectory(tmp_path).num_frames == 5
    assert not (tmp_path / "notes.txt").exists()


def write_frames(folder: Path, *frames: np.ndarray, start: int = 0) -> None:
    for index, frame in enumerate(frames, start=start):
        Image.fromarray(frame).save(folder / f"{index:04d}.png")


def test_rgb_frames_near_the_label_colours_are_read(tmp_path: Path) -> None:
    labels = (square(9, 1, 1, 3) * 1 + square(9, 5, 5, 3) * 2).astype(np.uint8)
    frame = np.clip(LABEL_COLOURS[labels].astype(int) + 20, 0, 250).astype(np.uint8)
    write_frames(tmp_path, frame, frame, start=1)
    loaded = load_trajectory(tmp_path)
    np.testing.assert_array_equal(loaded.labels, np.stack([labels, labels]))
    assert loaded.fps == 8.0


def test_bad_folders_are_refused_with_the_cause(tmp_path: Path) -> None:
    black = np.zeros((8, 8, 3), dtype=np.uint8)
    grey_spot = black.copy()
    grey_spot[2:5, 5:8] = (120, 130, 140)
    cases = {
        "no frames": (),
        r"0001\.png.*\(120, 130, 140\).*x=5, y=2": (black, grey_spot),
        "all frames must have one size": (black, np.zeros((8, 9, 3), dtype=np.uint8)),
        "mode L": (np.zeros((8, 8), dtype=np.uint8),),
    }
    for index, (message, frames) in enumerate(cases.items()):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_frames(folder, *frames)
        with pytest.raises(InputError, match=message):
            load_trajectory(folder)
    (tmp_path / "1" / "0001.png").rename(tmp_path / "1" / "0003.png")
    with pytest.raises(InputError, match="jumps from frame 0 to 3"):
        load_trajectory(tmp_path / "1")


def test_bad_files_are_refused_with_the_cause(trajectory: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    save_trajectory_file(trajectory, path)
    data = path.read_bytes()
    for damaged in (b"", data[:-40], b"not a zip archive"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"t\.npz"):
            load_trajectory(path)
    np.savez(path, labels=np.array([{"a": 1}], dtype=object), fps=8.0)
    with pytest.raises(InputError, match=r"t\.npz"):
        load_trajectory(path)
    np.savez(path, labels=np.full((1, 4, 4), 9, dtype=np.uint8), fps=8.0)
    with pytest.raises(InputError, match="value 9"):
        load_trajectory(path)
    with pytest.raises(InputError, match="neither"):
        load_trajectory(tmp_path / "absent")
    with pytest.raises(InputError, match=r"\.npz"):
        save_trajectory_file(trajectory, tmp_path / "t.png")
