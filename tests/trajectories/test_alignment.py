import cv2
import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.trajectories.alignment import clean_plate, object_transforms, warp_image, warp_mask

SIZE = (96, 128)


def shape(centre=(40.0, 50.0), angle=0.0, scale=1.0):
    """An L of about 30 pixels, whose rotation its mask shows."""
    points = np.array([[-12, -16], [-2, -16], [-2, 6], [14, 6], [14, 16], [-12, 16]], dtype=np.float64) * scale
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [np.round(points @ turn.T + (centre[1], centre[0])).astype(np.int32)], 1)
    return mask.astype(bool)


def labels_of(*masks, actor=None):
    labels = np.zeros((len(masks), *SIZE), np.uint8)
    for frame, mask in zip(labels, masks, strict=True):
        frame[mask] = Label.OBJECT
    if actor is not None:
        labels[-1][actor] = Label.ACTOR
    return labels


def overlap(first, transform, mask):
    laid = warp_mask(first, transform)
    return (laid & mask).sum() / (laid | mask).sum()


def angle_of(transform):
    return np.arctan2(transform[1, 0], transform[0, 0])


def test_shift_turn_and_scale_are_found():
    steps = [((40 + 2 * t, 50 + 3 * t), 0.12 * t, 1 + 0.03 * t) for t in range(8)]
    masks = [shape(*step) for step in steps]
    transforms = object_transforms(labels_of(*masks))
    assert np.allclose(transforms[0], np.eye(2, 3))
    for transform, mask, (_, angle, scale) in zip(transforms, masks, steps, strict=True):
        assert overlap(masks[0], transform, mask) > 0.88
        assert angle_of(transform) == pytest.approx(angle, abs=0.1)
        assert np.hypot(transform[0, 0], transform[1, 0]) == pytest.approx(scale, abs=0.06)


def test_a_hand_over_half_of_the_object_does_not_shift_it():
    start, end = shape(), shape((48, 70))
    actor = np.zeros(SIZE, bool)
    actor[30:70, 70:] = True
    transforms = object_transforms(labels_of(start, end, actor=actor))
    assert overlap(start, transforms[-1], end) > 0.85
    visible = np.argwhere(end & ~actor).mean(axis=0)
    assert np.abs(visible - np.argwhere(end).mean(axis=0)).max() > 3  # the centroid alone would be wrong


def test_an_object_that_leaves_the_picture_is_not_shrunk():
    steps = [(40, 50 + 12 * t) for t in range(7)]
    masks = [shape(step) for step in steps]
    assert masks[-1].sum() < 0.85 * masks[0].sum()
    transform = object_transforms(labels_of(*masks))[-1]
    assert np.hypot(transform[0, 0], transform[1, 0]) == pytest.approx(1, abs=0.08)
    assert transform[0, 2] == pytest.approx(72, abs=4)


def test_frames_without_the_object_keep_its_last_motion():
    none = np.zeros(SIZE, bool)
    transforms = object_transforms(labels_of(shape(), shape((50, 60)), none))
    assert np.array_equal(transforms[1], transforms[2])
    assert np.array_equal(object_transforms(labels_of(none, shape())), np.repeat(np.eye(2, 3)[None], 2, axis=0))


def test_pictures_move_as_masks_do():
    mask = shape()
    image = np.full((*SIZE, 3), 30, np.uint8)
    image[mask] = (200, 40, 90)
    shift = np.array([[1.0, 0, 20], [0, 1, 10]])
    moved = warp_image(image, shift)
    assert np.array_equal((moved == (200, 40, 90)).all(axis=-1), warp_mask(mask, shift))


def test_the_plate_has_no_object_and_the_same_elsewhere():
    mask = shape()
    image = np.tile(np.linspace(60, 120, SIZE[1]).astype(np.uint8)[None, :, None], (SIZE[0], 1, 3))
    painted = image.copy()
    painted[mask] = (250, 0, 0)
    plate = clean_plate(painted, mask)
    assert np.abs(plate.astype(int) - image).max() < 12
    assert np.array_equal(clean_plate(image, np.zeros(SIZE, bool)), image)
