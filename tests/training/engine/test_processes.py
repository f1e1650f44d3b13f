"""Several processes, started for real: the losses of one, sharded or not; a failure on one ends all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mask2iv.training.engine.samples import rows_at

WEIGHTS = Path("video_unet") / "diffusion_pytorch_model.safetensors"
SETTINGS = (
    "video.unet.dropout=0.2",
    "video.unet.temporal_conv_dropout=0.2",
    "video.perturb=0.5",
    "video.training.batch_size=4",
)
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}


def losses(out: Path, component: str = "video") -> list[float]:
    lines = [json.loads(line) for line in (out / "training" / component / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    base = ["train", "video", "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    return [*base, "--device", "cpu", *(part for setting in SETTINGS for part in ("--set", setting)), *more]


def copy_model(model: Path, out: Path) -> Path:
    return shutil.copytree(model, out, ignore=shutil.ignore_patterns("training"))


def finish(processes: list[BaseProcess], output: Path) -> None:
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes), output.read_text()


@pytest.fixture(scope="module")
def alone(
    start: Callable[..., list[BaseProcess]],
    tiny_clips: Path,
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What one process makes."""
    folder = tmp_path_factory.mktemp("alone")
    out = copy_model(tiny_model, folder / "model")
    finish(start(arguments(tiny_clips, out), folder / "output"), folder / "output")
    return out


@pytest.mark.parametrize("way", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_give_the_losses_and_weights_of_one(
    way: str, alone: Path, start: Callable[..., list[BaseProcess]], tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """With dropout and perturbed masks, so that every kind of random draw is compared; then both go on, then one."""
    out, output = copy_model(tiny_model, tmp_path / "model"), tmp_path / "output"
    finish(start(arguments(tiny_clips, out), output, 2, **(FSDP if way == "fsdp" else {})), output)
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    assert len(losses(out)) == 4
    manifest = json.loads((out / "training" / "video" / "manifest.json").read_text())
    assert (manifest["processes"], manifest["distributed"]) == (2, {"ddp": "MULTI_CPU", "fsdp": "FSDP"}[way])
    expected = load_file(alone / WEIGHTS)
    together = load_file(out / WEIGHTS)
    begun = load_file(tiny_model / WEIGHTS)
    # AdamW turns the rounding of a gradient near zero into a step of full length, so weights are compared as a whole.
    moved = sum(float((value - begun[name]).square().sum()) for name, value in expected.items())
    apart = sum(float((value - together[name]).square().sum()) for name, value in expected.items())
    assert apart < 1e-4 * moved
    for processes in (2, 1):
        shutil.rmtree(out / "training" / "video" / "checkpoint-00000004")
        more = FSDP if way == "fsdp" and processes == 2 else {}
        finish(
            start(arguments(tiny_clips, out, "--resume_from_checkpoint", "latest"), output, processes, **more), output
        )
        assert losses(out) == pytest.approx(losses(alone), rel=1e-5)


@pytest.mark.parametrize(("component", "batch"), [("painter", 2), ("reference", 8)])
def test_an_adversary_that_joins_in_half_way_trains_on_two_processes_as_on_one(
    component: str,
    batch: int,
    start: Callable[..., list[BaseProcess]],
    tiny_clips: Path,
    planning_model: Path,
    tmp_path: Path,
) -> None:
    """Until then its weights have no gradients, and from then on those of the painter's encoder have none."""
    found = []
    for processes in (1, 2):
        out = copy_model(planning_model, tmp_path / f"model-{processes}")
        settings = ("--set", f"{component}.training.batch_size={batch}")
        command = ["train", component, "--data", str(tiny_clips), "--out", str(out), "--recipe", "tiny", *settings]
        output = tmp_path / f"output-{processes}"
        finish(start([*command, "--threads", "1", "--device", "cpu"], output, processes), output)
        found.append(losses(out, component))
    assert len(found[0]) == 4
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.slow
def test_shards_without_a_moving_average(
    alone: Path, start: Callable[..., list[BaseProcess]], tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """As the dynamicrafter recipes have it: the weights in training are the result, whole, and are gone on with."""
    out, output = copy_model(tiny_model, tmp_path / "model"), tmp_path / "output"
    plain = ("--set", "video.training.ema_decay=0")
    finish(start(arguments(tiny_clips, out, *plain), output, 2, **FSDP), output)
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5), "the average takes no part in a step"
    together = load_file(out / WEIGHTS)
    shutil.rmtree(out / "training" / "video" / "checkpoint-00000004")
    finish(start(arguments(tiny_clips, out, *plain, "--resume_from_checkpoint", "latest"), output, 1), output)
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    again = load_file(out / WEIGHTS)
    begun = load_file(tiny_model / WEIGHTS)
    moved = sum(float((value - begun[name]).square().sum()) for name, value in together.items())
    assert sum(float((value - again[name]).square().sum()) for name, value in together.items()) < 1e-4 * moved


def test_a_failure_on_one_process_ends_all(
    start: Callable[..., list[BaseProcess]], tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The second process finds a damaged clip in a step in which the first has a good one."""
    data, out = shutil.copytree(tiny_clips, tmp_path / "clips"), tmp_path / "model"
    command = ["train", "vae", "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    command += ["--set", "vae.training.batch_size=8"]  # the first four samples of a step show one clip, the others one
    second = rows_at(5, 0, [1])[0]
    (data / "clips" / f"clip-{second}" / "video.mp4").write_bytes(b"damaged")
    started = time.monotonic()
    processes = start(command, tmp_path / "output", 2)
    for process in processes:
        process.join(60)
    assert [process.exitcode != 0 for process in processes] == [True, True]
    assert f"clip clip-{second}: cannot be read" in (tmp_path / "output").read_text()
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_the_launcher_starts_processes_and_ends_them_together(
    alone: Path, tiny_clips: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """`accelerate launch` itself; without MPI it starts several processes with --multi_gpu, on the CPU too."""
    out = copy_model(tiny_model, tmp_path / "model")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "mask2iv"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*launch, *arguments(tiny_clips, out, *more)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)

    result = run()
    assert result.returncode == 0, result.stderr
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    refused = run()
    assert refused.returncode != 0
    assert "holds a run up to checkpoint-00000004; resume from the latest checkpoint" in refused.stderr
