"""Filmstrips, and labels painted over frames."""

import time

import numpy as np
import pytest

from mask2iv.errors import InputError
from mask2iv.media.filmstrip import filmstrip, overlay


def ramp(frames: int, height: int, width: int) -> np.ndarray:
    """Every pixel of frame i is 10 * i."""
    values = (np.arange(frames) * 10).astype(np.uint8)
    return np.broadcast_to(values[:, None, None, None], (frames, height, width, 3)).copy()


def test_frames_are_evenly_sampled_from_first_to_last() -> None:
    page = filmstrip([("video", ramp(16, 20, 30))], max_columns=4)
    row = page[-10, 4 + 15 :: 34]
    assert row[:, 0].tolist() == [0, 50, 100, 150]
    assert page.shape == (page.shape[0], 4 + 4 * 34, 3)


def test_rows_of_other_sizes_and_lengths_share_the_page() -> None:
    rows = [("input", ramp(1, 20, 30) + np.uint8(200)), ("trajectory", ramp(6, 40, 60)), ("video", ramp(6, 20, 30))]
    page = filmstrip(rows)
    one = filmstrip(rows[1:2])
    assert page.dtype == np.uint8
    assert page.shape[1] == 4 + 6 * 34
    assert page.shape[0] % 3 == 0
    assert one.shape[0] == page.shape[0] // 3 + 20
    first_row = page[18 : page.shape[0] // 3]
    assert (first_row == 200).all(axis=-1).sum() == 20 * 30


def test_captions_are_drawn_and_long_ones_are_cut() -> None:
    video = ramp(2, 20, 30)
    plain, titled = filmstrip([("", video)]), filmstrip([("video", video)])
    assert plain.shape == titled.shape
    assert (plain[:18] != titled[:18]).any()
    np.testing.assert_array_equal(plain[18:], titled[18:])
    assert filmstrip([("an instruction of many words " * 9, video)]).shape == plain.shape


def test_a_caption_is_cut_where_the_row_ends_in_linear_time() -> None:
    video = ramp(8, 20, 60)
    page = filmstrip([("W" * 400, video)])
    written = np.flatnonzero((page[:18] > 100).any(axis=(0, 2)))
    assert page.shape[1] - 30 < written[-1] < page.shape[1] - 4, "as much as fits"
    caption = "an instruction of many words " * 350
    started = time.process_time()
    assert (filmstrip([(caption, video)])[:18] == filmstrip([(caption[:400], video)])[:18]).all()
    assert time.process_time() - started < 1, "10,000 characters took a minute"


def test_overlay_paints_only_labels() -> None:
    video = np.full((1, 4, 4, 3), 100, dtype=np.uint8)
    labels = np.zeros((1, 4, 4), dtype=np.uint8)
    labels[0, 0, :2] = (1, 2)
    painted = overlay(video, labels, alpha=0.5)
    assert painted[0, 0, :3].tolist() == [[50, 178, 50], [178, 50, 50], [100, 100, 100]]
    assert video.max() == 100


def test_unusable_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one row"):
        filmstrip([])
    with pytest.raises(InputError, match="'video'"):
        filmstrip([("video", np.zeros((4, 4, 3), dtype=np.uint8))])
    with pytest.raises(InputError, match="labels"):
        overlay(ramp(2, 4, 4), np.zeros((1, 4, 4), dtype=np.uint8))
