"""Configurations of runs from before a setting existed: they load, mean what they meant, and can be resumed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mask2iv import config
from mask2iv.recipes import Recipe, get_recipe
from mask2iv.training.options import TrainingOptions
from mask2iv.training.task import _Task

NEWER = {
    "pipeline.snapping": "nearest",
    "pipeline.fit": "crop",
    "pipeline.fit_scale": 1.0,
    "trajectory.foreground_loss": "error",
    "trajectory.contact_map": "contact",
    "trajectory.frame_rate": "clip",
    "trajectory.training.frozen_temporal": "all",
}


def earlier(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a version without these settings wrote it."""
    values = config.to_dict(recipe)
    for path in NEWER:
        *parents, name = path.split(".")
        part = values
        for parent in parents:
            part = part[parent]
        del part[name]
    return values


def test_a_configuration_without_the_newer_settings_means_what_it_meant() -> None:
    recipe = get_recipe("dynamicrafter-512-text")
    loaded = config.from_dict(Recipe, earlier(recipe))
    assert loaded == config.override(recipe, [f"{path}={value}" for path, value in NEWER.items()])
    assert loaded != recipe, "the corrections are other settings"


@pytest.mark.parametrize("corrected", [False, True])
def test_a_run_resumes_where_its_settings_are_those_of_before(tmp_path: Path, corrected: bool) -> None:
    (tmp_path / "index.jsonl").write_text("")
    recipe = get_recipe("dynamicrafter-512-text")
    before = earlier(recipe)
    if not corrected:
        recipe = config.override(recipe, [f"{path}={value}" for path, value in NEWER.items()])
    task = _Task(TrainingOptions(component="trajectory", data=tmp_path, out=tmp_path / "out"), recipe)
    before["pipeline"].pop("video_guidance_scale")
    for name in ("max_steps", "max_minutes", "decay_steps", "gradient_accumulation_steps", "gradient_checkpointing",
                 "ema_device", "checkpoint_every", "checkpoints_total_limit", "max_shard_size", "validate_every",
                 "validation_clips", "keep", "log_every", "report_to", "max_bad_steps", "max_bad_clips"):  # fmt: skip
        del before["trajectory"]["training"][name]
    text = json.dumps([before["pipeline"], before["schedule"], before["trajectory"]], sort_keys=True)
    found = task._identity(None, [["a"], ["b"]])["settings"]
    assert (found == hashlib.sha256(text.encode()).hexdigest()) != corrected
