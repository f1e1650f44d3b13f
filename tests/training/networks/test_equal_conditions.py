"""Training and generation give the networks of both stages equal conditions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.cli import main
from mask2iv.contract import Clip, is_actor
from mask2iv.data.store import ClipSet
from mask2iv.pipelines.pipeline import Mask2IVPipeline

DROPS = ("drop_text", "drop_target", "drop_image", "drop_actor", "perturb")


class Stop(Exception):
    """Raised by the spies once they have seen the conditions."""


def in_training(
    component: str, clips: Path, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *flags: str
) -> Conditions:
    """Conditions of the first training step on the first clip alone."""
    seen: list[Conditions] = []

    def loss(stage: Stage, schedule: Any, latents: torch.Tensor, conditions: Conditions, *rest: Any) -> torch.Tensor:
        seen.append(conditions)
        raise Stop

    shutil.copytree(model, out, ignore=shutil.ignore_patterns("training"))
    command = ["train", component, "--data", str(clips), "--out", str(out), "--recipe", "tiny", "--limit", "1"]
    settings = [word for name in DROPS for word in ("--set", f"{component}.{name}=0")]
    with monkeypatch.context() as patch, suppress(Stop):
        patch.setattr(Stage, "loss", loss)
        main([*command, "--device", "cpu", "--threads", "1", *settings, *flags])
    [conditions] = seen
    return conditions


def in_generation(component: str, model: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """Conditions of the fully conditioned branch, from the same first frame, masks, prompt and trajectory."""
    seen: list[Conditions] = []

    def generate(stage: Stage, scheduler: Any, shape: Any, branches: Sequence[Conditions], *_: Any, **__: Any) -> None:
        seen.append(branches[-1])
        raise Stop

    pipeline = Mask2IVPipeline.from_pretrained(model)
    with monkeypatch.context() as patch, suppress(Stop):
        patch.setattr(Stage, "generate", generate)
        if component == "trajectory":
            actor_mask = is_actor(clip.trajectory.labels[0])
            pipeline.trajectory(
                clip.image, clip.object_mask, clip.caption, clip.target_mask, actor_mask, progress=False
            )
        else:
            pipeline.render(clip.image, clip.trajectory, progress=False)
    [conditions] = seen
    return conditions


@pytest.mark.parametrize("cached", ["true", "false"])
@pytest.mark.parametrize("component", ["trajectory", "video"])
def test_training_and_generation_assemble_equal_conditions(
    component: str, cached: str, tiny_clips: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--set", f"{component}.cache_latents={cached}")
    trained = in_training(component, tiny_clips, tiny_model, tmp_path / "model", monkeypatch, *flags)
    generated = in_generation(component, tiny_model, ClipSet(tiny_clips)[0], monkeypatch)
    for name in (field.name for field in fields(Conditions)):
        given, expected = getattr(trained, name), getattr(generated, name)
        # Training's latents and image tokens are kept in half precision.
        expected = expected.expand(len(given), *expected.shape[1:])
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
