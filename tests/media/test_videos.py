"""Reading and writing of videos."""

import gc
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from av.video.frame import PictureType
from PIL import Image
from tests.moving_square import moving_square

from mask2iv.errors import InputError
from mask2iv.media import videos
from mask2iv.media.images import resize_image, write_png
from mask2iv.media.videos import read_frames, read_video, scan_stamps, scan_video, write_video


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("fps", [8.0, 50 / 3, 29.97])
def test_video_round_trip_keeps_frames_rate_and_colours(tmp_path: Path, fps: float) -> None:
    video = moving_square()
    write_video(tmp_path / "a.mp4", video, fps, crf=8)
    read, rate, _ = read_video(tmp_path / "a.mp4")
    assert read.shape == video.shape
    assert rate == pytest.approx(fps, rel=1e-5)
    assert psnr(read, video) > 33
    assert np.abs(read[4, 24, 24].astype(int) - (220, 60, 30)).max() <= 6
    assert len(read_video(tmp_path / "a.mp4", max_frames=4)[0]) == 4


def test_browser_needs_are_met(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(), 8.0)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"avc1" in data
    with videos.av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_same_frames_give_the_same_bytes(tmp_path: Path, pixel_format: str) -> None:
    video = moving_square(12, 64, 64)
    written = set()
    for index in range(4):
        write_video(tmp_path / f"{index}.mp4", video, 8.0, pixel_format=pixel_format)
        written.add((tmp_path / f"{index}.mp4").read_bytes())
        # The state of memory must not affect the file.
        write_video(tmp_path / "other.mp4", moving_square(5, 80 + 16 * index, 64), 8.0)
    assert len(written) == 1
    # The encoder's B-frames depend on uninitialised memory.
    with videos.av.open(str(tmp_path / "0.mp4")) as container:
        assert PictureType.B not in {frame.pict_type for frame in container.decode(video=0)}


def test_odd_sizes_are_padded_or_kept(tmp_path: Path) -> None:
    video = moving_square(3, 33, 51)
    write_video(tmp_path / "padded.mp4", video, 8.0)
    assert read_video(tmp_path / "padded.mp4")[0].shape == (3, 34, 52, 3)
    write_video(tmp_path / "kept.mp4", video, 8.0, pixel_format="yuv444p")
    assert read_video(tmp_path / "kept.mp4")[0].shape == video.shape


def test_one_frame_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(1), 8.0)
    read, rate, _ = read_video(tmp_path / "a.mp4")
    assert len(read) == 1
    assert rate == 8.0


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda video: video),
        ((-1, 0, 0, 1), lambda video: video[:, :, ::-1]),
        ((1, 0, 0, -1), lambda video: video[:, ::-1]),
        ((-1, 0, 0, -1), lambda video: video[:, ::-1, ::-1]),
        ((0, 1, 1, 0), lambda video: video.swapaxes(1, 2)),
        # As phones set it: turned by 90 degrees clockwise, and back.
        ((0, 1, -1, 0), lambda video: np.rot90(video, k=-1, axes=(1, 2))),
        ((0, -1, 1, 0), lambda video: np.rot90(video, k=1, axes=(1, 2))),
        ((0, -1, -1, 0), lambda video: video[:, ::-1, ::-1].swapaxes(1, 2)),
    ],
)
def test_turns_and_mirrors_are_applied(matrix: Any, shown: Any, encoding: ModuleType, tmp_path: Path) -> None:
    video = moving_square()
    path = encoding.encode(tmp_path / "a.mp4", video, display_matrix=matrix)
    wanted = shown(video)
    assert read_video(path).frames.shape == wanted.shape
    assert psnr(read_video(path).frames, wanted) > 33
    assert scan_video(path).size == wanted.shape[1:3]


def test_a_slanting_display_matrix_is_refused(encoding: ModuleType, tmp_path: Path) -> None:
    turned = (0.866, 0.5, -0.5, 0.866)
    path = encoding.encode(tmp_path / "a.mp4", moving_square(), display_matrix=turned)
    with pytest.raises(InputError, match="turned by 30 degrees; only quarter turns"):
        read_video(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_time_stamps_are_those_of_the_file(name: str, encoding: ModuleType, tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.7, 1.2, 1.3]
    path = encoding.encode(tmp_path / name, moving_square(6), times=times)
    assert read_video(path).times == pytest.approx(times, abs=1e-3)
    assert scan_video(path).times == pytest.approx(times, abs=1e-3)
    assert scan_video(path).fps == pytest.approx(5 / 1.3, abs=1e-3)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi", "v.mov"])
def test_stamps_alone_tell_what_decoding_does(name: str, encoding: ModuleType, tmp_path: Path) -> None:
    """In an avi the stamps are even."""
    times = np.arange(9) / 10 if name.endswith("avi") else np.array([0, 0.1, 0.2, 0.5, 0.6, 0.7, 1.2, 1.3, 1.4])
    path = encoding.encode(tmp_path / name, moving_square(), times=times, pixel_aspect=Fraction(3, 2))
    whole, stamps = scan_video(path), scan_stamps(path)
    assert (stamps.size, stamps.stored_size) == (whole.size, whole.stored_size)
    assert stamps.times == pytest.approx(whole.times, abs=1e-6)
    assert stamps.fps == pytest.approx(whole.fps)
    frames = read_frames(path, [1, 4, 8], (48, 64), times=stamps.times)
    assert (frames == read_frames(path, [1, 4, 8], (48, 64))).all()
    late = stamps.times.copy()
    late[4] += 0.02
    with pytest.raises(InputError, match=r"frame 4 of .* is not shown when the file's time stamps say; re-encode it"):
        read_frames(path, [1, 4, 8], (48, 64), times=late)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_cover_is_not_the_video(name: str, encoding: ModuleType, tmp_path: Path) -> None:
    cover = np.full((200, 200, 3), 250, dtype=np.uint8)
    path = encoding.encode(tmp_path / name, moving_square(), cover=cover)
    with videos.av.open(str(path)) as container:
        assert "mjpeg" in [stream.codec_context.name for stream in container.streams.video]
    assert psnr(read_video(path).frames, moving_square()) > 33


def test_pixels_become_square(encoding: ModuleType, tmp_path: Path) -> None:
    """As many lines as stored; the width follows, before the picture is turned."""
    wide = encoding.encode(tmp_path / "wide.mp4", moving_square(), pixel_aspect=Fraction(3, 2))
    assert read_video(wide).frames.shape[1:3] == (48, 96)
    assert psnr(read_video(wide).frames, resize_image(moving_square(), (48, 96))) > 33
    info = scan_video(wide)
    assert (info.size, info.stored_size) == ((48, 96), (48, 64))
    turned = encoding.encode(
        tmp_path / "turned.mp4", moving_square(), pixel_aspect=Fraction(1, 2), display_matrix=(0, 1, -1, 0)
    )
    assert read_video(turned).frames.shape[1:3] == (32, 48)


def test_only_the_frames_wanted_are_kept_and_at_their_size(encoding: ModuleType, tmp_path: Path) -> None:
    video = moving_square(80, 240, 320)
    path = encoding.encode(tmp_path / "a.mp4", video)
    tracemalloc.start()
    kept = read_frames(path, [0, 40, 79], (24, 32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert psnr(kept, resize_image(video[[0, 40, 79]], (24, 32))) > 33
    assert peak < 8 * video[0].nbytes
    tracemalloc.start()
    assert len(read_video(path).frames) == 80
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * video.nbytes, "a whole video is held once"


def test_decoded_frames_do_not_wait_for_the_garbage_collector(encoding: ModuleType, tmp_path: Path) -> None:
    """Their memory is FFmpeg's, which Python does not count: nine seconds of full HD would pile up to gigabytes."""
    path = encoding.encode(tmp_path / "a.mp4", moving_square(40))
    gc.collect()
    gc.disable()
    try:
        scan_video(path)
        read_frames(path, [0, 20, 39], (48, 64))
        alive = sum(type(one) is videos.av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 2


def test_the_limit_counts_what_is_kept(encoding: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoding.encode(tmp_path / "a.mp4", moving_square(9))
    monkeypatch.setattr(videos, "MAX_VIDEO_PIXELS", 2 * 48 * 64)
    assert len(read_frames(path, [3, 8], (48, 64))) == 2
    assert len(read_frames(path, range(8), (24, 32))) == 8
    with pytest.raises(InputError, match=r"6,144 pixels.*2 frames of 64x48 fit"):
        read_frames(path, [0, 3, 8], (48, 64))


def test_gif_and_folder_of_frames(tmp_path: Path) -> None:
    video = moving_square(5)
    images = [Image.fromarray(frame) for frame in video]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    read, rate, _ = read_video(tmp_path / "a.gif")
    assert read.shape == video.shape
    assert rate == 10.0
    np.testing.assert_array_equal(read, video)
    (tmp_path / "frames").mkdir()
    for index, image in enumerate(images):
        image.save(tmp_path / "frames" / f"im_{index}.png")
    read, rate, _ = read_video(tmp_path / "frames")
    np.testing.assert_array_equal(read, video)
    assert rate == 8.0
    images[0].resize((20, 20)).save(tmp_path / "frames" / "im_5.png")
    with pytest.raises(InputError, match="64x48 to 20x20"):
        read_video(tmp_path / "frames")


def test_unusable_videos_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "good.mp4", moving_square(), 8.0)
    write_png(tmp_path / "still.png", moving_square()[0])
    good = (tmp_path / "good.mp4").read_bytes()
    contents = [
        ("empty.mp4", b"", "cannot be read as a video"),
        ("text.txt", b"plain text, which FFmpeg would show as a film of letters\n" * 40, "is not a video"),
        ("image.mp4", (tmp_path / "still.png").read_bytes(), "is not a video"),
        ("header.mp4", good[:200], "truncated"),
        ("cut.mp4", good[: len(good) * 2 // 3], "truncated"),
    ]
    for name, content, message in contents:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"^video: .*{name}.*{message}"):
            read_video(tmp_path / name, field="video")
        with pytest.raises(InputError) as said:
            scan_video(tmp_path / name)
        assert "Errno" not in str(said.value)
    with pytest.raises(InputError, match="does not exist"):
        read_video(tmp_path / "absent.mp4")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no frames"):
        read_video(tmp_path / "none")
    monkeypatch.setattr(videos, "MAX_VIDEO_PIXELS", 5 * 48 * 64)
    with pytest.raises(InputError, match=r"15,360 pixels.*5 frames of 64x48 fit"):
        read_video(tmp_path / "good.mp4")
    assert len(read_video(tmp_path / "good.mp4", max_frames=5)[0]) == 5


def test_unusable_arguments_of_writing_are_refused(tmp_path: Path) -> None:
    video = moving_square(2)
    for message, call in {
        "uint8": lambda: write_video(tmp_path / "a.mp4", video.astype(float), 8.0),
        r"\.mp4": lambda: write_video(tmp_path / "a.avi", video, 8.0),
        "fps": lambda: write_video(tmp_path / "a.mp4", video, float("nan")),
        "crf": lambda: write_video(tmp_path / "a.mp4", video, 8.0, crf=0),
    }.items():
        with pytest.raises(InputError, match=message):
            call()
    assert not list(tmp_path.iterdir())
