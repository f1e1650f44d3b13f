"""Layouts of the concatenated conditions, frame by frame."""

import pytest
import torch

from mask2iv.backbones.dynamicrafter.conditions import trajectory_conditions, video_conditions
from mask2iv.backbones.dynamicrafter.sizes import trajectory_channels, video_channels
from mask2iv.errors import InputError
from mask2iv.stages.conditioning import VideoConditioning
from mask2iv.trajectories.labels import only_actors, only_object

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


def masks() -> torch.Tensor:
    return torch.arange(T, dtype=torch.float32).view(1, 1, T, 1, 1).expand(2, C, T, H, W) + 10


@pytest.mark.parametrize(
    ("conditioning", "parts"),
    [
        (VideoConditioning(), ["image", "masks"]),
        (VideoConditioning(masks="actor"), ["image", "masks"]),
        (VideoConditioning(control="controlnet", masks="actor"), ["image", "masks"]),
        (VideoConditioning(control="none", text=True), ["image"]),
        (VideoConditioning(masks="actor", frames_together=False), ["image", "first", "masks"]),
    ],
)
def test_each_system_is_given_its_own_channels(conditioning: VideoConditioning, parts: list[str]) -> None:
    image, given = latents(3.0), masks()
    every = {"image": image.unsqueeze(2).expand(-1, -1, T, -1, -1), "masks": given, "first": given[:, :, :1]}
    expected = torch.cat([every[name].expand(2, C, T, H, W) for name in parts], dim=1)
    assert torch.equal(video_conditions(conditioning, image, given, T), expected)
    seen_by_unet = len(parts) - (conditioning.control == "controlnet")
    assert video_channels(conditioning, C) == C * (1 + seen_by_unet)


def test_a_system_sees_the_labels_that_it_may() -> None:
    labels = torch.tensor([[0, 1, 2, 3]], dtype=torch.uint8)
    assert torch.equal(VideoConditioning().shown(labels), labels)
    assert torch.equal(VideoConditioning(masks="actor").shown(labels), only_actors(labels))
    assert only_actors(labels).tolist() == [[0, 1, 0, 3]]
    assert not VideoConditioning(control="none").shown(labels).any()


def test_conditionings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"video_conditioning\.control: must be one of concat, controlnet, none"):
        VideoConditioning(control="lora")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="frames_together: false needs control='concat'"):
        VideoConditioning(control="none", frames_together=False)
    with pytest.raises(InputError, match="follows masks; give a trajectory"):
        video_conditions(VideoConditioning(), latents(3.0), None, T)
