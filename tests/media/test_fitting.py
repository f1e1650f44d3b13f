"""Pictures and masks in the shape of a result: crops around masks, borders, and the original's preparation."""

import numpy as np
import pytest
from PIL import Image

from mask2iv.contract import Fit, Label
from mask2iv.errors import InputError
from mask2iv.media.fitting import fit_clip, place, placed_image, placed_mask

PORTRAIT, WIDE = (256, 160), (160, 256)


def spot(size: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize(
    ("source", "mask", "box"),
    [
        (PORTRAIT, spot(PORTRAIT, 120, 60, 30, 40), (0, 85, 160, 100)),
        (PORTRAIT, spot(PORTRAIT, 4, 60, 30, 40), (0, 0, 160, 100)),
        (PORTRAIT, spot(PORTRAIT, 240, 60, 10, 40), (0, 156, 160, 100)),
        ((300, 300), spot((300, 300), 140, 0, 40, 40), (0, 66, 300, 188)),
        ((300, 400), spot((300, 400), 250, 10, 20, 20), (0, 50, 400, 250)),
        ((160, 512), spot((160, 512), 30, 300, 40, 100), (222, 0, 256, 160)),
    ],
    ids=["middle", "top edge", "bottom edge", "square", "4:3", "panorama"],
)
def test_a_crop_is_the_largest_around_the_mask(source: tuple[int, int], mask: np.ndarray, box: tuple[int, ...]) -> None:
    placement = place(source, WIDE, masks=[mask])
    assert placement.seen == box
    assert placement.record == {
        "fit": "crop", "picture": [source[1], source[0]], "box": list(box), "placed": [0, 0, 256, 160],
    }  # fmt: skip


def test_a_crop_shows_all_masks_where_it_can() -> None:
    thing, target = spot(PORTRAIT, 150, 20, 20, 20), spot(PORTRAIT, 90, 100, 20, 20)
    _, top, _, rows = place(PORTRAIT, WIDE, masks=[thing, target]).seen
    assert (top, rows) == (80, 100)
    # A long arm does not fit: object and target stay whole, the rest of the window is the arm's.
    arm = spot(PORTRAIT, 160, 40, 96, 30)
    assert place(PORTRAIT, WIDE, masks=[thing, target, arm]).seen[1] == 90


def test_where_not_all_fit_the_first_counts_most() -> None:
    thing, target = spot(PORTRAIT, 0, 20, 40, 20), spot(PORTRAIT, 80, 100, 60, 20)
    assert place(PORTRAIT, WIDE, masks=[thing, target]).seen[1] == 0
    assert place(PORTRAIT, WIDE, masks=[target, thing]).seen[1] == 40
    far = spot(PORTRAIT, 236, 100, 20, 20)
    assert place(PORTRAIT, WIDE, masks=[thing, far]).seen[1] == 0
    assert place(PORTRAIT, WIDE, masks=[far, thing]).seen[1] == 156


def test_without_masks_a_crop_is_the_middle() -> None:
    assert place(PORTRAIT, WIDE).seen == (0, 78, 160, 100)
    assert place((100, 320), (160, 256)).seen == (80, 0, 160, 100)


@pytest.mark.parametrize(
    ("source", "scale", "scaled", "placed", "seen"),
    [
        ((480, 640), 1.0, (320, 427), (42, 0, 427, 320), (0, 0, 640, 480)),
        ((1080, 1920), 1.2, (384, 683), (0, 0, 512, 320), (241.76, 90, 1439.3, 900)),
        ((640, 480), 1.0, (427, 320), (96, 0, 320, 320), (0, 80.93, 480, 479.63)),
        ((2000, 1000), 0.5, (320, 160), (176, 0, 160, 320), (0, 0, 1000, 2000)),
    ],
    ids=["BridgeData V2", "HOI4D", "portrait", "borders at two sides"],
)
def test_the_originals_preparation(
    source: tuple[int, int],
    scale: float,
    scaled: tuple[int, int],
    placed: tuple[int, ...],
    seen: tuple[float, ...],
) -> None:
    placement = place(source, (320, 512), "centre", scale)
    assert placement.scaled == scaled
    assert placement.placed == placed
    assert placement.seen == pytest.approx(seen, abs=0.01)


def test_the_originals_preparation_is_bilinear_and_black_where_nothing_is() -> None:
    image = np.random.default_rng(0).integers(1, 256, (48, 64, 3), dtype=np.uint8)
    made = placed_image(image, place((48, 64), (32, 64), "centre"))
    expected = np.asarray(Image.fromarray(image).resize((43, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(made[:, 10:53], expected)
    assert not made[:, :10].any()
    assert not made[:, 53:].any()
    larger = placed_image(image, place((48, 64), (32, 40), "centre", 1.25))
    whole = np.asarray(Image.fromarray(image).resize((53, 40), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(larger, whole[4:36, 6:46])


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch", "centre"])
@pytest.mark.parametrize("source", [(90, 60), (60, 90), (70, 70), (40, 200)])
def test_masks_follow_the_picture(fit: Fit, source: tuple[int, int]) -> None:
    mask = spot(source, source[0] // 2 - 10, source[1] // 2 - 12, 20, 24)
    image = np.where(mask[..., None], np.uint8(255), np.uint8(10)).repeat(3, axis=-1)
    placement = place(source, (64, 96), fit, masks=[mask])
    picture, small = placed_image(image, placement), placed_mask(mask, placement)
    assert picture.shape == (64, 96, 3)
    assert small.shape == (64, 96)
    assert small.any()
    # Interpolation blurs a pixel at the outline.
    assert np.mean((picture[..., 0] > 128) != small) < 0.02
    assert fit == "stretch" or picture[small].mean() > 200
    frames = placed_image(np.stack([image, image[::-1]]), placement)
    np.testing.assert_array_equal(frames[0], picture)


def test_padding_keeps_all_of_the_picture_in_its_shape() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    placement = place((40, 40), (20, 50), "pad")
    assert placement.placed == (15, 0, 20, 20)
    made = placed_image(image, placement)
    assert (made[:, 15:35] == 200).all()
    assert not made[:, :15].any()
    assert not made[:, 35:].any()


def test_a_picture_of_the_right_size_is_taken_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    for fit, scale in (("crop", 1.0), ("pad", 1.0), ("stretch", 1.0), ("centre", 1.2)):
        assert placed_image(image, place((32, 64), (32, 64), fit, scale)) is image  # type: ignore[arg-type]


def test_a_clip_is_cropped_around_the_object_of_all_frames() -> None:
    labels = np.zeros((2, 64, 32), dtype=np.uint8)
    labels[0, 0:8, 4:12] = Label.OBJECT
    labels[1, 10:18, 4:12] = Label.OBJECT
    labels[:, 40:64] = Label.ACTOR
    video = labels[..., None].repeat(3, axis=-1) * np.uint8(100)
    part, masks = fit_clip(video, labels, (24, 32), "crop")
    np.testing.assert_array_equal(masks, labels[:, :24])
    np.testing.assert_array_equal(part, video[:, :24])


@pytest.mark.parametrize(
    ("fit", "scale", "message"),
    [
        ("zoom", 1.0, r"^fit: must be one of crop, pad, stretch, centre, found 'zoom'"),
        ("centre", 0.0, r"^fit_scale: must be a positive number, found 0.0"),
        ("centre", float("nan"), r"^fit_scale: must be a positive number"),
        ("centre", 1e5, r"^fit_scale: 100000 makes more than 64 megapixels"),
    ],
)
def test_unusable_fits(fit: str, scale: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        place((40, 60), (32, 32), fit, scale)  # type: ignore[arg-type]
