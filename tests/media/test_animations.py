"""Animated pictures: what other programs show of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.animations import write_animation


@pytest.fixture
def frames() -> UInt8Array:
    """A grey room, with a red square that moves to the right and a green one that stands: 8 frames of 24x40."""
    made = np.full((8, 24, 40, 3), 120, dtype=np.uint8)
    made[:, 2:8, 2:8] = (0, 255, 0)
    for t in range(8):
        made[t, 10:16, 4 * t : 4 * t + 8] = (255, 0, 0)
    return made


def shown(path: Path) -> tuple[UInt8Array, list[int]]:
    """Frames and milliseconds of an animation."""
    pictures, times = [], []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pictures.append(np.asarray(image.convert("RGB")))
            times.append(int(image.info["duration"]))
        assert image.info["loop"] == 0
    return np.stack(pictures), times


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_shows_the_frames_at_their_rate(frames: UInt8Array, suffix: str, tmp_path: Path) -> None:
    write_animation(tmp_path / f"a{suffix}", frames, 8.0)
    write_animation(tmp_path / f"b{suffix}", frames, 8.0)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    pictures, times = shown(tmp_path / f"a{suffix}")
    assert pictures.shape == frames.shape
    assert np.abs(pictures.astype(int) - frames).mean() < 4
    assert sum(times) == 1000
    assert max(times) - min(times) <= 10


def test_what_stands_still_does_not_flicker_in_a_gif(frames: UInt8Array, tmp_path: Path) -> None:
    write_animation(tmp_path / "a.gif", frames, 8.0)
    pictures, _ = shown(tmp_path / "a.gif")
    assert (pictures[:, 2:8, 2:8] == pictures[0, 2:8, 2:8]).all()


def test_one_frame_and_fast_frames_are_written(frames: UInt8Array, tmp_path: Path) -> None:
    write_animation(tmp_path / "one.webp", frames[:1], 8.0)
    with Image.open(tmp_path / "one.webp") as image:
        assert image.size == (40, 24)
    write_animation(tmp_path / "fast.gif", frames, 120.0)
    assert min(shown(tmp_path / "fast.gif")[1]) == 20


@pytest.mark.parametrize(
    ("name", "shape", "fps", "field"),
    [
        ("a.png", (2, 4, 4, 3), 8.0, "a.png"),
        ("a.gif", (0, 4, 4, 3), 8.0, "frames"),
        ("a.gif", (2, 4, 4, 3), 0.0, "fps"),
    ],
)
def test_what_cannot_be_an_animation_is_refused(
    name: str, shape: tuple[int, ...], fps: float, field: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=field):
        write_animation(tmp_path / name, np.zeros(shape, dtype=np.uint8), fps)
    assert not list(tmp_path.iterdir())
