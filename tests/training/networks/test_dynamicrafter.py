"""Fine-tuning as in the paper, from a checkpoint of the original's layout to a generated video, scaled down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.cli import main
from mask2iv.experiments.variants import get_variant
from mask2iv.files import sha256_file
from mask2iv.manifest import weights_digest
from mask2iv.official.layout import preset
from mask2iv.official.networks import unet_config_from_original
from mask2iv.pipelines.folder import read_index
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.recipes import RECIPES, get_recipe
from mask2iv.stages.conditioning import VideoConditioning

pytestmark = pytest.mark.usefixtures("no_open_clip")

COMPONENT = {"text": "trajectory", "position": "trajectory", "video": "video"}
UNET = {
    "num_head_channels": 16,  # before the width: each setting is checked as it is made
    "model_channels": 32,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [2, 1],
    "context_dim": 32,
}
RESAMPLER = {"dim": 32, "depth": 1, "dim_head": 16, "heads": 2, "embedding_dim": 32, "output_dim": 32}
FEW_STEPS = {
    "max_steps": 2,
    "batch_size": 4,
    "gradient_accumulation_steps": 2,
    "checkpoint_every": 2,
    "validation_clips": 1,
}


def imported(folder: Path, checkpoints: ModuleType, *flags: str) -> Path:
    """A small DynamiCrafter of random weights in the original layout, imported."""
    state, config = checkpoints.small_checkpoint(channels=8)
    torch.save({"state_dict": state}, folder / "model.ckpt")
    (folder / "sizes.json").write_text(json.dumps(config))
    flags += ("--stage", "dynamicrafter", "--dtype", "fp32", "--config", str(folder / "sizes.json"))
    flags += ("--tokenizer", str(checkpoints.write_vocabulary(folder / "bpe.txt.gz")))
    assert main(["import", str(folder / "model.ckpt"), *flags, "--out", str(folder / "start")]) == 0
    return folder / "start"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, no_open_clip: None, checkpoints: ModuleType) -> Path:
    """A small DynamiCrafter, imported and widened for both stages."""
    return imported(tmp_path_factory.mktemp("dynamicrafter"), checkpoints)


def small(*components: str) -> list[str]:
    """Flags that scale the recipe down to that checkpoint."""
    sizes: dict[str, Any] = {"pipeline.height": 32, "pipeline.width": 64, "pipeline.num_frames": 4}
    sizes |= {"pipeline.num_inference_steps": 2, "pipeline.video_num_inference_steps": 2}  # of the last validation
    for component in components:
        sizes |= {f"{component}.unet.{name}": value for name, value in UNET.items()}
        sizes |= {f"{component}.resampler.{name}": value for name, value in RESAMPLER.items()}
        sizes |= {f"{component}.resampler.video_length": 4}
        sizes |= {f"{component}.training.{name}": value for name, value in FEW_STEPS.items()}
    return [word for name, value in sizes.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def fine_tune(kind: str, start: Path, data: Path, out: Path, *flags: str, recipe: str = "") -> int:
    component, name = COMPONENT[kind], recipe or f"dynamicrafter-512-{kind}"
    base = ["train", component, "--recipe", name, "--data", str(data), "--out", str(out), "--threads", "1"]
    return main([*base, "--initial-weights", str(start), *small(component), *flags])


@pytest.mark.parametrize("kind", ["text", "position"])
def test_a_dynamicrafter_becomes_both_stages_and_generates(
    kind: str, start: Path, tiny_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    assert fine_tune(kind, start, tiny_clips, out) == 0
    adapters = "dynamicrafter-512-video-lora" if kind == "position" else ""
    assert fine_tune("video", start, tiny_clips, out, recipe=adapters) == 0
    config, components = read_index(out)
    assert config.mask_layout == kind, "the recipe of stage 2 leaves stage 1's layout alone"
    assert set(components) >= {"vae", "tokenizer", "text_encoder", "image_encoder", "trajectory_unet", "video_unet"}
    for stage in ("trajectory", "video"):
        name = Path(f"{stage}_unet") / "diffusion_pytorch_model.safetensors"
        begun, trained = load_file(start / name), load_file(out / name)
        assert set(begun) == set(trained)
        assert any(not torch.equal(begun[key], trained[key]) for key in begun)
        assert torch.allclose(begun["conv_in.weight"], trained["conv_in.weight"], atol=1e-3), "it started there"
    for part in ("vae", "text_encoder", "image_encoder"):
        [weights] = (out / part).glob("*.safetensors")
        assert sha256_file(weights) == sha256_file(start / part / weights.name), part
    mask = np.zeros((32, 64), dtype=bool)
    mask[4:24, 10:40] = True
    run = Mask2IVPipeline.from_pretrained(out)(
        np.full((32, 64, 3), 90, dtype=np.uint8),
        mask,
        "a hand pushing a box" if kind == "text" else None,
        target_mask=np.roll(mask, 8, axis=1) if kind == "position" else None,
        num_inference_steps=1,
        video_num_inference_steps=1,
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert run.frames[0].shape == (4, 32, 64, 3)


def test_the_frozen_components_must_come_from_somewhere(
    start: Path, tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["train", "video", "--recipe", "dynamicrafter-512-video", "--data", str(tiny_clips)]
    assert main([*base, "--out", str(tmp_path / "none")]) == 2
    assert "freeze_temporal: trains a part of given networks, found none; give their folder" in capsys.readouterr().err
    whole = ["--set", "video.training.freeze_temporal=false"]
    assert main([*base, *whole, "--out", str(tmp_path / "none")]) == 2
    assert "trains no vae; give the imported folder that has it as initial weights" in capsys.readouterr().err
    assert main([*base[:1], "vae", *base[2:], "--out", str(tmp_path / "none")]) == 2
    assert "does not train vae, only video" in capsys.readouterr().err
    assert fine_tune("video", start, tiny_clips, tmp_path / "mine", "--set", "video.unet.num_res_blocks=2") == 2
    assert "use the recipe that these weights were trained with" in capsys.readouterr().err


def test_the_tables_start_from_an_imported_dynamicrafter(
    checkpoints: ModuleType, tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, out = imported(tmp_path, checkpoints, "--widen-for", "none"), tmp_path / "tables"
    assert read_index(start)[0].video_conditioning == VideoConditioning(control="none", text=True)
    flags = ["--scale", "tiny", "--recipe", "dynamicrafter-512", "--data", str(tiny_clips), "--out", str(out)]
    flags += ["--sampling-steps", "1", "--limit", "1", "--metrics", "psnr", "--threads", "1", "--steps", "2"]
    rows = ("dynamicrafter-zero-shot", "coshand", "mask2iv-text")
    flags += ["--rows", *rows, *small("trajectory", "video")]
    assert main(["reproduce", "table-systems", "--image-to-video", str(start), *flags]) == 2
    assert "--data-test: must be given: recipe dynamicrafter-512 keeps the weights" in capsys.readouterr().err
    flags += ["--set", "trajectory.training.keep=last", "--set", "video.training.keep=last"]
    assert main(["reproduce", "table-systems", "--image-to-video", str(start), *flags]) == 0
    table = json.loads((out / "table-systems.json").read_text())
    assert [row["row"] for row in table["rows"] if row["own"]] == [*rows, "still", "pasted", "true"]
    trained = table["provenance"]["trained"]
    assert trained["dynamicrafter-foreign"] == {"weights_sha256": weights_digest(start), "path": str(start)}
    assert trained["coshand"]["config"]["name"] == "dynamicrafter-512:coshand"
    begun = load_file(start / "video_unet" / "diffusion_pytorch_model.safetensors")
    for name, stage in (("joint", "trajectory"), ("mask2iv", "video")):
        unet = load_file(out / "models" / name / f"{stage}_unet" / "diffusion_pytorch_model.safetensors")
        same = [key for key in begun if begun[key].shape == unet[key].shape and torch.equal(begun[key], unet[key])]
        assert same, "both stages keep the temporal convolutions"
        assert all("temporal_conv." in key or key.startswith("init_attention.") for key in same)
        assert all(torch.allclose(begun[key], unet[key], atol=1e-3) for key in begun if key != "conv_in.weight")
    assert "begun from the image-to-video network of" in (out / "table-systems.md").read_text()
    capsys.readouterr()
    assert main(["reproduce", "table-systems", "--image-to-video", str(out / "models" / "mask2iv"), *flags]) == 2
    assert "takes masks; give a folder trained as variant dynamicrafter, or DynamiCrafter" in capsys.readouterr().err
    other = ["--image-to-video", str(start), *flags, "--set", "pipeline.width=32"]
    assert main(["reproduce", "table-systems", *other]) == 2
    assert "has width 64, recipe dynamicrafter-512:dynamicrafter 32; all rows must share it" in capsys.readouterr().err
    scaled = ["--image-to-video", str(start), *flags, "--set", "schedule.base_scale=0.3"]
    assert main(["reproduce", "table-systems", *scaled]) == 2
    assert "another noise schedule than that of recipe" in capsys.readouterr().err
    # What memory asks for may differ from call to call; what a network becomes may not.
    thrifty = ["--image-to-video", str(start), *flags, "--set", "video.training.gradient_accumulation_steps=4"]
    assert main(["reproduce", "table-systems", *thrifty]) == 0
    assert "training" not in capsys.readouterr().err
    slower = ["--image-to-video", str(start), *flags, "--set", "video.training.learning_rate=1e-6"]
    assert main(["reproduce", "table-systems", *slower]) == 2
    assert "holds rows made with another set" in capsys.readouterr().err
    twice = ["--image-to-video", str(start), "--pretrain", "1", "--data-other", str(tiny_clips)]
    assert main(["reproduce", "table-systems", *twice, *flags]) == 2
    assert "--pretrain: the given image-to-video network is what the rows start from" in capsys.readouterr().err


def test_the_recipe_of_both_stages_is_made_of_the_papers() -> None:
    both = get_recipe("dynamicrafter-512")
    text, video = get_recipe("dynamicrafter-512-text"), get_recipe("dynamicrafter-512-video")
    assert both.of("trajectory").unet == replace(text.of("trajectory").unet, in_channels=16), "a target's latent more"
    assert both.of("trajectory").training == text.of("trajectory").training
    assert both.of("video") == replace(video.of("video"), drop_text=0.0), "rows with masks are given no prompt"
    baseline = get_variant("dynamicrafter-512:dynamicrafter").of("video")
    assert (baseline.drop_text, baseline.drop_image) == (0.1, 0.1), "it is sampled with guidance"
    assert both.pipeline == replace(video.pipeline, mask_layout="joint", video_guidance_scale=7.5)
    assert both.schedule == text.schedule


def test_the_recipes_are_the_papers() -> None:
    for name in RECIPES:
        if not name.startswith("dynamicrafter-512-"):
            continue
        recipe = get_recipe(name)
        [component] = recipe.components
        stage = recipe.of(component)
        flags = {**preset("512").unet, "in_channels": 12}
        assert stage.unet == unet_config_from_original(flags) == UNetConfig()
        assert stage.resampler == ResamplerConfig()
        assert recipe.schedule == preset("512").schedule
        assert (recipe.schedule.prediction_type, recipe.schedule.rescale_betas_zero_snr) == ("v_prediction", True)
        assert (recipe.schedule.base_scale, recipe.schedule.turning_step) == (0.7, 400)
        pipeline, training = recipe.pipeline, stage.training
        assert (pipeline.height, pipeline.width, pipeline.num_frames) == (320, 512, 16)
        assert (training.max_steps, training.batch_size, training.gradient_accumulation_steps) == (100_000, 16, 2)
        assert (training.gradient_clip, stage.loss_weight, stage.timestep_shift) == (0.5, 5.0, 1.0)
        assert (training.freeze_temporal, training.frozen_temporal) == (True, "convolutions")
        assert stage.foreground_loss == ("squared-error" if component == "trajectory" else "error")
        assert (stage.contact_map, stage.frame_rate) == ("contact", "source-frames")
        assert (stage.drop_image, stage.drop_target, stage.drop_actor) == (0.0, 0.0, 0.0), "no condition is dropped"
        assert stage.perturb == (0.2 if component == "video" else 0.0)
        assert stage.perturb_kernels == (3, 5, 7)
        assert stage.drop_text == (0.0 if "text" in name else 1.0), "the prompt is empty for position and video"
        assert (training.lora_rank > 0) == name.endswith("-lora")
        assert training.learning_rate == (1e-4 if training.lora_rank else 1e-5)
