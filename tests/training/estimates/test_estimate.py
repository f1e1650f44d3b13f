"""The dry run: what a run will need, estimated before there are data or weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mask2iv.cli import main
from mask2iv.experiments.variants import get_variant
from mask2iv.recipes import get_recipe
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.estimates.estimate import Estimate, Memory, device_memory, estimate
from mask2iv.training.estimates.memory import pass_memory


def dry_run(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["train", *flags, "--dry-run"]) == 0
    return capsys.readouterr().out


def test_the_plan_of_a_run(tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    flags = ("vae", "--recipe", "tiny", "--data", str(tiny_clips), "--out", str(out))
    flags += ("--set", "vae.training.max_steps=77")
    plan = json.loads(dry_run(capsys, *flags, "--json"))
    assert plan["config"]["vae"]["training"]["max_steps"] == 77
    found = plan["estimate"]
    assert (found["steps"], found["batch_size"], found["clips"], found["epochs"]) == (77, 2, 5, 30.8)
    assert found["memory_per_device_bytes"]["estimated"] is True
    assert found["minutes"] == pytest.approx(77 * found["seconds_per_step"] / 60, abs=0.1)
    read = dry_run(capsys, *flags)
    assert "77 steps of 2 clips, 30.8 epochs of 5 clips" in read
    assert "minutes on this machine" in read
    assert "estimated memory of a device" in read
    assert not out.exists(), "nothing is written"


@pytest.mark.parametrize(
    ("component", "folders"),
    [("vae", ["vae"]), ("video", ["video_unet", "video_resampler"])],
)
def test_weights_are_those_of_the_trained_model(component: str, folders: list[str], planning_model: Path) -> None:
    from safetensors.torch import load_file

    files = [path for folder in folders for path in (planning_model / folder).glob("*.safetensors")]
    stored = sum(tensor.numel() for path in files for tensor in load_file(path).values())
    found = estimate(get_recipe("tiny"), component, compare=False)
    assert (found.trained, found.frozen) == (stored, 0)
    assert found.memory.peak > found.trained * 16, "weights, gradients and two moments"


@pytest.mark.parametrize("component", ["painter", "planner", "reference"])
def test_small_components_are_estimated_too(component: str) -> None:
    found = estimate(get_recipe("embedded-cpu"), component, compare=False)
    assert 1e6 < found.trained < 1e7
    assert found.memory.peak > found.trained * 16


def full_size(name: str, **changes: Any) -> Estimate:
    recipe = get_recipe(f"dynamicrafter-512-{name}")
    [component] = recipe.components
    stage = recipe.of(component)
    one = {"batch_size": 1, "gradient_accumulation_steps": 1, **changes}
    training = replace(stage.training, **one)
    return estimate(replace(recipe, **{component: replace(stage, training=training)}), component, compare=False)


def test_the_published_size_fits_the_cards_it_is_meant_for() -> None:
    """16 frames of 320x512, batch 1, bf16: an estimate, see docs/training.md."""
    full = full_size("video")
    assert (full.trained, full.frozen) == (1_215_181_700, 272_472_256), "the temporal convolutions rest"
    assert full.encoders > 1_050_000_000, "autoencoder, CLIP text and image"
    assert full.memory.peak < 40e9
    lora = full_size("video-lora")
    assert lora.frozen == full.trained + full.frozen
    assert lora.memory.peak < 24e9


def test_what_follows_from_the_number_of_weights() -> None:
    def memory(processes: int = 1, **changes: Any) -> Memory:
        return device_memory(TrainingConfig(**changes), 1000, 500, 200, 7000, processes)

    base = memory()
    assert vars(base) == {
        "weights": 6000,
        "encoders": 800,
        "optimizer": 8000,
        "moving_average": 4000,
        "passes": 7000,
        "update": 8000,
        "buckets": 0,
    }
    assert base.peak == 18800 + 8000, "default AdamW: gradients, and the roots of the second moments"
    assert memory(optimizer="adamw-fused").update == 4000
    assert memory(optimizer="adamw-fused").peak == 18800 + 7000
    assert memory(optimizer="adamw-8bit").optimizer == 2000
    assert memory(ema_device="cpu").moving_average == 0
    assert memory(ema_decay=0.0).moving_average == 0
    assert memory(2).buckets == 4000


def test_fewer_clips_at_once_and_gradient_checkpointing_need_less() -> None:
    recipe = get_recipe("tiny")
    stage = recipe.of("video")

    def found(processes: int = 1, **changes: Any) -> Estimate:
        training = replace(stage.training, batch_size=32, **changes)
        recipe_now = replace(recipe, video=replace(stage, training=training))
        return estimate(recipe_now, "video", processes, compare=processes == 1)

    whole, shared = found(), found(4, gradient_accumulation_steps=2, freeze_temporal=True)
    assert (whole.clips_at_once, shared.clips_at_once) == (32, 4)
    assert shared.memory.passes < whole.memory.passes / 3
    assert shared.trained + shared.frozen == whole.trained
    assert whole.memory_other is not None
    assert whole.memory_other.passes < whole.memory.passes / 2, "checkpointing"
    control = estimate(get_variant("embedded-cpu:interdyn"), "video")
    assert control.memory_other is not None
    assert control.memory_other.passes < control.memory.passes / 2, "of the ControlNet too"


def test_a_pass_is_counted_to_the_byte() -> None:
    """A case small enough to count by hand, in numbers of 4 bytes."""
    with torch.device("meta"):
        linear, x = nn.Linear(100, 50, bias=False), torch.empty(20, 100)
    counted = pass_memory(linear, lambda: linear(x).sum(), None)
    assert counted == 4 * (100 * 50 + 1 + 1), "the weight's gradient, the loss and the loss's gradient"
    half = pass_memory(linear, lambda: linear(x).float().sum(), torch.bfloat16)
    assert half > counted, "casts of input and weight live beside the originals"
    assert linear.weight.grad is None
