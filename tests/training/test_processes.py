"""Several processes, started for real: the losses of one, sharded or not; a failure on one ends all."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

COMMAND = ("--recipe", "tiny", "--threads", "1", "--device", "cpu")


def launch(processes: int, arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` on the CPU."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    starter = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
    starter += [
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--num_cpu_threads_per_process",
        "1",
    ]
    starter += ["--main_process_port", str(port), "-m", "mask2iv", *arguments]
    return subprocess.run(
        starter, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_two_processes_give_the_losses_and_weights_of_one(
    sharded: bool, tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """With dropout and perturbed masks, so that every kind of random draw is compared."""
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    settings = ["video.unet.dropout=0.2", "video.unet.temporal_conv_dropout=0.2", "video.perturb=0.5"]
    settings += ["video.training.batch_size=4", "video.training.checkpoint_every=2"]
    base = ["train", "video", "--data", str(tiny_clips), "--out", str(out), *COMMAND]
    flags = [part for setting in settings for part in ("--set", setting)]
    alone = subprocess.run(
        [sys.executable, "-m", "mask2iv", *base, *flags], capture_output=True, text=True, timeout=300
    )
    assert alone.returncode == 0, alone.stderr
    weights = load_file(out / "video_unet" / "diffusion_pytorch_model.safetensors")
    single = losses(out / "training" / "video")
    shutil.move(out / "training" / "video", tmp_path / "alone")
    environment = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"} if sharded else {}
    environment |= {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"} if sharded else {}
    together = launch(2, [*base, *flags], **environment)
    assert together.returncode == 0, together.stderr
    assert losses(out / "training" / "video") == pytest.approx(single, rel=1e-5)
    manifest = json.loads((out / "training" / "video" / "manifest.json").read_text())
    assert (manifest["processes"], manifest["distributed"]) == (2, "FSDP" if sharded else "MULTI_CPU")
    both = load_file(out / "video_unet" / "diffusion_pytorch_model.safetensors")
    for name, value in weights.items():
        torch.testing.assert_close(both[name], value, rtol=1e-3, atol=1e-4)
    # What two processes saved, one goes on from.
    state = tmp_path / "alone" / "checkpoint-00000002"
    shutil.rmtree(out / "training" / "video" / "checkpoint-00000004")
    more = [*base, *flags, "--resume_from_checkpoint", "latest"]
    resumed = subprocess.run([sys.executable, "-m", "mask2iv", *more], capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    assert losses(out / "training" / "video") == pytest.approx(single, rel=1e-5)
    assert state.is_dir()


def test_a_failure_on_one_process_ends_all(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    """The second process cannot write its part of the work: it finds another number of clips than the first."""
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out, ignore=shutil.ignore_patterns("training"))
    started = time.monotonic()
    result = launch(
        2,
        ["train", "vae", "--data", str(tiny_clips), "--out", str(out), *COMMAND, "--set", "vae.training.batch_size=3"],
    )
    assert result.returncode != 0
    assert "2 processes x gradient_accumulation_steps=1 do not divide" in result.stderr
    assert time.monotonic() - started < 120
