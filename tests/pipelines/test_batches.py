"""Outputs computed together are those computed alone, and shared inputs are encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UniPCMultistepScheduler

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder, join_conditions
from mask2iv.data.store import ClipSet
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.errors import InputError
from mask2iv.pipelines.pipeline import Mask2IVOutput, Mask2IVPipeline
from mask2iv.stages.sampling import homogeneous_batches

PROMPTS = ["a hand pushing a box to the right", None, "a hand pushing a can to the left", "a hand pushing a book"]
STEPS = {"num_inference_steps": 3, "video_num_inference_steps": 2, "progress": False}


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> Mask2IVPipeline:
    """Trained for a few steps only, so with noise at every step and guidance that shows."""
    loaded = Mask2IVPipeline.from_pretrained(tiny_model)
    config = replace(loaded.config, guidance_scale=3.0, target_guidance_scale=2.0, guidance_rescale=0.5)
    parts = loaded.components
    parts["scheduler"] = DDIMScheduler.from_config(parts["scheduler"].config, eta=1.0)
    return Mask2IVPipeline(config, **parts)


@pytest.fixture(scope="module")
def clips(tiny_clips: Path) -> ClipSet:
    return ClipSet(tiny_clips)


def generate(pipe: Mask2IVPipeline, clips: ClipSet, **options: object) -> Mask2IVOutput:
    """Prompt only, target only, both, prompt only."""
    first = [clips[index] for index in range(4)]
    targets = [None, first[1].target_mask, first[2].target_mask, None]
    output = pipe(
        [clip.image for clip in first], [clip.object_mask for clip in first], PROMPTS, targets,
        generator=[11, 12, 13, 14], **STEPS, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    assert isinstance(output, Mask2IVOutput)
    return output


def assert_close(one: Mask2IVOutput, other: Mask2IVOutput) -> None:
    for first, second in zip(one.trajectory, other.trajectory, strict=True):
        assert (first.labels == second.labels).mean() > 0.999
    for video, again in zip(one.frames, other.frames, strict=True):
        assert np.abs(video.astype(int) - again.astype(int)).max() <= 2


@contextmanager
def batches_of(module: torch.nn.Module) -> Iterator[list[int]]:
    """Batch sizes of a network's calls."""
    seen: list[int] = []

    def note(_: torch.nn.Module, given: tuple[torch.Tensor, ...], keywords: dict[str, torch.Tensor]) -> None:
        seen.append(len(given[0] if given else next(iter(keywords.values()))))

    hook = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++", "unipc"])
def test_outputs_of_mixed_conditions_are_the_same_together_and_alone(
    pipe: Mask2IVPipeline, clips: ClipSet, sampler: str
) -> None:
    alone, together = (generate(pipe, clips, batch_size=size, sampler=sampler) for size in (1, 4))
    assert_close(alone, together)
    flat = [trajectory.labels for trajectory in alone.trajectory]
    assert not any(np.array_equal(flat[0], other) for other in flat[1:]), "four different answers are compared"


def test_alone_is_the_default_and_exact(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    default, alone = generate(pipe, clips), generate(pipe, clips, batch_size=1)
    for one, other in zip(default.frames, alone.frames, strict=True):
        assert np.array_equal(one, other)


def test_latents_agree_to_rounding(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    """Far below what changes a pixel: a wrong seed or branch of one sample shows here at once."""

    def last(batch_size: int) -> torch.Tensor:
        seen: dict[int, list[torch.Tensor]] = {}

        def keep(_: Mask2IVPipeline, step: int, timestep: int, state: dict[str, torch.Tensor]) -> dict:
            seen.setdefault(step, []).append(state["latents"])
            return {}

        clip = clips[2]
        pipe.trajectory(
            clip.image, clip.object_mask, PROMPTS[2], clip.target_mask, num_videos_per_prompt=3, generator=[1, 2, 3],
            num_inference_steps=3, batch_size=batch_size, callback_on_step_end=keep, progress=False,
        )  # fmt: skip
        return torch.cat(seen[2])

    alone, together = last(1), last(2)
    assert alone.shape[0] == 3
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_batches_are_of_one_kind_and_stack_the_guidance_branches(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    assert pipe.trajectory_stage is not None
    assert pipe.video_stage is not None
    with batches_of(pipe.trajectory_stage.unet) as first, batches_of(pipe.video_stage.unet) as second:
        generate(pipe, clips, batch_size=4)
        # Per step: two outputs with two branches, one with two, one with three.
        assert first == [4] * 3 + [2] * 3 + [3] * 3
        assert second == [4] * 2
        first.clear()
        generate(pipe, clips)
        assert set(first) == {1}, "alone, branches are separate calls"


def test_samples_of_one_image_encode_it_once(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]

    def calls(batch_size: int) -> tuple[int, int]:
        with batches_of(pipe.encoder.image_encoder) as images, batches_of(pipe.encoder.text_encoder) as texts:
            pipe(
                clip.image, clip.object_mask, PROMPTS[0], num_videos_per_prompt=3, generator=[1, 2, 3],
                batch_size=batch_size, **STEPS,
            )  # fmt: skip
        return len(images), len(texts)

    assert calls(1) == calls(2) == (1, 2), "one image; the prompt and the empty text"


def test_a_variational_autoencoder_still_draws_from_each_seed(tiny_model: Path, clips: ClipSet) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4, latent_channels=4,
    )  # fmt: skip
    parts = Mask2IVPipeline.from_pretrained(tiny_model)
    encoder = Mask2IVPipeline(replace(parts.config, latent_patch=1), **{**parts.components, "vae": vae.eval()}).encoder
    shared, image = SharedEncoder(encoder), clips[0].image
    one, other, again = (shared.image_latents(image, torch.Generator().manual_seed(seed)) for seed in (1, 2, 1))
    assert not torch.equal(one, other)
    assert torch.equal(one, again)


def test_a_callback_sees_a_whole_batch(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip, seen = clips[0], []

    def look(_: Mask2IVPipeline, step: int, timestep: int, state: dict[str, torch.Tensor]) -> dict:
        seen.append((step, len(state["latents"])))
        return {}

    pipe.trajectory(
        clip.image, clip.object_mask, PROMPTS[0], num_videos_per_prompt=3, generator=[1, 2, 3], batch_size=2,
        num_inference_steps=2, callback_on_step_end=look, progress=False,
    )  # fmt: skip
    assert seen == [(0, 2), (1, 2), (0, 1), (1, 1)]


def test_homogeneous_batches() -> None:
    assert homogeneous_batches("abaaba", 2) == [[0, 2], [1, 4], [3, 5]]
    assert homogeneous_batches("aba", 1) == [[0], [1], [2]]
    assert homogeneous_batches("", 3) == []


def test_joined_conditions_keep_every_field() -> None:
    shapes = [(1, 8, 2, 4, 4), (1, 3, 16), (1, 5, 8), (1,), (1, 4, 1, 4, 4)]
    one, other = (Conditions(*(torch.full(shape, value) for shape in shapes)) for value in (1.0, 2.0))
    joined = join_conditions([one, other])
    for name in ("concat", "text", "image_features", "fps", "first"):
        assert getattr(joined[:1], name).eq(1).all(), name
        assert getattr(joined[1:], name).eq(2).all(), name


def test_the_solver_is_chosen_by_name_or_by_the_model(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    named = {name: generate(pipe, clips, sampler=name).trajectory[0].labels for name in ("ddim", "unipc")}
    assert not np.array_equal(named["ddim"], named["unipc"])
    other = Mask2IVPipeline(replace(pipe.config, sampler="unipc"), **pipe.components)
    assert np.array_equal(generate(other, clips).trajectory[0].labels, named["unipc"])


def replaced(pipe: Mask2IVPipeline) -> None:
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"batch_size": 0}, None, "batch_size: must be at least 1, found 0"),
        ({"sampler": "euler"}, None, "sampler: must be one of ddim, dpmsolver.*found 'euler'"),
        ({"sampler": "ddim"}, replaced, "scheduler was replaced by UniPCMultistepScheduler.*leave sampler out"),
    ],
)
def test_unusable_options_are_named(
    pipe: Mask2IVPipeline,
    clips: ClipSet,
    options: dict,
    change: Callable[[Mask2IVPipeline], None] | None,
    message: str,
) -> None:
    other = Mask2IVPipeline(pipe.config, **pipe.components)
    if change is not None:
        change(other)
    with pytest.raises(InputError, match=message):
        generate(other, clips, **options)


def test_an_unknown_default_solver_is_refused(pipe: Mask2IVPipeline) -> None:
    with pytest.raises(InputError, match=r"pipeline\.sampler: must be one of ddim.*found 'euler'"):
        replace(pipe.config, sampler="euler")  # type: ignore[arg-type]
