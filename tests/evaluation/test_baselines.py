"""Trivial baselines, on a clip whose measures are known."""

import numpy as np
import pytest

from mask2iv.contract import Clip, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.evaluation.measures import baselines, metrics
from mask2iv.trajectories.scoring import movement

FRAMES, HEIGHT, WIDTH = 9, 60, 80


def carried() -> Clip:
    """An actor comes from the right edge and carries an object of 10x10 pixels to the left and up, along an arc."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    for t, frame in enumerate(labels):
        progress = max(0, t - 2) / (FRAMES - 3)
        top = round(40 - 20 * progress - 12 * np.sin(np.pi * progress))
        left = round(50 - 33 * progress)
        frame[top : top + 10, left : left + 10] = Label.OBJECT
        frame[top + 2 : top + 8, left + (30 - 10 * t if t < 2 else 10) : WIDTH] = Label.ACTOR
    video = np.repeat(labels[..., None] * np.uint8(60), 3, axis=-1)
    return Clip("arc", video, Trajectory(labels, 8.0), "a hand moving a box to the left", "moving", "box", "hand")


def measures(trajectory: Trajectory, clip: Clip) -> tuple[float, float, float, tuple[int, int]]:
    return (
        movement.final_distance(trajectory, clip.target_mask, clip.object_mask)[0],
        metrics.object_iou(trajectory, clip.trajectory),
        metrics.actor_iou(trajectory, clip.trajectory),
        movement.moving_and_touching(trajectory),
    )


def test_the_true_trajectory_is_the_upper_bound() -> None:
    clip = carried()
    distance, object_iou, actor_iou, (moving, touching) = measures(clip.trajectory, clip)
    assert (distance, object_iou, actor_iou) == (0.0, 1.0, 1.0)
    assert moving == touching == 6
    assert movement.goes(clip.trajectory, "left")


def test_a_sliding_object_arrives_without_an_actor() -> None:
    clip = carried()
    slide = baselines.object_slides(clip)
    distance, object_iou, actor_iou, (moving, touching) = measures(slide, clip)
    assert distance < 1 / 100
    assert 0.2 < object_iou < 0.9
    assert actor_iou == 0.0
    assert (moving, touching) == (FRAMES - 1, 0)
    assert np.array_equal(slide.object[0], clip.object_mask)
    assert (slide.object.sum(axis=(1, 2)) == 100).all()
    assert movement.goes(slide, "left")


def test_an_object_that_stays_is_as_far_as_the_way_is_long() -> None:
    clip = carried()
    distance, object_iou, actor_iou, moved = measures(baselines.object_stays(clip), clip)
    assert distance == pytest.approx(np.hypot(20, 33) / 100)
    assert 2 / 8 < object_iou < 0.5
    assert (actor_iou, moved) == (0.0, (0, 0))


def test_a_sliding_object_is_cut_off_at_the_edge() -> None:
    clip = carried()
    clip.trajectory.labels[-1] = 0
    clip.trajectory.labels[-1, 0:2, 0:2] = Label.OBJECT
    last = baselines.object_slides(clip).object[-1]
    assert 0 < last.sum() < 100
    assert last[0, 0]


def test_a_slide_needs_an_end() -> None:
    clip = carried()
    clip.trajectory.labels[-1] = 0
    with pytest.raises(InputError, match="clip arc: the object must be visible in the first and in the last frame"):
        baselines.object_slides(clip)


def test_a_still_is_the_first_frame() -> None:
    clip = carried()
    still = baselines.repeat_first_frame(clip)
    assert still.shape == clip.video.shape
    assert (still == clip.video[0]).all()


def test_a_pasted_object_is_the_first_frames_where_the_masks_are() -> None:
    clip = carried()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    room = np.stack([90 + x % 3, 100 + y % 3, 110 + 0 * x], axis=-1).astype(np.uint8)
    image = room.copy()
    image[clip.object_mask] = (200, 40, 60)
    image[40:50, 50:55][clip.object_mask[40:50, 50:55]] = (40, 200, 60)
    pasted = baselines.pasted_object(image, clip.trajectory)
    assert pasted.shape == clip.video.shape
    assert np.array_equal(pasted[0], image)
    last = clip.trajectory.object[-1]
    top, left = np.argwhere(last).min(axis=0)
    assert np.abs(pasted[-1][top + 1 : top + 9, left + 1 : left + 4].astype(int) - (40, 200, 60)).max() < 30
    assert np.abs(pasted[-1][top + 1 : top + 9, left + 7 : left + 9].astype(int) - (200, 40, 60)).max() < 30
    assert np.abs(pasted[-1][~last].astype(int) - room[~last]).max() < 10, "no actor, and the hole is filled in"


def test_a_mask_that_grows_is_painted_in_the_objects_colours() -> None:
    """The masks allow for no motion that covers the new pixels: they take the colour of the nearest ones."""
    labels = np.zeros((2, HEIGHT, WIDTH), dtype=np.uint8)
    labels[0, 20:30, 20:30] = labels[1, 20:30, 20:60] = Label.OBJECT
    image = np.full((HEIGHT, WIDTH, 3), 120, dtype=np.uint8)
    image[20:30, 20:30] = (200, 40, 60)
    assert (baselines.pasted_object(image, Trajectory(labels))[1][labels[1] > 0] == (200, 40, 60)).all()


def test_pasting_needs_the_object() -> None:
    with pytest.raises(InputError, match="trajectory: its first frame lacks the object"):
        baselines.pasted_object(np.zeros((4, 4, 3), np.uint8), Trajectory(np.zeros((2, 4, 4), np.uint8)))
