"""Atomic checkpoints of a training run, in safetensors only.

A checkpoint is a folder ``checkpoint-00001000`` that is complete or absent: it is written beside its final name and
renamed. It holds the trained weights, their moving average, the optimiser's tensors and the step. Random states are not
stored because every random number of a run is drawn from generators seeded by (seed, step).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, read_json, write_json

_NAME = re.compile(r"checkpoint-(\d{8})$")


def save_checkpoint(
    run_dir: Path, step: int, tensors: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any], keep: int
) -> Path:
    """Write ``checkpoint-<step>`` with one safetensors file per entry of `tensors`; keep the newest `keep`."""
    target = run_dir / f"checkpoint-{step:08d}"
    with atomic_directory(target, overwrite=True) as folder:
        for name, group in tensors.items():
            save_file(
                {key: value.detach().contiguous() for key, value in group.items()}, folder / f"{name}.safetensors"
            )
        write_json(folder / "state.json", {"step": step, **state})
    for old in list_checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old)
    return target


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    if not run_dir.is_dir():
        return []
    found = [path for path in run_dir.iterdir() if _NAME.match(path.name) and (path / "state.json").is_file()]
    return sorted(found)


def resolve_checkpoint(run_dir: Path, wanted: str) -> Path | None:
    """The checkpoint that ``--resume_from_checkpoint`` names: a path, or "latest" (None when there is none yet).

    Raises:
        InputError: a named checkpoint that does not exist or is incomplete.
    """
    if wanted == "latest":
        found = list_checkpoints(run_dir)
        return found[-1] if found else None
    path = Path(wanted)
    if not (path / "state.json").is_file():
        raise InputError(f"--resume_from_checkpoint: {wanted} is not a complete checkpoint; give a folder or 'latest'")
    return path


def load_checkpoint(path: Path, names: tuple[str, ...]) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read a checkpoint's tensors and state.

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        tensors = {name: load_file(path / f"{name}.safetensors") for name in names}
    except (OSError, SafetensorError) as error:
        raise InputError(f"checkpoint {path} cannot be read ({error}); resume from an earlier one") from error
    return tensors, read_json(path / "state.json")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's per-parameter state as flat tensors, keyed ``<parameter index>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, entry in state.items() for name, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Inverse of :func:`optimizer_tensors`, for an optimiser over the same parameters."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
