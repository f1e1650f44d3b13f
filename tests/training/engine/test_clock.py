"""A run with a time limit ends in time, with its schedule at its end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mask2iv.cli import main
from mask2iv.pipelines.components import load_component
from mask2iv.pipelines.folder import read_index
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine import clock
from mask2iv.training.engine.clock import Clock


def test_the_schedule_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(clock.time, "monotonic", lambda: now.value)
    config = TrainingConfig(max_steps=1000, decay_steps=400, learning_rate=1.0, max_minutes=2)
    # 20 s of the two minutes went for other things before training began.
    watch = Clock(config, begun=80.0, first=0)
    rates = []
    for seconds in (0, 60, 80, 100):
        now.value = 100.0 + seconds
        rates.append(config.rate(30, max(30, watch.place())))
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert Clock(TrainingConfig(), begun=0.0, first=0).place() == 0.0


def test_a_run_ends_in_time_with_a_component_that_can_be_used(tmp_path: Path, tiny_clips: Path) -> None:
    out = tmp_path / "model"
    flags = ["--recipe", "tiny", "--data", str(tiny_clips), "--out", str(out), "--threads", "1", "--device", "cpu"]
    for change in ("max_steps=1000000", "decay_steps=500000", "max_minutes=0.1", "log_every=1"):
        flags += ["--set", f"vae.training.{change}"]
    started = time.monotonic()
    assert main(["train", "vae", *flags]) == 0
    assert time.monotonic() - started < 60
    lines = [json.loads(line) for line in (out / "training" / "vae" / "log.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if "learning_rate" in line]
    assert rates[-1] < 0.1 * rates[0]
    load_component(out, "vae", read_index(out)[1]["vae"], torch.float32)
