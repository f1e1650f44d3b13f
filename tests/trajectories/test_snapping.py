"""What the colours of a decoded trajectory mean, by the official rule and by ours, and what is kept of them on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.trajectories.labels import labels_to_tensor, snapped
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file, save_trajectory_folder

# A decoded pixel; its label by the nearest of black, green, red; its label and colour by the channels.
PIXELS = [
    ((-0.9, -0.8, -0.9), 0, 0, (0, 0, 0)),
    ((-0.9, 0.7, -0.8), 1, 1, (0, 255, 0)),
    ((0.9, -0.8, -0.8), 2, 2, (255, 0, 0)),
    ((-0.8, -0.9, 0.9), 0, 2, (0, 0, 255)),  # a second part of the object: lost by the nearest colour
    ((0.8, 0.7, -0.9), 2, 2, (255, 255, 0)),  # actor and object
    ((-0.9, 0.7, 0.8), 1, 2, (0, 255, 255)),  # actor and the second part
    ((0.0, -1.0, -1.0), 0, 2, (255, 0, 0)),  # 0 is on; as far from black as from red, which goes to black
    ((-0.01, -1.0, -1.0), 0, 0, (0, 0, 0)),
]


def decoded() -> torch.Tensor:
    """The pixels as one frame, float [1, 3, 1, 1, N]."""
    return torch.tensor([colour for colour, *_ in PIXELS]).T.reshape(1, 3, 1, 1, -1)


def test_each_rule_by_hand() -> None:
    [nearest], [channels] = snapped(decoded(), "nearest", 8.0), snapped(decoded(), "channels", 8.0)
    assert nearest.labels.ravel().tolist() == [near for _, near, _, _ in PIXELS]
    assert nearest.painted is None
    assert channels.labels.ravel().tolist() == [label for _, _, label, _ in PIXELS]
    assert channels.painted is not None
    assert channels.painted.reshape(-1, 3).tolist() == [list(colour) for *_, colour in PIXELS]
    assert channels.object.sum() - nearest.object.sum() == 3


def test_colours_are_kept_only_where_labels_cannot_tell_them() -> None:
    [plain] = snapped(decoded()[..., :3], "channels", 8.0)
    assert plain.painted is None


def test_both_hands_are_green_for_an_official_model() -> None:
    labels = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 1, 1, 4)
    ours, theirs = labels_to_tensor(labels), labels_to_tensor(labels, "channels")
    assert ours[0, :, 0, 0, 3].tolist() == [-1, -1, 1]
    assert theirs[0, :, 0, 0, 3].tolist() == theirs[0, :, 0, 0, 1].tolist() == [-1, 1, -1]
    assert torch.equal(ours[..., :3], theirs[..., :3])


def test_colours_come_back_from_disk(tmp_path: Path) -> None:
    [trajectory] = snapped(decoded().repeat(1, 1, 2, 3, 1), "channels", 15.0)
    save_trajectory_file(trajectory, tmp_path / "a.npz")
    save_trajectory_folder(trajectory, tmp_path / "a")
    assert json.loads((tmp_path / "a" / "trajectory.json").read_text())["colours"] == "channels"
    for path in (tmp_path / "a.npz", tmp_path / "a"):
        found = load_trajectory(path)
        np.testing.assert_array_equal(found.labels, trajectory.labels)
        np.testing.assert_array_equal(found.painted, trajectory.painted)
        assert found.fps == 15.0
    # An edited frame is what counts.
    Image.new("RGB", (8, 3), (0, 250, 3)).save(tmp_path / "a" / "0001.png")
    assert set(load_trajectory(tmp_path / "a").labels[1].ravel()) == {1}
    header = {"fps": 15.0, "colours": "nearest"}
    (tmp_path / "a" / "trajectory.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="colours: expected 'channels', found 'nearest'"):
        load_trajectory(tmp_path / "a")


def test_colours_that_do_not_belong_to_the_labels_are_refused() -> None:
    [trajectory] = snapped(decoded(), "channels", 8.0)
    edited = trajectory.labels.copy()
    edited[..., 0] = 1
    with pytest.raises(InputError, match=r"Trajectory\.painted: these colours are not those of the labels; leave it"):
        Trajectory(edited, 8.0, trajectory.painted)
    with pytest.raises(InputError, match=r"Trajectory\.painted: must be uint8 \[1, 1, 8, 3\] of 0 and 255"):
        Trajectory(trajectory.labels, 8.0, trajectory.painted[0])  # type: ignore[index]
