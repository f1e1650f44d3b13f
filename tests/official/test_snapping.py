"""An imported model reads its pictures channel by channel, and its stage 2 sees what its stage 1 painted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mask2iv.contract import Trajectory
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_folder

IMAGE = np.full((32, 64, 3), 90, dtype=np.uint8)
MASK = np.zeros((32, 64), dtype=bool)
MASK[8:20, 10:30] = True


@pytest.fixture
def pipeline(small: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(small / "joined")


def call(method: Any, *args: Any, **flags: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    return method(*args, num_inference_steps=1, generator=generator, progress=False, **flags)


def test_stage_1_is_read_channel_by_channel(pipeline: Mask2IVPipeline) -> None:
    last: list[torch.Tensor] = []

    def watch(_: Any, __: int, ___: int, state: dict[str, Any]) -> dict[str, Any]:
        last.append(state["latents"])
        return {}

    [trajectory] = call(pipeline.trajectory, IMAGE, MASK, "a hand pushing a box", callback_on_step_end=watch)
    with torch.no_grad():
        red, green, blue = (pipeline.encoder.codec.decode(last[-1])[0] >= 0).numpy()
    assert (red & green).any(), "weights at random paint all colours"
    np.testing.assert_array_equal(trajectory.labels == 2, red | blue)
    np.testing.assert_array_equal(trajectory.labels == 1, green & ~red & ~blue)
    np.testing.assert_array_equal(trajectory.painted, np.stack([red, green, blue], axis=-1) * np.uint8(255))


def test_stage_2_sees_the_colours_from_stage_1_and_from_disk(pipeline: Mask2IVPipeline, tmp_path: Path) -> None:
    prompt = "a hand pushing a box"
    both = call(pipeline, IMAGE, MASK, prompt, video_num_inference_steps=1)
    [trajectory] = both.trajectory
    save_trajectory_folder(trajectory, tmp_path / "plan")
    [rendered] = call(pipeline.render, IMAGE, load_trajectory(tmp_path / "plan"))
    np.testing.assert_array_equal(rendered, both.frames[0])
    [of_labels] = call(pipeline.render, IMAGE, Trajectory(trajectory.labels, trajectory.fps))
    assert (of_labels != rendered).any(), "labels alone are another picture"
    # A model of our own colours knows labels only.
    pipeline.config = replace(pipeline.config, snapping="nearest")
    np.testing.assert_array_equal(call(pipeline.render, IMAGE, trajectory)[0], of_labels)
