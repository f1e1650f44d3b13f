"""Training through the command line: order of the components, resuming, the latent cache."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.cli import main
from mask2iv.data.store import ClipSet
from mask2iv.experiments.variants import get_variant
from mask2iv.files import sha256_file
from mask2iv.manifest import versions
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.recipes import get_recipe
from mask2iv.training.inputs.actor_masks import ACTOR_MASKS, build_actor_masks
from mask2iv.training.inputs.cache import build_cache
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.networks.stages import StageBatches, StageData
from mask2iv.trajectories.labels import labels_to_tensor, only_actors
from mask2iv.trajectories.morphology import dilate_labels, erode_labels

PARTS = ("", "moved_", "actor_")
"""Where the reference decoder is measured: everywhere, on the moved object, on the actor."""


def train(component: str, data: Path, out: Path, *flags: str) -> int:
    base = ["train", component, "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    return main([*base, *flags])


def test_a_component_that_needs_an_earlier_one_says_so(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("video", tiny_clips, tmp_path / "model") == 2
    assert "holds no vae yet; train vae into it first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("component", "network"),
    [
        ("trajectory", "trajectory_unet"),
        ("video", "video_unet"),
        ("reference", "reference_decoder"),
        ("painter", "painter"),
        ("planner", "planner"),
    ],
)
def test_a_component_interrupted_half_way_and_resumed_ends_with_the_same_bytes(
    component: str, network: str, tiny_clips: Path, tiny_model: Path, planning_model: Path, tmp_path: Path
) -> None:
    """The adversary of the reference decoder joins in at half-way, too."""
    source = planning_model if component in ("painter", "planner") else tiny_model
    out = tmp_path / "model"
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("training"))
    half = f"{component}.training.max_steps=2"
    assert train(component, tiny_clips, out, "--set", half) == 0
    assert train(component, tiny_clips, out, "--resume_from_checkpoint", "latest") == 0
    name = Path(network) / "diffusion_pytorch_model.safetensors"
    resumed, straight = load_file(out / name), load_file(source / name)
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)
    log = [json.loads(line) for line in (out / "training" / component / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("component", "figures"),
    [
        ("vae", {"psnr", "actor_iou", "object_iou"}),
        ("encoders", {"loss", "guessing"}),
        ("trajectory", {"loss", "miou", "actor_iou", "object_iou"}),
        ("video", {"loss", "psnr", "ssim"}),
        ("reference", {"decoded_psnr", *(f"{part}{one}" for part in PARTS for one in ("psnr", "gradients"))}),
    ],
)
def test_each_run_leaves_a_manifest_with_settings_data_and_versions(
    component: str, figures: set[str], tiny_clips: Path, tiny_model: Path
) -> None:
    manifest = json.loads((tiny_model / "training" / component / "manifest.json").read_text())
    assert manifest["config"]["name"] == "tiny"
    assert manifest["data"]["index_sha256"] == sha256_file(tiny_clips / "index.jsonl")
    assert (manifest["data"]["clips"], manifest["held_out_clips"]) == (5, 1)
    assert manifest["versions"] == versions()
    assert set(manifest["figures"]) == figures


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ConditionEncoder:
    return Mask2IVPipeline.from_pretrained(tiny_model).encoder


def test_training_batches_equal_what_generation_encodes(
    tiny_clips: Path, tiny_model: Path, encoder: ConditionEncoder, tmp_path: Path
) -> None:
    """One piece of code encodes conditions; nothing dropped, a training row is what the pipeline would build."""
    from dataclasses import replace

    from mask2iv.backbones.dynamicrafter.conditions import trajectory_conditions
    from mask2iv.trajectories.labels import only_object

    recipe = get_recipe("tiny")
    stage = replace(recipe.of("trajectory"), drop_text=0.0, drop_target=0.0, drop_actor=0.0, drop_image=0.0)
    memory = ClipMemory(ClipSet(tiny_clips), (32, 64), 4)
    cache = build_cache(encoder, memory, "key", tmp_path, None)
    data = StageData(cache, memory.captions, torch.full((len(memory),), 8.0))
    batches = StageBatches("trajectory", stage, "joint", encoder, data)
    encoded = cache.rows(range(len(memory)))
    generator = torch.Generator().manual_seed(0)
    latents, conditions, weight = batches.assemble([3, 1], [generator, generator])
    row = 3
    assert torch.equal(latents[0], encoded.masks[row].float())
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


@pytest.mark.parametrize("name", ["coshand", "interdyn", "actor-concat"])
def test_batches_of_actor_only_systems_hold_no_object(
    name: str, tiny_clips: Path, encoder: ConditionEncoder, tmp_path: Path
) -> None:
    """Mask latents are those of labels without the object, perturbed or not."""
    from dataclasses import replace

    recipe = get_variant(f"tiny:{name}")
    memory = ClipMemory(ClipSet(tiny_clips), (32, 64), 4)
    cache = build_cache(encoder, memory, "key", tmp_path, None)
    actors = build_actor_masks(encoder, cache, "key", tmp_path, None)
    for perturb in (0.0, 1.0):
        stage = replace(recipe.of("video"), perturb=perturb, perturb_kernels=(3,))
        for cached in (actors, None):
            data = StageData(cache, memory.captions, torch.full((len(memory),), 8.0), cached)
            batches = StageBatches("video", stage, "joint", encoder, data, recipe.pipeline.video_conditioning)
            latents, conditions, weight = batches.assemble([3], [torch.Generator().manual_seed(0)])
            shown = conditions.concat[0, -latents.shape[1] :]
            bare = only_actors(cache.rows([3]).labels)
            expected = [bare] if perturb == 0.0 else [dilate_labels(bare, 3), erode_labels(bare, 3)]
            fits = [torch.allclose(shown, encoder.latents(labels_to_tensor(one))[0], atol=2e-2) for one in expected]
            assert any(fits)
            assert (weight == 1).all()
    other = build_actor_masks(encoder, cache, "other", tmp_path, None)
    assert torch.equal(actors.row(2)[ACTOR_MASKS], other.row(2)[ACTOR_MASKS])
    assert actors.folder != other.folder, "masks of other clips are never taken for these"


def test_a_stage_starts_from_given_weights_of_its_own_sizes_only(
    tiny_clips: Path, tiny_model: Path, planning_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert train("video", tiny_clips, tmp_path / "new", *still, *start) == 0
    for frozen in ("vae", "tokenizer", "text_encoder", "image_encoder", "reference_decoder"):
        given = {path.name: path.read_bytes() for path in (tiny_model / frozen).iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / "new" / frozen).iterdir()} == given
    assert not (tmp_path / "new" / "trajectory_unet").exists(), "a stage is in the folder once it is trained"
    wider = ("--set", "video.unet.num_res_blocks=2")
    assert train("video", tiny_clips, out, *start, *wider) == 2
    assert "use the recipe that these weights were trained with" in capsys.readouterr().err
    for component, setting in (("painter", "code=5"), ("planner", "width=48"), ("reference", "depth=2")):
        other = ("--set", f"{component}.{setting}", "--initial-weights", str(planning_model))
        assert train(component, tiny_clips, tmp_path / "other", *other) == 2
        assert "use the recipe that these weights were trained with" in capsys.readouterr().err, component
    assert train("vae", tiny_clips, out, *start) == 2
    assert "is for painter, planner, trajectory, video, reference, not for vae" in capsys.readouterr().err


def test_words_that_the_text_encoder_does_not_know_are_named(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_clips, tmp_path / "clips")
    index = tmp_path / "clips" / "index.jsonl"
    index.write_text(index.read_text().replace("pushing a can", "polishing a samovar"))
    flags = ("--set", "trajectory.training.max_steps=1", "--initial-weights", str(tiny_model))
    assert train("trajectory", tmp_path / "clips", tmp_path / "model", *flags) == 0
    assert "mean nothing to the text encoder: polishing, samovar;" in capsys.readouterr().err
    assert train("trajectory", tmp_path / "clips", tmp_path / "taught", *flags, "--add-words") == 0
    assert "mean nothing" not in capsys.readouterr().err
    before, after = (Mask2IVPipeline.from_pretrained(folder) for folder in (tmp_path / "model", tmp_path / "taught"))
    assert after.unknown_words("a hand polishing a Samovar") == []
    index.write_text(index.read_text().replace("pushing a box", "waxing a box's side"))
    again = ("--set", "trajectory.training.max_steps=1", "--initial-weights", str(tmp_path / "taught"))
    assert train("trajectory", tmp_path / "clips", tmp_path / "more", *again, "--add-words") == 0
    after = Mask2IVPipeline.from_pretrained(tmp_path / "more")
    known, new = "a hand pushing a can", ["a hand polishing a can", "a hand samovar a can", "a hand waxing a can"]
    texts = {text: after.encoder.text([text]) for text in (known, *new)}
    assert train("video", tmp_path / "clips", tmp_path / "taught", "--add-words") == 2
    assert "--add-words: video of recipe tiny reads no captions" in capsys.readouterr().err
    assert torch.equal(texts[known], before.encoder.text([known])), "known words keep their embeddings"
    for one, other in itertools.combinations(new, 2):
        assert not torch.allclose(texts[one], texts[other], atol=1e-3), "new words differ, whenever they were added"


def test_a_run_is_not_resumed_on_other_clips_or_with_other_frozen_components(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    assert train("video", tiny_clips, out) == 0
    go_on = ("--resume_from_checkpoint", "latest", "--set", "video.training.max_steps=6")
    assert train("video", tiny_clips, out, "--held-out", str(tiny_clips), *go_on) == 2
    assert (
        "belongs to another run: the clips trained on differ; the held-out clips differ; give"
        in capsys.readouterr().err
    )
    other = ("--set", "video.training.batch_size=4", "--set", "video.training.learning_rate=0.5")
    batch, rate = (getattr(get_recipe("tiny").video.training, name) for name in ("batch_size", "learning_rate"))
    assert train("video", tiny_clips, out, *go_on, *other) == 2
    said = f"video.training.batch_size was {batch}, now 4; video.training.learning_rate was {rate}, now 0.5; give"
    assert said in capsys.readouterr().err
    early = ("--resume_from_checkpoint", str(out / "training" / "video" / "checkpoint-00000002"))
    assert train("video", tiny_clips, out, *early) == 2
    assert "later checkpoints than checkpoint-00000002 (checkpoint-00000004)" in capsys.readouterr().err
    config = out / "image_encoder" / "config.json"
    config.write_text(config.read_text() + " ")
    assert train("video", tiny_clips, out, *go_on) == 2
    assert "belongs to another run: the weights of frozen components differ" in capsys.readouterr().err
    assert train("video", tiny_clips, out, "--initial-weights", str(out)) == 2
    assert f"--initial-weights: {out} is the output folder too" in capsys.readouterr().err


def test_a_disk_that_is_full_while_clips_are_encoded_ends_the_run_with_a_message(
    tiny_clips: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("mask2iv.training.inputs.shards.save_file", full)
    shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("training"))
    assert train("video", tiny_clips, tmp_path / "model") == 2
    assert "No space left on device (os error 28); there is no checkpoint yet; free space" in capsys.readouterr().err
