from __future__ import annotations

import pytest
import torch

from mask2iv.diffusion.losses import contact_weight, foreground_weight, mse, weighted_mse, weighted_squares
from mask2iv.errors import InputError


def blank(height: int = 16, width: int = 16, frames: int = 1) -> torch.Tensor:
    return torch.zeros(1, frames, height, width, dtype=torch.uint8)


def test_mse_by_hand():
    loss = mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    assert loss.item() == 2.5
    assert loss.shape == ()


def test_weights_multiply_the_error_before_the_square():
    prediction, target = torch.ones(1, 2, 1, 1, 2), torch.zeros(1, 2, 1, 1, 2)
    weights = torch.tensor([5.0, 1.0]).reshape(1, 1, 1, 1, 2)
    assert weighted_mse(prediction, target, weights).item() == 13.0  # (25 + 1) / 2
    assert weighted_mse(prediction, target, None).item() == 1.0


def test_stage_1s_weights_multiply_the_squared_error():
    prediction, target = torch.full((1, 2, 1, 1, 2), 3.0), torch.zeros(1, 2, 1, 1, 2)
    weights = torch.tensor([5.0, 1.0]).reshape(1, 1, 1, 1, 2)
    assert weighted_squares(prediction, target, weights).item() == 27.0  # (5 * 9 + 9) / 2, not (25 * 9 + 9) / 2
    assert weighted_squares(prediction, target, None).item() == 9.0


def test_stage_1s_loss_by_hand():
    """(target - prediction)^2 * (1 + 4 m) on a latent grid of 1/8, two frames of 16 x 32 pixels: 2 x 4 cells each."""
    labels = blank(16, 32, frames=2)
    labels[0, :, :8, :8], labels[0, :, :8, 8:16] = 1, 2  # actor in the first cell, object in the second
    labels[0, :, 8:, 1:8] = 2  # all of the cell below the first but its left column, with its first pixel
    labels[0, :, 8:9, 8:9] = 2  # one pixel of the cell beside it, its first
    error = torch.arange(1.0, 17.0).reshape(1, 1, 2, 2, 4)
    # First frame: actor, object and the cell whose first pixel is object; in the last frame the actor does not count.
    five_fold = [1, 2, 6, 10, 14]
    expected = sum(n * n * (5 if n in five_fold else 1) for n in range(1, 17)) / 16
    weights = foreground_weight(labels, (2, 4))
    assert weighted_squares(error, torch.zeros_like(error), weights).item() == expected
    # As in earlier versions: by area, every frame, and before the square.
    cell = 1 + 4 * 56 / 64
    one, other = [5.0, 5.0, 1.0, 1.0], [cell, 1 + 4 / 64, 1.0, 1.0]
    assert foreground_weight(labels, (2, 4), multiplies="error").flatten().tolist() == (one + other) * 2


def test_gradient_of_the_weighted_loss():
    prediction = torch.zeros(1, 1, 1, 1, 2, requires_grad=True)
    weighted_mse(prediction, torch.ones(1, 1, 1, 1, 2), torch.tensor([[[[[5.0, 1.0]]]]])).backward()
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == [-25.0, -1.0]


def test_half_precision_errors_are_squared_in_float32():
    prediction = torch.full((1, 1), 300.0, dtype=torch.float16)
    assert mse(prediction, torch.zeros_like(prediction)).item() == 90000.0  # beyond float16


def test_foreground_cells_count_whatever_the_label():
    labels = blank(frames=2)
    labels[0, :, :8, :8], labels[0, :, :8, 8:], labels[0, :, 8:, :8] = 1, 2, 3
    weights = foreground_weight(labels, (2, 2))
    assert weights.shape == (1, 1, 2, 2, 2)
    assert weights.flatten().tolist() == [5.0, 5.0, 5.0, 1.0, 1.0, 5.0, 1.0, 1.0]  # the last frame's object alone


def test_cells_on_an_outline_count_by_covered_area():
    labels = blank(8, 16)
    labels[0, 0, :, :2] = 2  # a quarter of the left cell
    assert contact_weight(labels, (1, 2), 3.0, contact_map="hand-or-object").flatten().tolist() == [1.5, 1.0]


def test_weights_of_frames_and_samples_stay_apart():
    labels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    labels[1, 1] = 1
    weights = foreground_weight(labels, (1, 1))
    assert weights.flatten().tolist() == [1, 1, 1, 1, 5, 1]


def test_contact_map_by_hand():
    labels = blank(1, 16)
    labels[0, 0, 0, :6], labels[0, 0, 0, 7:] = 1, 2  # a gap of one pixel
    # 7-wide dilation reaches 3 pixels: actor to column 8, object to column 4.
    expected = [1.0] * 4 + [5.0] * 2 + [1.0] + [5.0] * 2 + [1.0] * 7
    assert contact_weight(labels, (1, 16)).flatten().tolist() == expected


def test_the_contact_map_of_the_released_data_is_hand_or_object():
    labels = blank(1, 16)
    labels[0, 0, 0, :3], labels[0, 0, 0, 9:12], labels[0, 0, 0, 14:] = 1, 2, 3  # far apart: nothing touches
    expected = [5.0] * 3 + [1.0] * 6 + [5.0] * 3 + [1.0] * 2 + [5.0] * 2
    assert contact_weight(labels, (1, 16), contact_map="hand-or-object").flatten().tolist() == expected


def test_contact_weight_needs_both_and_close_by():
    far = blank()
    far[0, 0, :2], far[0, 0, 14:] = 1, 2
    only_actor = blank()
    only_actor[0, 0, 4:8] = 1
    for labels in (far, only_actor, blank()):
        assert (contact_weight(labels, (2, 2)) == 1).all()


def test_second_actor_touches_too():
    labels = blank()
    labels[..., :8], labels[..., 8:] = 3, 2
    swapped = labels.clone()
    swapped[labels == 3] = 1
    assert torch.equal(contact_weight(labels, (4, 4)), contact_weight(swapped, (4, 4)))
    assert contact_weight(labels, (4, 4)).max() > 1


def test_thin_contact_never_vanishes_on_the_latent_grid():
    labels = blank(64, 64)
    labels[0, 0, 30, 29], labels[0, 0, 30, 30] = 1, 2
    weights = contact_weight(labels, (8, 8), weight=5.0)
    assert weights.mean().item() == pytest.approx(1 + 4 * 2 / 64**2)  # two pixels of contact, total weight kept


def test_latent_grid_that_does_not_divide_the_frame():
    labels = blank(20, 28)
    labels[...] = 2
    assert (foreground_weight(labels, (3, 4)) == 5).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mse(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2)), "weighted_mse"),
        (lambda: weighted_mse(torch.zeros(1, 2), torch.zeros(1, 1), None), "target"),
        (lambda: weighted_mse(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(3, 2)), "weights"),
        (lambda: foreground_weight(torch.zeros(1, 1, 8, 8), (1, 1)), "uint8"),
        (lambda: foreground_weight(blank(), (32, 16)), "latent_size"),
        (lambda: contact_weight(blank(), (2, 2), weight=0.0), "positive"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
