"""Reading, writing and resizing of images."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2iv.errors import InputError
from mask2iv.media.images import read_image, resize_image, resize_mask, write_png


def moving_square(frames: int = 9, height: int = 48, width: int = 64) -> np.ndarray:
    video = np.zeros((frames, height, width, 3), dtype=np.uint8)
    video[:] = np.linspace(40, 120, width, dtype=np.uint8)[:, None]
    for index, frame in enumerate(video):
        frame[16:32, 4 * index : 4 * index + 16] = (220, 60, 30)
    return video


def png_with_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


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
