"""Pictures of a recording: order, gaps, damage, and the frames of an action."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mask2iv.curation.sources.footage import PictureFootage, VideoFootage, frames_between
from mask2iv.errors import InputError
from mask2iv.media.videos import VideoInfo, write_video


def write_pictures(folder: Path, numbers: range | list[int]) -> PictureFootage:
    """Pictures whose grey is 10 times their number."""
    for number in numbers:
        Image.new("RGB", (16, 8), (10 * number,) * 3).save(folder / f"im_{number}.jpg")
    return PictureFootage(folder, 5.0)


def test_pictures_are_ordered_by_number_and_read_at_the_size_asked_for(tmp_path: Path) -> None:
    footage = pickle.loads(pickle.dumps(write_pictures(tmp_path, range(12))))  # noqa: S301 - our own
    info = footage.scan()
    assert (info.fps, info.size, len(info.times), info.times[-1]) == (5.0, (8, 16), 12, 2.2)
    frames = footage.read([2, 10, 11], (4, 8))
    assert frames.shape == (3, 4, 8, 3)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [20, 100, 110]).max() < 2


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([0, 1, 3], "jumps from frame 1 to 3"), ([1, 2], "frame 0 is missing"), ([], "holds no frames")],
)
def test_gaps_are_named(numbers: list[int], expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=expected):
        write_pictures(tmp_path, numbers).scan()


def test_a_damaged_picture_is_named_by_its_frame(tmp_path: Path) -> None:
    footage = write_pictures(tmp_path, range(4))
    path = tmp_path / "im_2.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    footage.read([0, 1, 3], (8, 16))
    with pytest.raises(InputError, match=r"frame 2: .*im_2\.jpg cannot be read"):
        footage.read([1, 2], (8, 16))
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"frame 2: .*cannot be read"):
        footage.scan()


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    footage = write_pictures(tmp_path, range(3))
    Image.new("RGB", (8, 8)).save(tmp_path / "im_2.jpg")
    with pytest.raises(InputError, match=r"frame 2 .* has 8x8 pixels, those before it 16x8"):
        footage.scan()


def test_a_video_gives_the_frames_asked_for(trees: ModuleType, tmp_path: Path) -> None:
    video = np.stack([trees.scene_frame(frame, 20) for frame in range(20)])
    write_video(tmp_path / "a.mp4", video, 10.0)
    footage = VideoFootage(tmp_path / "a.mp4")
    assert len(footage.scan().times) == 20
    frames = footage.read([3, 17], (18, 32))
    assert frames.shape == (2, 18, 32, 3)
    assert np.abs(frames[:, 0, 0, 0].astype(int) - [trees.grey_of(3), trees.grey_of(17)]).max() <= 3


def test_frames_of_an_action_end_before_its_stop_whatever_containers_round() -> None:
    times = np.round(np.arange(300) / 15, 3)
    info = VideoInfo(times, 15.0, (2, 2), (2, 2))
    assert frames_between(info, 15 / 15, 45 / 15).tolist() == list(range(15, 45))
    assert frames_between(info, 7 / 15, 23 / 15).tolist() == list(range(7, 23))
    assert frames_between(info, 298 / 15, None).tolist() == [298, 299]
    assert frames_between(info, 21.0, 22.0).tolist() == []


def test_the_size_of_pictures_that_lie_on_their_side_is_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "im_0.jpg", exif=exif)
    footage = PictureFootage(tmp_path, 5.0)
    assert footage.scan().size == (16, 8)
    assert footage.read([0], (16, 8)).shape == (1, 16, 8, 3)
