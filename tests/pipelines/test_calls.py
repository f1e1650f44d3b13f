"""What users of diffusers type, on the tiny model: accepted, or answered with what to use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image

from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.pipelines.pipeline import Mask2IVPipeline

PROMPT = "a hand pushing a box to the right"


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> Mask2IVPipeline:
    pipe = Mask2IVPipeline.from_pretrained(tiny_model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def given(tiny_clips: Path) -> dict[str, Any]:
    clip = ClipSet(tiny_clips)[0]
    return {"image": clip.image, "object_mask": clip.object_mask, "num_inference_steps": 1}


def test_videos_come_in_the_forms_of_diffusers(pipe: Mask2IVPipeline, given: dict[str, Any]) -> None:
    plain = pipe(**given, prompt=PROMPT, seed=3).frames[0]
    found = {kind: pipe(**given, prompt=PROMPT, seed=3, output_type=kind).frames[0] for kind in ("pil", "np", "pt")}
    assert isinstance(found["pil"][0], Image.Image)
    assert np.array_equal(np.stack(found["pil"]), plain)
    assert found["np"].dtype == np.float32
    assert np.array_equal(np.rint(found["np"] * 255), plain)
    assert found["pt"].shape == (4, 3, 32, 64)
    assert torch.equal(found["pt"].permute(0, 2, 3, 1), torch.from_numpy(found["np"]))
    trajectory = pipe.trajectory(**given, prompt=PROMPT, seed=3)
    (rendered,) = pipe.render(given["image"], trajectory, num_inference_steps=1, seed=3, output_type="pil")
    assert len(rendered) == 4


def test_an_integer_is_a_generator_and_is_counted_up(pipe: Mask2IVPipeline, given: dict[str, Any]) -> None:
    pair = pipe.trajectory(**given, prompt=PROMPT, generator=5, num_videos_per_prompt=2)
    for seed, one in zip((5, 6), pair, strict=True):
        (alone,) = pipe.trajectory(**given, prompt=PROMPT, seed=seed)
        assert np.array_equal(one.labels, alone.labels)


def test_one_image_takes_several_prompts(pipe: Mask2IVPipeline, given: dict[str, Any]) -> None:
    prompts = [PROMPT, "a hand pushing a box to the left"]
    both = pipe(**given, prompt=prompts, generator=[1, 1])
    assert len(both.frames) == 2
    for prompt, trajectory in zip(prompts, both.trajectory, strict=True):
        (alone,) = pipe.trajectory(**given, prompt=prompt, seed=1)
        assert np.array_equal(trajectory.labels, alone.labels)


def test_the_progress_bar_is_configured_as_in_diffusers(
    tiny_model: Path, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = Mask2IVPipeline.from_pretrained(tiny_model)
    pipe.trajectory(**given, prompt=PROMPT, seed=0)
    assert "trajectory" in capsys.readouterr().err
    pipe.set_progress_bar_config(disable=True)
    pipe.trajectory(**given, prompt=PROMPT, seed=0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"guidance_scal": 2.0}, "guidance_scal: is no argument of this call; did you mean guidance_scale?"),
        ({"negative_prompt": "blurry"}, "negative_prompt: .* guidance is by the empty prompt"),
        ({"num_images_per_prompt": 2}, "num_images_per_prompt: .* use num_videos_per_prompt"),
        ({"xyz": 2}, "xyz: is no argument of this call; choose from image, object_mask"),
        ({"num_frames": 8}, "num_frames: this model makes 4 frames, found 8; leave it out"),
        ({"output_type": "latent"}, "output_type: must be pil, np, pt, or None for uint8 arrays, found 'latent'"),
        ({"seed": 1, "generator": 2}, "seed: generator is given too"),
        ({"seed": -1}, "generator: a seed must be at least 0"),
    ],
)
def test_what_cannot_be_asked_is_answered(
    pipe: Mask2IVPipeline, given: dict[str, Any], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pipe(**given, prompt=PROMPT, **keywords)


def test_the_model_s_own_number_of_frames_may_be_said(pipe: Mask2IVPipeline, given: dict[str, Any]) -> None:
    assert pipe.trajectory(**given, prompt=PROMPT, seed=0, num_frames=4)[0].num_frames == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
@pytest.mark.parametrize("call", ["enable_model_cpu_offload", "enable_group_offload", "to"])
def test_without_a_gpu_nothing_is_sent_there(tiny_model: Path, given: dict[str, Any], call: str) -> None:
    pipe = Mask2IVPipeline.from_pretrained(tiny_model)
    with pytest.raises(InputError, match="needs a CUDA device, and none is available for 'cuda'"):
        getattr(pipe, call)(*(["cuda"] if call == "to" else []))
    assert pipe.trajectory(**given, prompt=PROMPT, seed=0, progress=False), "it is as it was"


def test_models_are_fetched_from_the_hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that is possible without a network: one that was fetched before, and one that was not."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--somebody--tiny", "0" * 40
    shutil.copytree(tiny_model, repository / "snapshots" / commit, ignore=shutil.ignore_patterns("training"))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    pipe = Mask2IVPipeline.from_pretrained("somebody/tiny", local_files_only=True)
    assert pipe.config.num_frames == 4
    with pytest.raises(InputError, match="model 'somebody/else': is no folder here, and cannot be fetched"):
        Mask2IVPipeline.from_pretrained("somebody/else", local_files_only=True)
    with pytest.raises(InputError, match=r"trust_remote_code: .* no code of a model is ever run"):
        Mask2IVPipeline.from_pretrained("somebody/tiny", trust_remote_code=True)  # type: ignore[call-arg]
