"""Labels and colours, measures, morphology, run lengths, and the files of masks and trajectories."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mask2iv.contract import LABEL_COLOURS, Label, Trajectory
from mask2iv.errors import InputError, InputWarning
from mask2iv.media.fitting import place
from mask2iv.trajectories.labels import labels_to_rgb, labels_to_tensor, rgb_to_labels, tensor_to_labels
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import areas, centroid, centroids, iou, trajectory_iou
from mask2iv.trajectories.morphology import contact_map, contact_map_tensor, perturb_labels
from mask2iv.trajectories.runlength import rle_decode, rle_encode
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file, save_trajectory_folder

ALL_LABELS = (0, 1, 2, 3)


@pytest.fixture
def trajectory() -> Trajectory:
    labels = np.random.default_rng(0).integers(0, 4, size=(5, 13, 17), dtype=np.uint8)
    return Trajectory(labels, fps=12.5)


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


# --- labels and colours


def test_colours_round_trip_and_noisy_colours_snap(trajectory: Trajectory) -> None:
    rgb = labels_to_rgb(trajectory.labels)
    assert rgb[trajectory.labels == Label.ACTOR].tolist()[0] == [0, 255, 0]
    assert rgb[trajectory.labels == Label.OBJECT].tolist()[0] == [255, 0, 0]
    noise = np.random.default_rng(1).integers(-60, 61, size=rgb.shape)
    noisy = np.clip(rgb.astype(int) + noise, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(rgb_to_labels(noisy, ALL_LABELS), trajectory.labels)


def test_snapping_offers_only_the_labels_asked_for() -> None:
    blue = np.array([[0, 0, 255]], dtype=np.uint8)
    assert rgb_to_labels(blue).tolist() == [Label.BACKGROUND]
    assert rgb_to_labels(blue, ALL_LABELS).tolist() == [Label.SECOND_ACTOR]


def test_tensor_painting_matches_the_paper_and_inverts(trajectory: Trajectory) -> None:
    labels = torch.from_numpy(trajectory.labels)[None]
    painted = labels_to_tensor(labels)
    assert painted.shape == (1, 3, 5, 13, 17)
    t, y, x = (labels[0] == Label.OBJECT).nonzero()[0]
    assert painted[0, :, t, y, x].tolist() == [1.0, -1.0, -1.0]
    assert painted.min() == -1.0
    noisy = painted + 0.6 * (torch.rand(painted.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert torch.equal(tensor_to_labels(noisy, ALL_LABELS), labels)
    assert tensor_to_labels(painted)[labels == Label.SECOND_ACTOR].unique().tolist() == [0]


# --- measures


def test_measures_of_known_squares() -> None:
    a, b = square(10, 0, 0, 4), square(10, 0, 2, 4)
    assert iou(a, b) == pytest.approx(8 / 24)
    assert iou(a, np.zeros_like(a)) == 0.0
    assert iou(np.zeros_like(a), np.zeros_like(a)) == 1.0
    assert centroid(b) == (1.5, 3.5)
    assert centroid(np.zeros_like(a)) is None
    with pytest.raises(InputError, match=r"^b: must be a mask of the shape of a, \[.*\], found \["):
        iou(a, square(11, 0, 0, 4))


def test_per_frame_measures_and_trajectory_iou() -> None:
    labels = np.zeros((2, 10, 10), dtype=np.uint8)
    labels[0][square(10, 2, 4, 3)] = Label.OBJECT
    first = Trajectory(labels)
    moved = Trajectory(np.stack([labels[0], np.where(square(10, 0, 0, 2), np.uint8(2), labels[1])]))
    assert areas(first, Label.OBJECT).tolist() == [9, 0]
    centres = centroids(first, Label.OBJECT)
    assert centres[0].tolist() == [3.0, 5.0]
    assert np.isnan(centres[1]).all()
    assert trajectory_iou(first, first, Label.OBJECT) == 1.0
    assert trajectory_iou(first, moved, Label.OBJECT) == 0.5


# --- morphology


def test_contact_map_is_the_band_where_masks_meet() -> None:
    actor, thing = square(20, 5, 2, 5), square(20, 5, 9, 5)
    expected = np.zeros((20, 20), dtype=bool)
    # Two empty columns lie between; a 7x7 kernel reaches 3 pixels, so one column of each square touches.
    expected[5:10, 6] = expected[5:10, 9] = True
    np.testing.assert_array_equal(contact_map(actor, thing), expected)
    assert not contact_map(actor, thing, kernel=5).any()
    labels = torch.from_numpy(actor * 1 + thing * 2).to(torch.uint8)[None, None]
    np.testing.assert_array_equal(contact_map_tensor(labels)[0, 0].numpy(), expected)
    second = torch.where(labels == Label.ACTOR, Label.SECOND_ACTOR, labels)
    assert torch.equal(contact_map_tensor(second), contact_map_tensor(labels))
    with pytest.raises(InputError, match="odd"):
        contact_map(actor, thing, kernel=4)


def test_perturbation_grows_or_shrinks_whole_clips() -> None:
    frame = square(24, 8, 3, 7) * 1 + square(24, 8, 13, 7) * 2
    labels = torch.from_numpy(frame).to(torch.uint8).expand(200, 2, 24, 24)
    result = perturb_labels(labels, probability=0.5, generator=torch.Generator().manual_seed(0))
    again = perturb_labels(labels, probability=0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(result, again)
    objects = (result == Label.OBJECT).sum(dim=(2, 3))
    assert torch.equal(objects[:, 0], objects[:, 1])
    sizes, counts = objects[:, 0].unique(return_counts=True)
    # Eroded by 7, 5, 3 leaves sides 1, 3, 5; dilated squares meet the actor, which keeps its own pixels.
    assert sizes.tolist()[:4] == [1, 9, 25, 49]
    assert len(sizes) == 7
    assert 70 < counts[sizes == 49].item() < 130
    grown = result[objects[:, 0] > 49]
    assert (grown[labels[: len(grown)] == Label.ACTOR] == Label.ACTOR).all()
    assert torch.equal(perturb_labels(labels, probability=0.0), labels)


def test_perturbation_gives_the_object_the_pixels_both_reach() -> None:
    frame = square(12, 3, 1, 4) * 1 + square(12, 3, 6, 4) * 2
    labels = torch.from_numpy(frame).to(torch.uint8)[None, None]
    seeds = (torch.Generator().manual_seed(seed) for seed in range(20))
    results = [perturb_labels(labels, 1.0, (3,), generator)[0, 0] for generator in seeds]
    grown = next(result for result in results if (result > 0).sum() > (labels > 0).sum())
    assert grown[3:7, 5].tolist() == [Label.OBJECT] * 4
    assert grown[3:7, 0].tolist() == [Label.ACTOR] * 4


# --- run lengths


def test_run_lengths_read_down_the_columns() -> None:
    mask = np.array([[1, 0], [1, 1], [0, 1]], dtype=bool)
    rle = rle_encode(mask)
    assert rle == {"size": [3, 2], "counts": [0, 2, 2, 2]}
    np.testing.assert_array_equal(rle_decode(rle), mask)


@pytest.mark.parametrize("fill", [0.0, 0.3, 1.0])
def test_run_lengths_round_trip(fill: float) -> None:
    mask = np.random.default_rng(0).random((19, 23)) < fill
    np.testing.assert_array_equal(rle_decode(rle_encode(mask)), mask)


@pytest.mark.parametrize("rle", [{"size": [2, 2], "counts": [1, 2]}, {"size": [2], "counts": [4]}, {"counts": [4]}])
def test_run_lengths_that_do_not_fit_are_refused(rle: dict) -> None:
    with pytest.raises(InputError, match="run lengths"):
        rle_decode(rle)


# --- trajectory files


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


# --- users' masks

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
