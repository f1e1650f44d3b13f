"""Reading, writing and resizing of images."""

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, features
from tests.moving_square import moving_square

from mask2iv.errors import InputError, InputWarning
from mask2iv.media.images import read_image, resize_image, resize_mask, write_png


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


CASES = Path(__file__).parents[2] / ".." / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="the sample files are not here")
def test_the_sample_files_are_read_alike_from_disk_and_from_pillow() -> None:
    scene = read_image(CASES / "masks" / "scene.png")
    for name, close in (("exif6.jpg", 3.0), ("gray16.png", None), ("cutout_image.png", None)):
        path = CASES / "pil-inputs" / name
        read = read_image(path)
        np.testing.assert_array_equal(read_image(Image.open(path)), read)
        assert read.shape == scene.shape
        assert close is None or np.abs(read.astype(int) - scene).mean() < close, name
    p3 = read_image(CASES / "colour" / "p3.png")
    np.testing.assert_allclose(p3.reshape(-1, 3), from_display_p3(scene.reshape(-1, 3)), atol=2)


def test_pillow_images_are_converted_like_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    images = {
        "exif.png": (Image.fromarray(rgb), {"exif": turned}),
        "wide.png": (Image.fromarray(rng.integers(0, 65536, (6, 9)).astype(np.uint16)), {}),
        "palette.png": (Image.fromarray(rgb).quantize(16), {}),
        "hole.png": (Image.fromarray(rgb).quantize(16), {"transparency": 3}),
        "grey-hole.png": (Image.fromarray(rgb[..., 0] // 64), {"transparency": 2}),
        "rgba.png": (Image.fromarray(rng.integers(0, 256, (6, 9, 4), dtype=np.uint8)), {}),
        "la.png": (Image.fromarray(rng.integers(0, 256, (6, 9, 2), dtype=np.uint8), "LA"), {}),
        "cmyk.tif": (Image.fromarray(rgb).convert("CMYK"), {}),
        "lab.tif": (Image.fromarray(rgb).resize((9, 6)).convert("RGB"), {}),
        "bool.png": (Image.fromarray(rgb[..., 0] > 128), {}),
    }
    lab = ImageCms.createProfile("LAB")
    images["lab.tif"] = (ImageCms.profileToProfile(images["lab.tif"][0], srgb(), lab, outputMode="LAB"), {})
    for name, (image, options) in images.items():
        image.save(tmp_path / name, **options)
        read = read_image(tmp_path / name)
        assert read.shape == ((9, 6, 3) if name == "exif.png" else (6, 9, 3)), name
        np.testing.assert_array_equal(read_image(Image.open(tmp_path / name)), read, err_msg=name)
    np.testing.assert_array_equal(read_image(tmp_path / "exif.png"), np.rot90(rgb, -1))
    grey = read_image(tmp_path / "grey-hole.png")
    np.testing.assert_array_equal(grey[..., 0], np.where(rgb[..., 0] // 64 == 2, 255, rgb[..., 0] // 64))
    inside = (rgb > 30) & (rgb < 225)
    assert np.abs(read_image(tmp_path / "lab.tif").astype(int) - rgb)[inside].mean() < 4


def srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def display_p3() -> bytes:
    """The profile of Display P3: that of sRGB with other primaries."""
    data = bytearray(srgb().tobytes())
    primaries = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189),
                 b"bXYZ": (0.15710, 0.06657, 0.78407)}  # fmt: skip
    for index in range(struct.unpack(">I", data[128:132])[0]):
        tag, offset, _ = struct.unpack(">4sII", data[132 + 12 * index : 144 + 12 * index])
        if tag in primaries:
            data[offset + 8 : offset + 20] = struct.pack(">3i", *(round(65536 * part) for part in primaries[tag]))
    return bytes(data)


def from_display_p3(colours: np.ndarray) -> np.ndarray:
    """sRGB bytes of Display P3 bytes [N, 3], by the definitions of both: one curve, different primaries."""
    linear = colours / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]
    linear = np.clip(linear @ np.array(matrix).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_colour_profiles_are_converted_to_srgb(tmp_path: Path) -> None:
    colours = np.array([[110, 80, 60], [150, 140, 120], [200, 30, 30], [255, 255, 255], [0, 0, 0]], dtype=np.uint8)
    image = Image.fromarray(colours[None])
    for name in ("p3.png", "p3.tif", "p3.webp"):
        image.save(tmp_path / name, icc_profile=display_p3(), **({"lossless": True} if name == "p3.webp" else {}))
        read = read_image(tmp_path / name)[0]
        np.testing.assert_allclose(read, from_display_p3(colours), atol=1.5, err_msg=name)
    image.putalpha(255)
    image.save(tmp_path / "rgba.png", icc_profile=display_p3())
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png")[0], read)
    image.convert("RGB").save(tmp_path / "srgb.png", icc_profile=srgb().tobytes())
    np.testing.assert_allclose(read_image(tmp_path / "srgb.png")[0], colours, atol=1)


def test_a_profile_that_cannot_be_used_is_ignored_with_a_warning(tmp_path: Path) -> None:
    image = np.full((4, 4, 3), (200, 30, 30), dtype=np.uint8)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile, reason in ((b"no profile", "cannot open"), (lab, "it is for Lab, the picture is RGB")):
        Image.fromarray(image).save(tmp_path / "a.png", icc_profile=profile)
        with pytest.warns(InputWarning, match=rf"^image: the colour profile of .*a\.png cannot be used: {reason}"):
            np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


EPS = """%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
showpage
"""


def test_what_only_another_program_can_read_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ghostscript, mark = tmp_path / "gs", tmp_path / "started"
    ghostscript.write_text(f"#!/bin/sh\ntouch {mark}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    for name, content in (("eps.png", EPS), ("pdf.png", "%PDF-1.4\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=rf"{name} cannot be read as an image: it is none of PNG, JPEG"):
            read_image(tmp_path / name)
    assert not mark.exists()
    # Pillow alone does start it.
    with suppress(OSError):
        Image.open(tmp_path / "eps.png").load()
    assert mark.exists()


def test_pictures_of_phones(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200)
    with pytest.raises(InputError, match=r"a\.jpg cannot be read as an image: it is HEIC.*; save it as JPEG or PNG"):
        read_image(tmp_path / "a.jpg")
    image = Image.fromarray(moving_square()[0])
    image.save(tmp_path / "two.jpg", format="MPO", save_all=True, append_images=[image], quality=95)
    assert np.abs(read_image(tmp_path / "two.jpg").astype(int) - moving_square()[0]).mean() < 3
    if features.check("avif"):
        image.save(tmp_path / "a.avif", quality=95)
        assert np.abs(read_image(tmp_path / "a.avif").astype(int) - moving_square()[0]).mean() < 3


def test_a_damaged_pillow_image_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    with pytest.raises(InputError, match=r"^image: the Pillow image cannot be read as an image: .*truncated"):
        read_image(Image.open(io.BytesIO(buffer.getvalue()[:900])))


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
