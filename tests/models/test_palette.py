"""An actor's colours: read off a clip, and chosen where the first frame does not tell them."""

import numpy as np
import pytest
import torch

from mask2iv.contract import Label
from mask2iv.models.palette import actor_palette, chosen_palette

SKIN, SLEEVE, ROOM = (200, 150, 120), (20, 60, 200), (90, 90, 90)


def clip(frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """An arm from the right: hand beside the object, sleeve behind."""
    labels = np.zeros((frames, 40, 60), np.uint8)
    labels[:, 15:25, 10:20] = Label.OBJECT
    labels[:, 16:24, 20:60] = Label.ACTOR
    video = np.full((frames, 40, 60, 3), ROOM, np.uint8)
    video[:, 16:24, 20:34], video[:, 16:24, 34:60] = SKIN, SLEEVE
    return video, labels


def colours(palette: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in np.round((part + 1) * 127.5)) for part in palette]


def test_hand_and_sleeve_are_told_apart() -> None:
    palette = actor_palette(*clip())
    assert palette is not None
    assert colours(palette) == [SKIN, SLEEVE]


def test_no_actor_no_palette() -> None:
    video, labels = clip()
    assert actor_palette(video, np.where(labels == Label.ACTOR, 0, labels).astype(np.uint8)) is None


@pytest.mark.parametrize("shown", [True, False])
def test_colours_are_the_first_frames_or_those_of_the_nearest_clip(shown: bool) -> None:
    video, labels = clip()
    bank = torch.tensor([[[0.9, 0.9, 0.9], [0.9, 0.0, 0.0]], [[0.5, 0.2, 0.0], [-0.8, -0.5, 0.5]]])
    decoded = (0.5 * video + 0.5 * 110).astype(np.uint8)  # what a small network makes of it: faded
    if not shown:
        labels[0][labels[0] == Label.ACTOR] = 0
    found = chosen_palette(bank, video[0], decoded, labels)
    if shown:
        assert colours(found) == [SKIN, SLEEVE]
    else:
        assert np.allclose(found, bank[1].numpy())
