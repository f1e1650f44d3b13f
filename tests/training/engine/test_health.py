"""What a run reports: speed and memory in its log and in TensorBoard; damaged clips named and left out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mask2iv.cli import main
from mask2iv.training.engine.health import count_flops


def test_operations_are_those_of_the_formulas() -> None:
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    forward = 2 * 7 * (10 * 20 + 20 * 5)
    assert count_flops(lambda: model(torch.randn(7, 10))) == 3 * forward
    query = torch.randn(2, 3, 16, 8)
    attention = 2 * 2 * 2 * 3 * 16 * 16 * 8
    assert count_flops(lambda: nn.functional.scaled_dot_product_attention(query, query, query)) == 3 * attention


def train(component: str, data: Path, out: Path, *flags: str) -> int:
    base = ["train", component, "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    return main([*base, *flags])


def test_rates_and_memory_are_in_the_log_and_in_tensorboard(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    assert train("video", tiny_clips, out, "--report_to", "tensorboard") == 0
    run = out / "training" / "video"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    common = {"step", "seconds", "loss", "gradient_norm", "learning_rate", "bad_steps"}
    assert set(lines[0]) == common | {"clips_per_second", "tflops", "peak_rss_gib"}
    assert lines[0]["tflops"] > 0
    assert set(lines[-1]["validation"]) == {"loss", "psnr", "ssim"}
    events = loader.EventAccumulator(str(run / "mask2iv"))
    events.Reload()
    scalars = {event.step: event.value for event in events.Scalars("loss")}
    assert scalars == pytest.approx({line["step"]: line["loss"] for line in lines if "loss" in line})
    assert events.Scalars("validation/psnr")[0].value == pytest.approx(lines[-1]["validation"]["psnr"])


def test_a_missing_library_names_the_extra(
    tiny_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("wandb", "bitsandbytes"):
        monkeypatch.setitem(sys.modules, library, None)
    for flag, extra in (("report_to=wandb", "wandb"), ("optimizer=adamw-8bit", "adamw8bit")):
        assert train("vae", tiny_clips, tmp_path / "model", "--set", f"vae.training.{flag}") == 2
        assert f'pip install ".[{extra}]"' in capsys.readouterr().err


def test_fp16_needs_a_gpu(tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("vae", tiny_clips, tmp_path / "model", "--mixed_precision", "fp16", "--device", "cpu") == 2
    assert "fp16 needs a GPU" in capsys.readouterr().err


@pytest.mark.parametrize("component", ["vae", "video"])
def test_a_damaged_clip_is_named_and_left_out_within_the_limit(
    component: str, tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = shutil.copytree(tiny_clips, tmp_path / "clips"), tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    (data / "clips" / "clip-1" / "video.mp4").write_bytes(b"damaged")
    assert train(component, data, out) == 2
    assert "clip clip-1: cannot be read: " in capsys.readouterr().err
    allowed = ("--set", f"{component}.training.max_bad_clips=1", "--resume_from_checkpoint", "latest")
    assert train(component, data, out, *allowed) == 0
    assert "left out: clip clip-1 cannot be read" in capsys.readouterr().err
    manifest = json.loads((out / "training" / component / "manifest.json").read_text())
    assert list(manifest["data"]["left_out"]) == ["clip-1"]
    assert manifest["data"]["clips"] == 4
    (data / "clips" / "clip-2" / "labels.npz").write_bytes(b"damaged too")
    assert train(component, data, out, *allowed) == 2
    assert "one more than training.max_bad_clips=1 allows to leave out (clip-1, clip-2)" in capsys.readouterr().err
