"""Masks that users give."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.boxes import square

from mask2iv.errors import InputError, InputWarning
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou

MASK = square(16, 4, 5, 6)
WHITE = MASK * np.uint8(255)
PHOTO = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)


def palette_image(colours: list[int]) -> Image.Image:
    image = Image.fromarray(MASK.astype(np.uint8))
    image.putpalette(colours)
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(MASK),
        Image.fromarray(MASK.astype(np.uint8) * 255),
        Image.fromarray(MASK.astype(np.uint8)),
        Image.fromarray(np.where(MASK, 50000, 900).astype(np.uint16)),
        Image.fromarray(np.dstack([WHITE, WHITE, WHITE])),
        Image.fromarray(np.where(MASK[..., None], (255, 0, 0), 0).astype(np.uint8)),
        Image.fromarray(np.dstack([PHOTO, WHITE])),
        Image.fromarray(np.dstack([WHITE, WHITE, WHITE, np.full_like(WHITE, 255)])),
        palette_image([0, 0, 0, 128, 0, 0]),
        palette_image([0, 0, 0, 255, 255, 255]),
        Image.fromarray(MASK.astype(np.float32)),
    ],
    ids=["bool", "grey", "0/1", "16-bit", "rgb", "red", "cutout", "opaque-rgba", "palette", "grey-palette", "float"],
)
def test_every_usual_kind_of_mask_is_read(image: Image.Image, tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_mask(image, (16, 16)), MASK)
    path = tmp_path / ("mask.tif" if image.mode == "F" else "mask.png")
    image.save(path)
    np.testing.assert_array_equal(load_mask(path, (16, 16)), MASK)


@pytest.mark.parametrize("array", [MASK, MASK.astype(np.uint8), MASK * 255, MASK * 1.0, MASK[..., None]])
def test_mask_arrays_are_read(array: np.ndarray) -> None:
    np.testing.assert_array_equal(load_mask(array, (16, 16)), MASK)


def test_mask_orientation_is_honoured(tmp_path: Path) -> None:
    tall = np.zeros((12, 8), dtype=np.uint8)
    tall[:3, :2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(tall)).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(load_mask(tmp_path / "m.png", (12, 8)), tall > 0)


def test_two_values_and_soft_edges() -> None:
    for value in (1, 2, 7, 128, 255):
        np.testing.assert_array_equal(load_mask(MASK * np.uint8(value), (16, 16)), MASK)
        np.testing.assert_array_equal(load_mask(Image.fromarray(MASK * np.uint8(value)), (16, 16)), MASK)
    np.testing.assert_array_equal(load_mask(MASK * np.uint16(900), (16, 16)), MASK)
    np.testing.assert_array_equal(load_mask((MASK * np.uint8(2))[..., None].repeat(3, -1), (16, 16)), MASK)
    soft = WHITE.copy()
    soft[3, 5:11], soft[4, 5:11] = 100, 200
    np.testing.assert_array_equal(load_mask(soft, (16, 16)), MASK)
    np.testing.assert_array_equal(load_mask(Image.fromarray(soft).convert("RGB"), (16, 16)), MASK)


def test_lossy_masks(tmp_path: Path) -> None:
    mask = square(64, 12, 21, 30)
    for quality in (60, 95, 100):
        Image.fromarray(mask * np.uint8(255)).save(tmp_path / "m.jpg", quality=quality)
        assert iou(load_mask(tmp_path / "m.jpg", (64, 64)), mask) > 0.98
    noisy = np.where(mask, 254, 1).astype(np.uint8)
    noisy[:8], noisy[16:24, 24:32] = 0, 255
    np.testing.assert_array_equal(load_mask(noisy, (64, 64)), mask)
    np.testing.assert_array_equal(load_mask(np.where(mask, 200, 100), (64, 64)), mask)


SECOND = square(16, 12, 1, 3)
NUMBERS = MASK * np.uint8(1) + SECOND * np.uint8(2)
DAVIS = [0, 0, 0, 128, 0, 0, 0, 128, 0]


def davis() -> Image.Image:
    image = Image.fromarray(NUMBERS)
    image.putpalette(DAVIS)
    return image


@pytest.mark.parametrize(
    "image",
    [
        davis(),
        Image.fromarray(NUMBERS),
        Image.fromarray(NUMBERS.astype(np.uint16) * 300),
        Image.fromarray(NUMBERS * 99),
    ],
    ids=["palette", "grey", "16-bit", "shades of grey"],
)
def test_an_image_of_several_objects_needs_a_choice(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "m.png")
    first, second = (int(number) for number in np.unique(np.asarray(image))[1:])
    with pytest.raises(InputError, match=rf"^target_mask: .*several objects, with the indices {first}, {second}; .*#"):
        load_mask(tmp_path / "m.png", (16, 16), "target_mask")
    np.testing.assert_array_equal(load_mask(f"{tmp_path}/m.png#{first}", (16, 16)), MASK)
    np.testing.assert_array_equal(load_mask(tmp_path / f"m.png#{second}", (16, 16)), SECOND)
    np.testing.assert_array_equal(load_mask(image, (16, 16), index=second), SECOND)
    np.testing.assert_array_equal(load_mask(np.asarray(image), (16, 16), index=first), MASK)
    with pytest.raises(InputError, match=rf"^mask: nothing in the mask has the index 7; found {first}, {second}$"):
        load_mask(f"{tmp_path}/m.png#7", (16, 16))
    with pytest.raises(InputError, match=r"^mask: .*other\.png does not exist"):
        load_mask(f"{tmp_path}/other.png#1", (16, 16))
    (tmp_path / "m.png").rename(tmp_path / "m.png#1")
    with pytest.raises(InputError, match="several objects"):
        load_mask(f"{tmp_path}/m.png#1", (16, 16))


def test_several_colours_are_refused() -> None:
    painted = np.asarray(davis().convert("RGB"))
    with pytest.raises(InputError, match=r"^mask: the mask holds several colours \(green, red\)"):
        load_mask(painted, (16, 16))
    with pytest.raises(InputError, match="several colours"):
        load_mask(PHOTO, (16, 16))
    with pytest.raises(InputError, match="mode RGB has no object numbers"):
        load_mask(Image.fromarray(painted), (16, 16), index=1)


@pytest.mark.parametrize("value", [0, 254])
@pytest.mark.parametrize("size", [16, 64])
def test_a_stray_transparent_pixel_is_no_mask(value: int, size: int) -> None:
    mask = square(size, 4, 5, 6)
    white = mask * np.uint8(255)
    rgba = np.dstack([white, white, white, np.full_like(white, 255)])
    rgba[0, 0, 3] = value
    for given in (Image.fromarray(rgba), rgba, np.ascontiguousarray(rgba[..., 2:])):
        np.testing.assert_array_equal(load_mask(given, (size, size)), mask)


def test_a_black_and_white_mask_with_transparent_corners_is_read_by_its_colours() -> None:
    rgba = np.dstack([WHITE, WHITE, WHITE, np.full_like(WHITE, 255)])
    corner = square(16, 0, 0, 5)
    rgba[corner] = (255, 255, 255, 0)
    np.testing.assert_array_equal(load_mask(Image.fromarray(rgba), (16, 16)), MASK & ~corner)
    painted = np.dstack([np.full_like(WHITE, 255)] * 3 + [WHITE])
    np.testing.assert_array_equal(load_mask(Image.fromarray(painted), (16, 16)), MASK)
    np.testing.assert_array_equal(load_mask(np.dstack([PHOTO, WHITE // 2]), (16, 16)), MASK)


def test_a_mask_of_more_than_half_of_the_picture_is_warned_of() -> None:
    with pytest.warns(InputWarning, match=r"^object_mask: the mask covers 86% of the picture and may be inverted; "):
        np.testing.assert_array_equal(load_mask(~MASK, (16, 16), "object_mask"), ~MASK)
    half = np.zeros((16, 16), dtype=bool)
    half[:8] = True
    load_mask(half, (16, 16))


CASES = Path(__file__).parents[2] / ".." / "shared" / "cases" / "masks"


@pytest.mark.skipif(not CASES.is_dir(), reason="the sample files are not here")
def test_the_sample_masks() -> None:
    with pytest.warns(InputWarning, match="covers 97% of the picture"):
        inverted = load_mask(CASES / "mask_inverted.png", (160, 256))
    with pytest.raises(InputError, match="indices 1, 2"):
        load_mask(CASES / "mask_davis_two.png", (160, 256))
    first, second = (load_mask(f"{CASES}/mask_davis_two.png#{index}", (160, 256)) for index in (1, 2))
    assert iou(first, ~inverted) > 0.99
    assert not (first & second).any()


def test_unusable_masks_are_refused_by_name(tmp_path: Path) -> None:
    field = "object_mask"
    with pytest.raises(InputError, match=r"^object_mask: .*16x16 pixels.*24x20 pixels"):
        load_mask(MASK, (20, 24), field)
    with pytest.raises(InputError, match=r"^object_mask: .*empty"):
        load_mask(np.zeros_like(MASK), (16, 16), field)
    with pytest.raises(InputError, match=r"^object_mask: .*whole image"):
        load_mask(np.ones_like(MASK), (16, 16), field)
    with pytest.raises(InputError, match=r"^object_mask: .*does not exist"):
        load_mask(tmp_path / "absent.png", (16, 16), field)
    with pytest.raises(InputError, match=r"^object_mask: .*no pixels"):
        load_mask(np.zeros((0, 16, 4)), (16, 16), field)
    with pytest.raises(InputError, match=r"^object_mask: .*\[H, W\]"):
        load_mask(np.zeros((2, 16, 16, 3)), (16, 16), field)
