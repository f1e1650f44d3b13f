"""How the rows of a table were made, as ``mask2iv reproduce`` records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.config import read_config, read_records
from mask2iv.manifest import weights_digest
from mask2iv.recipes import Recipe


def training_record(folder: Path, component: str) -> dict[str, Any]:
    """How a row's networks were trained, from the files of the training; without these, the folder and its digest."""
    run = folder / "training" / component
    if not (run / "manifest.json").is_file():
        return {"weights_sha256": weights_digest(folder), "path": str(folder)}
    manifest = read_config(run / "manifest.json", dict[str, Any])
    return {
        "hours": round(_logged_seconds(run / "log.jsonl") / 3600, 4),
        "weights_sha256": weights_digest(folder),
        **{name: manifest.get(name) for name in ("config", "data", "figures", "hardware")},
    }


def budget_line(recipe: Recipe, trained: Mapping[str, Mapping[str, Any]]) -> str:
    """What each network was trained with, how long that took, and on what hardware.

    Args:
        recipe: of the rows, with the budget that all share.
        trained: :func:`training_record` by model.
    """
    budgets = {
        stage: f"{training.max_steps} steps of {training.batch_size} clips"
        for stage, training in (
            ("stage 1", recipe.of("trajectory").training),
            ("stage 2", recipe.of("video").training),
        )
    }
    same = len(set(budgets.values())) == 1
    budget = budgets["stage 1"] if same else ", ".join(f"{stage} {text}" for stage, text in budgets.items())
    hours = ", ".join(f"{name} {record['hours']:.2f}" for name, record in trained.items() if "hours" in record)
    found = [machine for record in trained.values() if (machine := record.get("hardware"))]
    machines = {f"{machine['device']}, {machine['threads']} threads" for machine in found}
    where = f" ({'; '.join(sorted(machines))})" if machines else ""
    return (
        f"Every network: recipe {recipe.name.partition(':')[0]}, {budget}. Hours of training: {hours or 'none'}{where}."
    )


def sampling_line(recipe: Recipe, steps: int | None) -> str:
    """How outputs are sampled.

    Args:
        recipe: of the rows.
        steps: of each stage; None: the recipe's.
    """
    own = recipe.pipeline
    return (
        f"Sampled with {steps or own.num_inference_steps} steps of {own.sampler} in stage 1, "
        f"{steps or own.video_num_inference_steps} in stage 2, {own.num_frames} frames of {own.height}x{own.width}."
    )


@dataclass(frozen=True)
class _LogLine:
    """What is read of a line of ``log.jsonl``."""

    seconds: float | None = None


def _logged_seconds(log: Path) -> float:
    """Seconds that the steps of a training took; a log's clock restarts after each interruption."""
    total = last = 0.0
    for record in read_records(log, _LogLine):
        if (seconds := record.seconds) is not None:
            total, last = total + (seconds - last if seconds >= last else seconds), seconds
    return total
