"""Detection and tracking without networks: squares that move over a textured ground, one of them hidden for a while."""

import cv2
import numpy as np
import pytest

from mask2iv.errors import InputError
from mask2iv.segmentation.flow import FlowSegmenter
from mask2iv.segmentation.grabcut import GrabCut
from mask2iv.segmentation.moving import MotionDetector
from mask2iv.trajectories.measures import iou

FRAMES, HEIGHT, WIDTH, SIDE = 16, 96, 128, 20


def textured(colour: tuple[int, int, int], height: int, width: int, seed: int, spread: int = 20) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, spread, (height, width, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (5, 5), 0) * 2
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def film(xs: list[int], bar: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A red square whose left edge is at xs[t], a still blue one, and perhaps a bar in front of both at columns `bar`.

    Returns the video and what is seen of the red square, bool [T, H, W]."""
    ground = textured((110, 120, 105), HEIGHT, WIDTH, 0, 8)
    ground[70:88, 20:40] = textured((40, 60, 190), 18, 20, 1)
    square = textured((200, 50, 40), SIDE, SIDE, 2)
    video, truth = np.stack([ground] * FRAMES), np.zeros((FRAMES, HEIGHT, WIDTH), dtype=bool)
    for t, x in enumerate(xs):
        video[t, 30 : 30 + SIDE, x : x + SIDE] = square
        truth[t, 30 : 30 + SIDE, x : x + SIDE] = True
        if bar:
            video[t, :, bar[0] : bar[1]] = textured((30, 30, 30), HEIGHT, bar[1] - bar[0], 3)
            truth[t, :, bar[0] : bar[1]] = False
    return video, truth


def test_what_moves_is_boxed_and_what_stands_is_not() -> None:
    video, truth = film([10 + 4 * t for t in range(FRAMES)])
    detect = MotionDetector()
    assert detect.quality == "motion"
    [found, still] = detect([video, video[[0] * FRAMES]], [["red square"], []])
    assert still == []
    assert len(found) == 1
    x, y, w, h = found[0].box
    assert found[0].phrase == ""
    box = np.zeros((HEIGHT, WIDTH), dtype=bool)
    box[int(y) : int(y + h), int(x) : int(x + w)] = True
    assert iou(box, truth[0]) > 0.45
    assert (box & truth[0]).sum() > 0.9 * truth[0].sum()
    assert detect([video], [[]]) == [found], "the same every time"
    with pytest.raises(InputError, match=r"^phrases: "):
        detect([video], [])


def test_a_mask_goes_with_its_thing() -> None:
    video, truth = film([10 + 4 * t for t in range(FRAMES)])
    segment = FlowSegmenter(GrabCut())
    assert segment.quality == "grabcut+flow"
    moving, still = segment(video, [(7, 27, 26, 26), (17, 67, 26, 24)])
    assert min(iou(a, b) for a, b in zip(moving, truth, strict=True)) > 0.85
    assert min(iou(mask, still[0]) for mask in still) > 0.9


def test_a_thing_that_is_hidden_for_a_while_is_found_again() -> None:
    # The bar is wider than the square: in some frames nothing is seen of it.
    video, truth = film([4 + 6 * t for t in range(FRAMES)], bar=(40, 66))
    assert not truth.any(axis=(1, 2)).all()
    [track] = FlowSegmenter(GrabCut())(video, [(1, 27, 26, 26)])
    for t in range(FRAMES):
        if truth[t].sum() == SIDE * SIDE:
            assert iou(track[t], truth[t]) > 0.8, f"frame {t}"
        elif not truth[t].any():
            assert track[t].sum() < 0.15 * SIDE * SIDE, f"frame {t}"


def test_a_thing_that_stands_is_not_carried_off_by_what_passes_in_front() -> None:
    video, _ = film([4 + 6 * t for t in range(FRAMES)])
    truth = np.zeros((HEIGHT, WIDTH), dtype=bool)
    truth[70:88, 20:40] = True
    for t in range(FRAMES):
        video[t, 60:96, max(0, 8 * t - 30) : 8 * t] = (240, 220, 60)
    [track] = FlowSegmenter(GrabCut())(video, [(17, 67, 26, 24)])
    assert iou(track[0], truth) > 0.9
    assert iou(track[-1], truth) > 0.85, "it is seen again where it was"


def test_boxes_without_a_thing_give_empty_tracks() -> None:
    video, _ = film([10] * FRAMES)
    flat = np.full_like(video, 90)
    segment = FlowSegmenter(GrabCut())
    assert segment(video, []).shape == (0, FRAMES, HEIGHT, WIDTH)
    assert not segment(flat, [(20, 20, 20, 20)]).any()
    assert not segment(video, [(0, 0, WIDTH, HEIGHT), (5, 5, 2, 2)]).any()
    with pytest.raises(InputError, match=r"^boxes: .* does not meet the picture of 128x96"):
        segment(video, [(200, 5, 10, 10)])
