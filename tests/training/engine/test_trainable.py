"""What of a stage is trained: temporal layers frozen, adapters added, saved and merged; recomputation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.cli import main
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.recipes import get_recipe
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.samples import dropout_seeds
from mask2iv.training.engine.trainable import (
    adapted_layers,
    choose_trainable,
    merge_adapters,
    save_adapter,
    temporal_parameters,
)
from mask2iv.training.networks.stages import control_config

RECIPE = get_recipe("tiny")


def stage(dropout: float = 0.0) -> Stage:
    """Random weights everywhere, also where a fresh network has zeros."""
    torch.manual_seed(0)
    unet = replace(RECIPE.video.unet, dropout=dropout, temporal_conv_dropout=dropout)
    made = Stage(VideoUNet(unet), Resampler(RECIPE.video.resampler))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return made


def loss(model: Stage, seeds: list[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    unet, resampler = model.unet.config, RECIPE.video.resampler

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    channels, batch = unet.out_channels, len(seeds)
    conditions = Conditions(
        draw(batch, unet.in_channels - channels, 4, 2, 4),
        draw(batch, unet.text_tokens, unet.context_dim),
        draw(batch, 5, resampler.embedding_dim),
        torch.full((batch,), 8.0),
        draw(batch, channels, 1, 2, 4),
    )
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    weight = torch.ones(batch, 1, 4, 2, 4)
    return model.loss(NoiseSchedule(RECIPE.schedule), draw(batch, channels, 4, 2, 4), conditions, weight, generators)


def test_temporal_layers_are_those_that_mix_frames() -> None:
    """Without them, what one frame shows does not change another."""
    model = stage().unet.eval()
    names = set(temporal_parameters(model))
    assert {name.split(".")[0] for name in names} == {"init_attention", "encoder", "middle", "decoder"}
    assert all("temporal" in name or name.startswith("init_attention") for name in names)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # The last layer of a residual branch off: the branch adds nothing.
            if name in names and ("proj_out" in name or "convs.3" in name) and "ff" not in name:
                parameter.zero_()
        x = torch.randn(1, model.config.in_channels, 4, 2, 4)
        other = x.clone()
        other[:, :, 2] += 1
        context = torch.randn(1, model.config.text_tokens, model.config.context_dim)
        times = torch.tensor([7])
        difference = (model(x, times, context) - model(other, times, context)).abs().amax(dim=(0, 1, 3, 4))
    assert difference[2] > 1e-3
    assert difference[[0, 1, 3]].max() == 0


def test_temporal_layers_are_frozen_and_the_rest_learns() -> None:
    model = stage()
    choose_trainable(model, TrainingConfig(freeze_temporal=True))
    loss(model, [1, 2]).backward()
    frozen = set(temporal_parameters(model))
    assert frozen
    assert {name for name, p in model.named_parameters() if p.grad is None} == frozen


def test_what_the_paper_and_its_log_freeze_of_the_full_size_network() -> None:
    """The log: 1138 of 1516 tensors trained, 1.2 of 1.4 billion weights. The paper's words: all temporal layers.

    A temporal convolution block is 4 norms and 4 convolutions, with weight and bias: 16 tensors in each of 22 residual
    blocks. A temporal transformer is a norm (2), two projections (4), two attentions (5 each), a feed-forward layer (4)
    and three norms (6): 26 tensors, in 16 places besides the first one.
    """
    with torch.device("meta"):
        unet = VideoUNet(UNetConfig())

    def trained(which: str) -> list[torch.nn.Parameter]:
        unet.requires_grad_(True)
        choose_trainable(unet, TrainingConfig(freeze_temporal=True, frozen_temporal=which))  # type: ignore[arg-type]
        return [parameter for parameter in unet.parameters() if parameter.requires_grad]

    assert len(list(unet.parameters())) == 1516
    assert len(trained("convolutions")) == 1516 - 16 * 22 - 26 == 1138
    shares = sum(p.numel() for p in trained("convolutions")), sum(p.numel() for p in unet.parameters())
    assert [f"{share / 1e9:.1f}" for share in shares] == ["1.2", "1.4"]
    assert all(p.requires_grad for name, p in unet.named_parameters() if ".temporal." in name)
    assert len(trained("all")) == 1138 - 26 * 16 == 722


def test_a_controlnet_is_trained_whole() -> None:
    model = stage()
    model.controlnet = ControlNet(control_config(model.unet.config))
    choose_trainable(model, TrainingConfig(freeze_temporal=True))
    assert all(parameter.requires_grad for parameter in model.controlnet.parameters())
    assert not model.unet.init_attention.proj_in.weight.requires_grad  # type: ignore[union-attr]


@pytest.mark.parametrize("targets", ["attention", "linear+conv"])
def test_adapters_merge_into_a_plain_stage_of_the_same_outputs(targets: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model, plain = stage(), stage()
    freeze = targets == "linear+conv"
    config = TrainingConfig(lora_rank=3, lora_targets=targets, freeze_temporal=freeze)  # type: ignore[arg-type]
    layers = adapted_layers(plain, config)
    assert "unet.conv_in" in layers
    temporal = {name.rpartition(".")[0] for name in temporal_parameters(plain)}
    assert bool(temporal & set(layers)) != freeze
    choose_trainable(model, config)
    assert all("lora" in name for name, p in model.named_parameters() if p.requires_grad)
    # Fresh adapters add nothing.
    torch.testing.assert_close(loss(model, [1, 2]), loss(plain, [1, 2]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    adapted = loss(model, [1, 2])
    save_adapter(model, tmp_path / "adapter")
    merge_adapters(model)
    assert set(model.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(loss(model, [1, 2]), adapted)
    assert abs(float(adapted.detach() - loss(plain, [1, 2]).detach())) > 1e-3
    again = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter").merge_and_unload()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_recomputed_blocks_give_equal_gradients_with_dropout_too() -> None:
    kept, recomputed = stage(dropout=0.3), stage(dropout=0.3)
    recomputed.unet.enable_gradient_checkpointing()
    for model in (kept, recomputed):
        with dropout_seeds(model, [3, 4]):
            loss(model, [1, 2]).backward()
    others = dict(recomputed.named_parameters())
    for name, parameter in kept.named_parameters():
        assert parameter.grad is not None, name
        assert torch.equal(parameter.grad, others[name].grad), name


def test_a_stage_fine_tuned_by_adapters_is_saved_merged_with_the_adapter_beside(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line, in two parts; the pipeline then loads without peft."""
    pytest.importorskip("peft")
    command = ["train", "trajectory", "--data", str(tiny_clips), "--recipe", "tiny", "--threads", "1"]
    command += ["--keep", "best", "--gradient_checkpointing", "true", "--gradient_accumulation_steps", "2"]
    for setting in ("lora_rank=2", "freeze_temporal=true", "validate_every=2"):
        command += ["--set", f"trajectory.training.{setting}"]
    start = ["--initial-weights", str(tiny_model)]
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    command += ["--out", str(out)]
    assert main(command) == 2
    assert (
        "training.lora_rank: trains a part of given networks, found none; give their folder as"
        in capsys.readouterr().err
    )
    assert main([*command, *start, "--set", "trajectory.training.max_steps=2"]) == 0
    assert main([*command, *start, "--resume_from_checkpoint", "latest"]) == 0
    name = Path("trajectory_unet") / "diffusion_pytorch_model.safetensors"
    base, tuned = load_file(tiny_model / name), load_file(out / name)
    assert set(base) == set(tuned)
    changed = {key for key in base if not torch.equal(base[key], tuned[key])}
    assert changed
    assert not changed & set(temporal_parameters(Mask2IVPipeline.from_pretrained(out).trajectory_stage.unet))  # type: ignore[union-attr]
    run = out / "training" / "trajectory"
    assert (run / "adapter" / "adapter_config.json").is_file()
    last = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()][-1]
    assert set(last["validation"]) == {"loss", "miou", "object_iou", "actor_iou"}
    figures = json.loads((run / "manifest.json").read_text())["figures"]
    assert figures == last["validation"]
