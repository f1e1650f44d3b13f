"""Training through the command line: order of the components, resuming, the latent cache."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mask2iv.cli import main
from mask2iv.conditions import ConditionEncoder
from mask2iv.data.dataset import ClipDataset
from mask2iv.data.store import ClipSet
from mask2iv.recipes import get_recipe
from mask2iv.stages.pipeline import Mask2IVPipeline
from mask2iv.training.cache import build_cache, cache_key
from mask2iv.training.clips import ClipMemory
from mask2iv.training.stages import StageBatches, StageData


def train(component: str, data: Path, out: Path, *flags: str) -> int:
    base = ["train", component, "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    return main([*base, *flags])


def test_a_component_that_needs_an_earlier_one_says_so(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("video", tiny_clips, tmp_path / "model") == 2
    assert "holds no vae yet; run `mask2iv train vae`" in capsys.readouterr().err


def test_dry_run_prints_the_resolved_recipe_and_writes_nothing(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("vae", tiny_clips, tmp_path / "model", "--dry-run", "--set", "vae.training.max_steps=77") == 0
    assert json.loads(capsys.readouterr().out)["vae"]["training"]["max_steps"] == 77
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("component", ["trajectory", "video"])
def test_a_stage_interrupted_half_way_and_resumed_ends_with_the_same_bytes(
    component: str, tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    half = f"{component}.training.max_steps=2"
    assert train(component, tiny_clips, out, "--set", half) == 0
    assert train(component, tiny_clips, out, "--resume_from_checkpoint", "latest") == 0
    name = Path(f"{component}_unet") / "diffusion_pytorch_model.safetensors"
    resumed, straight = load_file(out / name), load_file(tiny_model / name)
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)
    log = [json.loads(line) for line in (out / "training" / component / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3, 4]


def test_each_run_leaves_a_manifest_with_settings_data_and_versions(tiny_model: Path) -> None:
    for component in ("vae", "encoders", "reference", "trajectory", "video"):
        manifest = json.loads((tiny_model / "training" / component / "manifest.json").read_text())
        assert manifest["config"]["name"] == "tiny"
        assert len(manifest["data"]["index_sha256"]) == 64
        assert manifest["versions"]["torch"]
        assert manifest["figures"]


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ConditionEncoder:
    return Mask2IVPipeline.from_pretrained(tiny_model).encoder


def test_a_cache_is_reused_only_for_the_same_clips_and_encoders(
    tiny_clips: Path, encoder: ConditionEncoder, tmp_path: Path
) -> None:
    clips = ClipSet(tiny_clips)
    dataset = ClipDataset(clips, (32, 64), 4)
    modules = (encoder.codec, encoder.image_encoder)
    key = cache_key(clips, modules, "32x64")
    path = tmp_path / "cache.safetensors"
    built = build_cache(encoder, dataset, key, path, False)
    stamp = path.stat().st_mtime_ns
    again = build_cache(encoder, dataset, key, path, False)
    assert path.stat().st_mtime_ns == stamp
    assert torch.equal(built.video, again.video)
    assert cache_key(clips.subset(0, 5), modules, "32x64") != key
    parameter = next(encoder.codec.parameters())
    with torch.no_grad():
        parameter.add_(0.01)
        changed = cache_key(clips, modules, "32x64")
        parameter.sub_(0.01)
    assert changed != key


def test_training_batches_equal_what_generation_encodes(
    tiny_clips: Path, tiny_model: Path, encoder: ConditionEncoder, tmp_path: Path
) -> None:
    """One piece of code encodes conditions; nothing dropped, a training row is what the pipeline would build."""
    from dataclasses import replace

    from mask2iv.conditions import only_object, trajectory_conditions
    from mask2iv.masks import labels_to_tensor

    recipe = get_recipe("tiny")
    stage = replace(recipe.trajectory, drop_text=0.0, drop_target=0.0, drop_actor=0.0, drop_image=0.0)
    memory = ClipMemory(ClipSet(tiny_clips), (32, 64), 4)
    cache = build_cache(encoder, memory.dataset, "key", tmp_path / "cache.safetensors", False)
    data = StageData(cache, memory.captions, torch.full((len(memory),), 8.0))
    batches = StageBatches("trajectory", stage, "joint", encoder, data)
    generator = torch.Generator().manual_seed(0)
    latents, conditions, weight = batches.assemble([3, 1], [generator, generator])
    row = 3
    assert torch.equal(latents[0], cache.masks[row].float())
    batch = memory.batch([row])
    masks = labels_to_tensor(batch.labels)
    target = labels_to_tensor(only_object(batch.labels[:, -1:]))
    expected = trajectory_conditions(
        "joint",
        encoder.latents(masks[:, :, 0]),
        encoder.latents(target[:, :, 0]),
        torch.tensor([True]),
        encoder.latents(batch.first_frame),
        4,
    )
    assert torch.allclose(conditions.concat[:1], expected, atol=2e-2), "up to the cache's half precision"
    assert torch.allclose(conditions.text[0], encoder.text([memory.captions[row]])[0])
    assert weight.max() > 1
    assert weight.min() == 1


def test_a_stage_starts_from_given_weights_of_its_own_sizes_only(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    still = ("--set", "video.training.max_steps=1", "--set", "video.training.learning_rate=1e-12")
    start = ("--initial-weights", str(tiny_model))
    assert train("video", tiny_clips, out, *still, *start) == 0
    name = Path("video_unet") / "diffusion_pytorch_model.safetensors"
    begun, given = load_file(out / name), load_file(tiny_model / name)
    assert all(torch.allclose(begun[key], given[key], atol=1e-6) for key in given)
    manifest = json.loads((out / "training" / "video" / "manifest.json").read_text())
    assert manifest["initial_weights"]["path"] == str(tiny_model)
    assert train("video", tiny_clips, tmp_path / "wide", *start) == 2, "no autoencoder there"
    wider = ("--set", "video.unet.num_res_blocks=2")
    shutil.rmtree(out / "training" / "video")
    assert train("video", tiny_clips, out, *start, *wider) == 2
    assert "use the recipe that these weights were trained with" in capsys.readouterr().err
    assert train("vae", tiny_clips, out, *start) == 2
    assert "for the stages trajectory and video" in capsys.readouterr().err
