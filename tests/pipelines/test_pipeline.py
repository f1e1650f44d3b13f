"""The pipeline as users call it, on the tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from mask2iv.contract import Label, Trajectory
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.models.text import token_ids, word_tokenizer
from mask2iv.pipelines.components import load_component, save_component
from mask2iv.pipelines.pipeline import Mask2IVPipeline

PROMPT = "a hand pushing a box to the right"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> Mask2IVPipeline:
    return Mask2IVPipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def clips(tiny_clips: Path) -> ClipSet:
    return ClipSet(tiny_clips)


def test_a_call_gives_a_video_and_its_trajectory(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]
    output = pipe(clip.image, clip.object_mask, PROMPT, generator=seeded(0), progress=False)
    assert output.frames[0].shape == (4, 32, 64, 3)
    assert output.frames[0].dtype == np.uint8
    assert output.trajectory[0].labels.shape == (4, 32, 64)
    assert output.trajectory[0].fps == 8.0


def test_a_result_depends_on_its_own_seed_only_whatever_else_is_in_the_batch(
    pipe: Mask2IVPipeline, clips: ClipSet
) -> None:
    one, other = clips[0], clips[1]
    alone = pipe(one.image, one.object_mask, PROMPT, one.target_mask, generator=[seeded(7)], progress=False)
    batch = pipe(
        [other.image, one.image],
        [other.object_mask, one.object_mask],
        ["a hand pushing a can to the left", PROMPT],
        [None, one.target_mask],
        generator=[seeded(1), seeded(7)],
        progress=False,
    )
    assert np.array_equal(batch.frames[1], alone.frames[0])
    assert np.array_equal(batch.trajectory[1].labels, alone.trajectory[0].labels)


def test_different_seeds_differ_and_several_videos_per_prompt_are_neighbours(
    pipe: Mask2IVPipeline, clips: ClipSet
) -> None:
    clip = clips[0]
    generators = [seeded(3), seeded(4)]
    two = pipe(clip.image, clip.object_mask, PROMPT, num_videos_per_prompt=2, generator=generators, progress=False)
    again = pipe(clip.image, clip.object_mask, PROMPT, generator=[seeded(4)], progress=False)
    assert not np.array_equal(two.frames[0], two.frames[1])
    assert np.array_equal(two.frames[1], again.frames[0])


def test_the_stages_chained_by_hand_equal_the_call(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[2]
    whole = pipe(clip.image, clip.object_mask, PROMPT, generator=seeded(5), progress=False)
    (trajectory,) = pipe.trajectory(clip.image, clip.object_mask, PROMPT, generator=seeded(5), progress=False)
    (video,) = pipe.render(clip.image, trajectory, generator=seeded(5), progress=False)
    assert np.array_equal(trajectory.labels, whole.trajectory[0].labels)
    assert np.array_equal(video, whole.frames[0])


def test_an_edited_trajectory_changes_the_video(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[2]
    edited = np.zeros_like(clip.trajectory.labels)
    edited[:, 4:20, 30:60] = Label.ACTOR
    (true_video,) = pipe.render(clip.image, clip.trajectory, generator=seeded(5), progress=False)
    (video,) = pipe.render(clip.image, Trajectory(edited, 8.0), generator=seeded(5), progress=False)
    assert not np.array_equal(video, true_video)


def test_saving_and_loading_keeps_the_numbers(pipe: Mask2IVPipeline, clips: ClipSet, tmp_path: Path) -> None:
    clip = clips[0]
    pipe.save_pretrained(tmp_path / "copy")
    copy = Mask2IVPipeline.from_pretrained(tmp_path / "copy")
    first, second = (
        p(clip.image, clip.object_mask, PROMPT, generator=seeded(0), progress=False).frames[0] for p in (pipe, copy)
    )
    assert np.array_equal(first, second)
    assert not list((tmp_path / "copy").rglob("*.bin")), "weights are safetensors only"
    # A copy of the copy: loaded from a folder whose name must not travel with the weights.
    copy.save_pretrained(tmp_path / "again")
    assert not [path for path in (tmp_path / "again").rglob("*.json") if str(tmp_path) in path.read_text()]


def test_half_precision_storage_stays_close(pipe: Mask2IVPipeline, clips: ClipSet, tmp_path: Path) -> None:
    clip = clips[0]
    pipe.save_pretrained(tmp_path / "half", torch.bfloat16)
    half = Mask2IVPipeline.from_pretrained(tmp_path / "half")
    stored = sum(path.stat().st_size for path in (tmp_path / "half").rglob("*.safetensors"))
    assert stored < 0.6 * 4 * sum(p.numel() for part in _networks(pipe) for p in part.parameters())
    full, reduced = (
        p.render(clip.image, clip.trajectory, generator=seeded(0), progress=False)[0] for p in (pipe, half)
    )
    assert np.abs(full.astype(int) - reduced.astype(int)).mean() < 3


def _networks(pipe: Mask2IVPipeline) -> list[torch.nn.Module]:
    return [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]


def test_other_diffusers_schedulers_drop_in(pipe: Mask2IVPipeline, clips: ClipSet, tiny_model: Path) -> None:
    clip = clips[0]
    other = Mask2IVPipeline.from_pretrained(tiny_model)
    other.scheduler = UniPCMultistepScheduler.from_config(other.scheduler.config)
    (trajectory,) = other.trajectory(
        clip.image, clip.object_mask, PROMPT, num_inference_steps=3, generator=seeded(0), progress=False
    )
    assert trajectory.num_frames == 4


def test_callbacks_see_every_step_and_may_replace_the_latents(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip, seen = clips[0], []

    def erase(pipeline: Mask2IVPipeline, step: int, timestep: int, state: dict) -> dict:
        seen.append((step, timestep))
        return {"latents": torch.zeros_like(state["latents"])} if step == 2 else {}

    def run(seed: int) -> np.ndarray:
        (found,) = pipe.trajectory(
            clip.image, clip.object_mask, PROMPT, num_inference_steps=3, generator=seeded(seed),
            callback_on_step_end=erase, progress=False,
        )  # fmt: skip
        return found.labels

    assert np.array_equal(run(0), run(1)), "erased latents decode to the same picture for any seed"
    assert [step for step, _ in seen[:3]] == [0, 1, 2]
    assert seen[0][1] == 999


def test_guidance_changes_the_result_and_one_means_none(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]
    calls = []
    hook = pipe.trajectory_stage.unet.register_forward_hook(lambda *_: calls.append(1))

    def run(**scales: float) -> int:
        calls.clear()
        pipe.trajectory(
            clip.image, clip.object_mask, PROMPT, clip.target_mask, num_inference_steps=2, generator=seeded(0),
            progress=False, **scales,
        )  # fmt: skip
        return len(calls)

    try:
        assert run(guidance_scale=1.0, target_guidance_scale=1.0) == 2
        assert run(guidance_scale=3.0, target_guidance_scale=1.0) == 4
        assert run(guidance_scale=3.0, target_guidance_scale=2.0) == 6
    finally:
        hook.remove()


def test_a_folder_with_one_stage_runs_that_stage(
    pipe: Mask2IVPipeline, clips: ClipSet, tiny_model: Path, tmp_path: Path
) -> None:
    part = Mask2IVPipeline.from_pretrained(tiny_model)
    part.trajectory_stage = None
    part.save_pretrained(tmp_path / "video-only")
    loaded = Mask2IVPipeline.from_pretrained(tmp_path / "video-only")
    clip = clips[0]
    assert len(loaded.render(clip.image, clip.trajectory, generator=seeded(0), progress=False)) == 1
    with pytest.raises(InputError, match="no trajectory stage"):
        loaded.trajectory(clip.image, clip.object_mask, PROMPT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, "prompt: there is no condition; give a prompt, a target mask, or both"),
        ({"object_mask": np.zeros((32, 64), dtype=bool)}, "object_mask.*empty"),
        ({"object_mask": np.ones((32, 64), dtype=bool)}, "object_mask.*covers the whole image"),
        ({"object_mask": np.ones((16, 16), dtype=bool)}, "object_mask.*16"),
        ({"image": np.zeros((32, 64), dtype=np.uint8)}, "image: must be"),
        ({"height": 30}, "multiples of"),
        ({"num_inference_steps": 0}, "num_inference_steps: must be at least 1"),
        ({"num_videos_per_prompt": 0}, "num_videos_per_prompt: must be at least 1"),
        ({"generator": [seeded(0), seeded(1)]}, "generator: found 2 for 1"),
    ],
)
def test_unusable_input_is_named(pipe: Mask2IVPipeline, clips: ClipSet, change: dict, message: str) -> None:
    clip = clips[0]
    arguments = {"image": clip.image, "object_mask": clip.object_mask, "prompt": PROMPT, "progress": False, **change}
    with pytest.raises(InputError, match=message):
        pipe.trajectory(**arguments)


def test_a_trajectory_of_another_length_is_refused(pipe: Mask2IVPipeline, clips: ClipSet) -> None:
    clip = clips[0]
    with pytest.raises(InputError, match="3 frames, this model renders 4"):
        pipe.render(clip.image, Trajectory(clip.trajectory.labels[:3], 8.0))


def test_unknown_words_are_found(pipe: Mask2IVPipeline) -> None:
    assert pipe.unknown_words("a hand pushing a zeppelin, to the right.") == ["zeppelin,"]


@pytest.mark.parametrize("damage", ["missing", "garbage", "foreign"])
def test_a_damaged_model_folder_is_one_clear_error(pipe: Mask2IVPipeline, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    pipe.save_pretrained(folder)
    weights = folder / "video_unet" / "diffusion_pytorch_model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "garbage":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        index = folder / "model_index.json"
        index.write_text(index.read_text().replace('"VideoUNet"', '"os.system"'))
    with pytest.raises(InputError, match=r"video_unet|unknown class"):
        Mask2IVPipeline.from_pretrained(folder)


def test_not_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Mask2IVPipeline.from_pretrained(tmp_path / "nothing")
    with pytest.raises(InputError, match="is not a model folder"):
        Mask2IVPipeline.from_pretrained(tmp_path)


def test_a_saved_tokenizer_does_not_tell_whether_it_was_used(tmp_path: Path) -> None:
    """The call that cuts off long prompts leaves its length in the tokenizer; a resumed training may not call it."""
    tokenizer = word_tokenizer(["a", "hand"], 6)
    save_component(tmp_path, "unused", tokenizer)
    token_ids(tokenizer, ["a hand " * 9])
    save_component(tmp_path, "used", tokenizer)
    for path in sorted((tmp_path / "unused").iterdir()):
        assert (tmp_path / "used" / path.name).read_bytes() == path.read_bytes()
    again = load_component(tmp_path, "used", "PreTrainedTokenizerFast", torch.float32)
    assert token_ids(again, ["a hand " * 9]).tolist() == token_ids(tokenizer, ["a hand " * 9]).tolist()
