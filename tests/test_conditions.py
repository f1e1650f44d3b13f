"""Layouts of the concatenated conditions, frame by frame."""

import pytest
import torch

from mask2iv.conditions import (
    VideoConditioning,
    only_object,
    trajectory_channels,
    trajectory_conditions,
    video_conditions,
)
from mask2iv.errors import InputError

C, T, H, W = 2, 4, 3, 5


def latents(value: float) -> torch.Tensor:
    return torch.full((2, C, H, W), value)


def build(layout: str, has_target: tuple[bool, bool] = (True, True)) -> torch.Tensor:
    flags = torch.tensor(has_target)
    return trajectory_conditions(layout, latents(1.0), latents(2.0), flags, latents(3.0), T)  # type: ignore[arg-type]


def test_text_layout_repeats_the_first_mask_then_the_image() -> None:
    concat = build("text")
    assert concat.shape == (2, 2 * C, T, H, W)
    assert (concat[:, :C] == 1.0).all()
    assert (concat[:, C:] == 3.0).all()


def test_position_layout_is_zero_between_first_and_last_frame() -> None:
    concat = build("position")
    assert (concat[:, :C, 0] == 1.0).all()
    assert (concat[:, :C, 1:-1] == 0.0).all()
    assert (concat[:, :C, -1] == 2.0).all()
    assert (concat[:, C:] == 3.0).all()


def test_joint_layout_shows_the_target_on_every_frame_and_zero_where_there_is_none() -> None:
    concat = build("joint", (True, False))
    assert concat.shape == (2, trajectory_channels("joint", C) - C, T, H, W)
    assert (concat[0, C : 2 * C] == 2.0).all()
    assert (concat[1, C : 2 * C] == 0.0).all()
    assert (concat[:, :C] == 1.0).all()
    assert (concat[:, 2 * C :] == 3.0).all()


def test_position_layout_needs_a_target_everywhere() -> None:
    with pytest.raises(InputError, match="target mask for every sample"):
        build("position", (True, False))


def test_video_conditions_are_image_then_trajectory() -> None:
    trajectory = torch.arange(T, dtype=torch.float32).view(1, 1, T, 1, 1).expand(2, C, T, H, W)
    concat = video_conditions(VideoConditioning(), latents(3.0), trajectory, T)
    assert (concat[:, :C] == 3.0).all()
    assert torch.equal(concat[:, C:], trajectory)


def test_target_masks_hold_the_object_alone() -> None:
    labels = torch.tensor([[0, 1, 2, 3]], dtype=torch.uint8)
    assert only_object(labels).tolist() == [[0, 0, 2, 0]]
