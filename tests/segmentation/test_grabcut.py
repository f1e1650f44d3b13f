"""A mask from a box or a point."""

from pathlib import Path

import numpy as np
import pytest

from mask2iv.errors import InputError
from mask2iv.media.images import read_image
from mask2iv.media.videos import read_video
from mask2iv.segmentation.grabcut import mask_from_box, mask_from_point
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "real"


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
    frames, rate, _ = read_video(REAL / name / "video.mp4", max_frames=2)
    assert frames.shape == (2, *image.shape)
    assert 4 < rate < 17
    rows, columns = np.nonzero(mask)
    box = (columns.min() - 4, rows.min() - 4, np.ptp(columns) + 9, np.ptp(rows) + 9)
    assert iou(mask_from_box(image, box), mask) > 0.8
