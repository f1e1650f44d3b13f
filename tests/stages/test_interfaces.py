"""Other stages than the model's fit behind the two interfaces: pipeline, commands' door and evaluation take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv import InputError, Mask2IVPipeline, Scene, Trajectory
from mask2iv.contract import Label, UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.evaluation.per_clip.outputs import EvaluationConfig, ModelOutputs
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.loaded import LoadedModel
from mask2iv.generation.options import Sampling
from mask2iv.stages.interfaces import SamplingOptions, TrajectoryPredictor, VideoRenderer, VideoRequest
from mask2iv.stages.trivial import PastedObject, SlidingObject
from mask2iv.trajectories.measures import centroid


@dataclass
class ActorOnly:
    """A renderer of another kind: it takes text and no masks, and any number of frames."""

    size_multiple: int = 8
    takes_masks: bool = False
    takes_text: bool = True
    num_frames: int | None = None

    def render(
        self, requests: Sequence[VideoRequest], seeds: Sequence[int], options: SamplingOptions
    ) -> list[UInt8Array]:
        return [np.repeat(one.image[None], len(one.prompt), axis=0) for one in requests]


@pytest.fixture
def pipe(tiny_model: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def clips(tiny_clips: Path) -> ClipSet:
    return ClipSet(tiny_clips)


def test_a_trivial_predictor_and_renderer_take_the_places_of_the_models(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]
    predictor: TrajectoryPredictor = SlidingObject(num_frames=6)
    renderer: VideoRenderer = PastedObject()
    pipe.predictor, pipe.renderer = predictor, renderer
    output = pipe(clip.image, clip.object_mask, target_mask=clip.target_mask, generator=[0], progress=False)
    [trajectory], [video] = output.trajectory, output.frames
    assert trajectory.labels.shape == video.shape[:3] == (6, *clip.image.shape[:2])
    assert np.allclose(centroid(trajectory.object[-1]), centroid(clip.target_mask), atol=1.0)
    assert np.array_equal(video[0], clip.image)
    assert not (trajectory.labels == Label.ACTOR).any()
    pipe.predictor = pipe.renderer = None
    assert pipe.trajectory_stage is not None
    assert (pipe(clip.image, clip.object_mask, "a hand", generator=[0], progress=False).trajectory[0].num_frames) == 4


def test_evaluation_and_the_commands_door_take_them_too(
    pipe: Mask2IVPipeline, clips: ClipSet, tiny_model: Path
) -> None:
    pipe.predictor, pipe.renderer = SlidingObject(num_frames=4), PastedObject()
    [outputs] = ModelOutputs(pipe, EvaluationConfig(stage="end-to-end", condition="position")).outputs([clips[0]])
    [(video, asked)] = outputs.videos["end_to_end"]
    assert video.shape[0] == asked.num_frames == 4
    model = LoadedModel("generate", Sampling(model=str(tiny_model), threads=1), Acceleration(), progress=False)
    model.pipeline.renderer = PastedObject()
    clip = clips[0]
    [made] = model.make([Scene.read(clip.image, clip.object_mask, "a hand pushing a box")], [3])
    assert isinstance(made.trajectory, Trajectory)
    assert made.video is not None
    assert np.array_equal(made.video[0], clip.image)


def test_what_a_renderer_does_not_take_is_refused(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]
    pipe.renderer = ActorOnly()
    with pytest.raises(InputError, match="trajectory: this model's stage 2 takes no masks"):
        pipe.render(clip.image, clip.trajectory, prompt="a hand")
    with pytest.raises(InputError, match="prompt: this model's stage 2 takes one"):
        pipe.render(clip.image)
    assert len(pipe.render(clip.image, prompt="a hand", progress=False)[0]) == 6
    assert pipe.render_inputs(clip.trajectory, "a hand") == {"trajectory": None, "prompt": "a hand"}
    pipe.renderer = PastedObject(num_frames=7)
    with pytest.raises(InputError, match="trajectory: it has 4 frames, this model renders 7"):
        pipe.render(clip.image, clip.trajectory)


def test_raising_in_a_callback_cancels_and_the_next_call_is_as_ever(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip, steps = clips[0], []

    def cancel(_: object, step: int, *__: object) -> dict[str, torch.Tensor]:
        steps.append(step)
        if step == 1:
            raise KeyboardInterrupt
        return {}

    def labels(**options: object) -> UInt8Array:
        [found] = pipe.trajectory(
            clip.image, clip.object_mask, "a hand", generator=[5], num_inference_steps=4, progress=False,
            **options,  # type: ignore[arg-type]
        )  # fmt: skip
        return found.labels

    before = labels()
    with pytest.raises(KeyboardInterrupt):
        labels(callback_on_step_end=cancel)
    assert steps == [0, 1]
    assert np.array_equal(labels(), before)


def test_a_scene_is_resized_with_its_masks() -> None:
    image = np.zeros((8, 16, 3), np.uint8)
    mask, dot = np.zeros((8, 16), bool), np.zeros((8, 16), bool)
    mask[:4, :4] = dot[7, 15] = True
    scene = Scene.read(image, mask, target_mask=mask[:, ::-1], actor_mask=mask[::-1])
    half = scene.at((4, 8))
    assert half.labels[0, 0] == Label.OBJECT
    assert half.labels[3, 0] == Label.ACTOR
    assert half.target_labels is not None
    assert half.target_labels[0, 7] == Label.OBJECT
    assert half.at((4, 8)) is half
    with pytest.raises(InputError, match="target_mask: it covers 1 pixels and vanishes at 2x4"):
        Scene.read(image, mask, target_mask=dot).at((2, 4))
