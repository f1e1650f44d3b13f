"""The painter's input of the first frame's actor, and the discriminator of its maps."""

import cv2
import numpy as np
import pytest
import torch

from mask2iv.backbones.planning.painter import moved_actors
from mask2iv.contract import Label
from mask2iv.models.discriminator import PatchDiscriminator
from mask2iv.trajectories.distances import distance_map
from mask2iv.trajectories.plan import plan_of

SIZE = (96, 160)


def labels_of(*places: tuple[int, int, int]) -> np.ndarray:
    """A square at (down, right), and a fork with two prongs that touches its right side and comes from the border,
    `lower` pixels further down."""
    labels = np.zeros((len(places), *SIZE), np.uint8)
    for frame, (down, right, lower) in zip(labels, places, strict=True):
        x, y = 60 + right, 40 + down
        cv2.line(frame, (x + 16, y), (SIZE[1] - 1, y + lower), int(Label.ACTOR), 9)
        for prong in (-8, 8):
            cv2.line(frame, (x, y + prong), (x + 16, y + prong // 2), int(Label.ACTOR), 5)
        frame[y - 12 : y + 12, x - 24 : x] = Label.OBJECT
    return labels


def moved(labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The first frame's actor moved along, and the true one, distances [T, h, w]."""
    plan = plan_of(labels)
    numbers = torch.from_numpy(plan.to_array()).float()[None]
    true = torch.from_numpy(np.stack([distance_map(frame == Label.ACTOR) for frame in labels])).float()
    found = moved_actors(numbers, numbers[:, 0], torch.tensor([plan.start], dtype=torch.float32), true[None, :1])
    assert (found[:, :, 1] == -1).all(), "there is no second actor"
    return found[0, :, 0], true


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def test_a_hand_goes_with_its_plan_and_keeps_its_shape() -> None:
    found, true = moved(labels_of((0, 0, 0), (10, 20, 0), (-8, 12, 0)))
    for t in range(3):
        assert overlap(found[t], true[t]) > 0.75, t
    assert overlap(true[0], true[1]) < 0.5, "it has moved"


def test_an_actor_that_is_not_in_the_first_frame_is_not_made_up() -> None:
    labels = labels_of((0, 0, 0), (10, 20, 0))
    labels[0][labels[0] == Label.ACTOR] = 0
    found, _ = moved(labels)
    assert (found == -1).all()


def test_coordinates_are_exact_in_half_precision() -> None:
    labels = labels_of((0, 0, 0), (10, 20, 6))
    exact, _ = moved(labels)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = moved(labels)
    assert (exact - half).abs().max() < 0.02


@pytest.mark.parametrize(("patch", "expected"), [(2, (5, 8)), (1, (20, 32))])
def test_a_discriminator_of_small_maps_judges_smaller_places(patch: int, expected: tuple[int, int]) -> None:
    net = PatchDiscriminator(5, (8, 8), patch=patch)
    verdict, features = net(torch.zeros(2, 5, 40, 64))
    assert verdict.shape == (2, 1, *expected)
    assert len(features) == 2
