"""Reading and writing images and videos, segmentation by box and point, and atomic files."""

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import PictureType
from PIL import Image

from mask2iv import files, media
from mask2iv.errors import InputError
from mask2iv.media import read_image, read_video, resize_image, resize_mask, write_png, write_video
from mask2iv.segmentation.grabcut import mask_from_box, mask_from_point
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou

REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "real"


def moving_square(frames: int = 9, height: int = 48, width: int = 64) -> np.ndarray:
    video = np.zeros((frames, height, width, 3), dtype=np.uint8)
    video[:] = np.linspace(40, 120, width, dtype=np.uint8)[:, None]
    for index, frame in enumerate(video):
        frame[16:32, 4 * index : 4 * index + 16] = (220, 60, 30)
    return video


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def png_with_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# --- images


def test_png_round_trip_and_masks_as_white_on_black(tmp_path: Path) -> None:
    image = moving_square()[3]
    write_png(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), image)
    write_png(tmp_path / "m.png", image[..., 0] > 200)
    assert np.unique(read_image(tmp_path / "m.png")).tolist() == [0, 255]
    with pytest.raises(InputError, match="float64"):
        write_png(tmp_path / "f.png", image / 255.0)


def test_images_of_every_mode_come_as_rgb_bytes(tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 12 * 10).reshape(12, 10).round().astype(np.uint8)
    rgb = grey[..., None].repeat(3, axis=-1)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(rgb).quantize(256, dither=Image.Dither.NONE).save(tmp_path / "palette.png")
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.tif")
    for name in ("wide.png", "float.tif", "grey.png", "palette.png", "cmyk.tif"):
        read = read_image(tmp_path / name)
        assert read.dtype == np.uint8, name
        assert read.shape == (12, 10, 3), name
        assert np.abs(read.astype(int) - rgb).max() <= 3, name


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[:2] = (10, 20, 30, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read[0, 0].tolist() == [10, 20, 30]
    assert read[3, 3].tolist() == [255, 255, 255]


def test_camera_orientation_is_honoured(tmp_path: Path) -> None:
    image = moving_square()[2]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_unusable_images_are_refused_by_name(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    write_png(good, np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    contents = {
        "empty file": b"",
        "cannot be read as an image": b"just some words",
        "truncated": good.read_bytes()[:900],
        "64 megapixels": png_with_header(9000, 9000),
        "too large": png_with_header(60000, 60000),
    }
    for message, content in contents.items():
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(InputError, match=rf"^image: .*bad\.png.*{message}"):
            read_image(tmp_path / "bad.png", field="image")
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="not a file"):
        read_image(tmp_path)


def test_resizing_images_averages_and_masks_stay_labels() -> None:
    checker = np.indices((64, 64)).sum(axis=0) % 2
    image = (checker[..., None].repeat(3, axis=-1) * 255).astype(np.uint8)
    assert np.abs(resize_image(image, (16, 16)).astype(int) - 127).max() <= 2
    assert resize_image(np.stack([image, image]), (20, 30)).shape == (2, 20, 30, 3)
    labels = np.zeros((3, 8, 8), dtype=np.uint8)
    labels[:, 2:6, 4:8] = 2
    shrunk = resize_mask(labels, (4, 4))
    assert shrunk[0].tolist() == [[0, 0, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0]]
    np.testing.assert_array_equal(resize_mask(resize_mask(labels, (24, 16)), (8, 8)), labels)


# --- videos


@pytest.mark.parametrize("fps", [8.0, 50 / 3, 29.97])
def test_video_round_trip_keeps_frames_rate_and_colours(tmp_path: Path, fps: float) -> None:
    video = moving_square()
    write_video(tmp_path / "a.mp4", video, fps, crf=8)
    read, rate = read_video(tmp_path / "a.mp4")
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
    with media.av.open(str(tmp_path / "a.mp4")) as container:
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
    with media.av.open(str(tmp_path / "0.mp4")) as container:
        assert PictureType.B not in {frame.pict_type for frame in container.decode(video=0)}


def test_odd_sizes_are_padded_or_kept(tmp_path: Path) -> None:
    video = moving_square(3, 33, 51)
    write_video(tmp_path / "padded.mp4", video, 8.0)
    assert read_video(tmp_path / "padded.mp4")[0].shape == (3, 34, 52, 3)
    write_video(tmp_path / "kept.mp4", video, 8.0, pixel_format="yuv444p")
    assert read_video(tmp_path / "kept.mp4")[0].shape == video.shape


def test_one_frame_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(1), 8.0)
    read, rate = read_video(tmp_path / "a.mp4")
    assert len(read) == 1
    assert rate == 8.0


def test_rotation_metadata_is_honoured(tmp_path: Path) -> None:
    video = moving_square()
    write_video(tmp_path / "a.mp4", video, 8.0, crf=8)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    # The display matrix in the track header, as phones set it: rotate by 90 degrees clockwise to show upright.
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    read, _ = read_video(tmp_path / "turned.mp4")
    assert psnr(read, np.rot90(video, k=-1, axes=(1, 2))) > 33


def test_gif_and_folder_of_frames(tmp_path: Path) -> None:
    video = moving_square(5)
    images = [Image.fromarray(frame) for frame in video]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    read, rate = read_video(tmp_path / "a.gif")
    assert read.shape == video.shape
    assert rate == 10.0
    np.testing.assert_array_equal(read, video)
    (tmp_path / "frames").mkdir()
    for index, image in enumerate(images):
        image.save(tmp_path / "frames" / f"im_{index}.png")
    read, rate = read_video(tmp_path / "frames")
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
    with pytest.raises(InputError, match="does not exist"):
        read_video(tmp_path / "absent.mp4")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no frames"):
        read_video(tmp_path / "none")
    monkeypatch.setattr(media, "MAX_VIDEO_PIXELS", 5 * 48 * 64)
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


# --- segmentation


@pytest.fixture
def ball() -> tuple[np.ndarray, np.ndarray]:
    """A red ball on a table of another, slightly noisy colour, and its mask."""
    rows, columns = np.ogrid[:96, :128]
    mask = np.hypot(rows - 50, columns - 60) < 15
    noise = np.random.default_rng(0).integers(-8, 9, size=(96, 128, 3))
    image = np.where(mask[..., None], (200, 40, 40), (150, 140, 120)) + noise
    return image.astype(np.uint8), mask


def test_box_and_point_find_the_ball_and_repeat_exactly(ball: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = ball
    for segment, prompt in ((mask_from_box, (40, 30, 42, 42)), (mask_from_point, (62, 48))):
        found = segment(image, prompt)
        assert iou(found, mask) > 0.95
        np.testing.assert_array_equal(segment(image, prompt), found)


def test_prompts_that_point_nowhere_are_refused(ball: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = ball
    for box in ((100, 10, 60, 20), (-1, 0, 10, 10), (0, 0, 128, 96), (5, 5, 0, 3)):
        with pytest.raises(InputError, match=r"^object_box: "):
            mask_from_box(image, box, field="object_box")
    for point in ((128, 10), (5, -1), (float("nan"), 2), (1, 2, 3)):
        with pytest.raises(InputError, match=r"^object_point: "):
            mask_from_point(image, point, field="object_point")
    flat = np.full((40, 40, 3), 90, dtype=np.uint8)
    with pytest.raises(InputError, match="stands out"):
        mask_from_box(flat, (10, 10, 10, 10))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not beside this checkout")
@pytest.mark.parametrize("name", ["bridge_can", "cups", "rt1_coke"])
def test_box_on_real_clips(name: str) -> None:
    image = read_image(REAL / name / "image.png")
    mask = load_mask(REAL / name / "object_mask.png", image.shape[:2])
    frames, rate = read_video(REAL / name / "video.mp4", max_frames=2)
    assert frames.shape == (2, *image.shape)
    assert 4 < rate < 17
    rows, columns = np.nonzero(mask)
    box = (columns.min() - 4, rows.min() - 4, np.ptp(columns) + 9, np.ptp(rows) + 9)
    assert iou(mask_from_box(image, box), mask) > 0.8


# --- files


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(target) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert target.read_text() == "old"
    with files.atomic_write(target) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_directory_leaves_the_old_folder_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.atomic_directory(target) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(InputError, match="not empty"), files.atomic_directory(target):
        pass
    with pytest.raises(RuntimeError), files.atomic_directory(target, overwrite=True) as folder:
        raise RuntimeError
    assert (target / "a").read_text() == "1"
    with files.atomic_directory(target, overwrite=True) as folder:
        (folder / "b").write_text("2")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_places_that_cannot_be_written_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "a.png", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            write_png(path, np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(InputError, match="cannot be written"), files.atomic_directory(tmp_path / "file"):
        pass


def test_json_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, None], "a": "é"})
    assert files.read_json(path) == {"b": [1, None], "a": "é"}
    assert files.sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"a\.json"):
        files.write_json(path, {"x": float("nan")})
    assert files.read_json(path)["a"] == "é"
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: is not valid JSON"):
        files.read_json(path)
    with pytest.raises(InputError, match="absent"):
        files.read_json(tmp_path / "absent.json")
