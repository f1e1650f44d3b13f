"""Saves the whole state of a run to checkpoints and restores it: weights, their average, optimiser, scaler, counters.

What is stored depends on neither the number of processes nor sharding, so either may change when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.files import remove_directory
from mask2iv.training.engine.checkpoint import (
    TensorGroup,
    list_checkpoints,
    load_checkpoint,
    resolve_checkpoint,
    save_checkpoint,
    skim,
    step_of,
)
from mask2iv.training.engine.optim import like, local, whole
from mask2iv.training.engine.run import Progress, Resumable, Run

_IDENTITY_WORDS = {
    "settings": "settings",
    "data": "the contents of the clip set",
    "clips": "the clips trained on",
    "held_out": "the held-out clips",
    "initial_weights": "the initial weights",
    "frozen": "the weights of frozen components",
}
"""Names of the parts of a run's identity that are compared by hash."""


def _averages(trainer: Resumable) -> TensorGroup:
    index = {name: number for number, name in enumerate(trainer.parameters)}
    return TensorGroup(trainer.parameters, lambda name: trainer.ema.value(index[name]))


def _optimizer(trainer: Resumable) -> TensorGroup:
    """The optimiser's state of each parameter, keyed ``<parameter>.<name>``; plain numbers as int64."""
    tensors = {
        f"{name}.{key}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for name, parameter in trainer.parameters.items()
        for key, value in trainer.optimizer.state.get(parameter, {}).items()
    }
    return TensorGroup(tensors, lambda name: whole(tensors[name]))


def save(trainer: Resumable) -> None:
    """Write a checkpoint of the current step.

    Raises:
        InputError: it cannot be written.
    """
    parameters = trainer.parameters
    groups = {
        "model": TensorGroup(parameters, lambda name: whole(parameters[name].detach())),
        **({"ema": _averages(trainer)} if trainer.config.ema_decay else {}),
        "optimizer": _optimizer(trainer),
    }
    scaler = trainer.accelerator.scaler
    state = {
        "progress": asdict(trainer.progress),
        "ema_steps": trainer.ema.steps,
        "scaler": None if scaler is None else scaler.state_dict(),
        "identity": trainer.where.identity,
        "settings": trainer.where.settings,
    }
    _write(trainer, groups, state, trainer.config.checkpoints_total_limit, "checkpoint")


def save_best(trainer: Resumable) -> None:
    """Write the moving average as the best so far, replacing the previous one.

    Raises:
        InputError: it cannot be written.
    """
    _write(trainer, {"ema": _averages(trainer)}, {"figures": trainer.progress.best}, 1, "best")


def _write(
    trainer: Resumable, groups: Mapping[str, TensorGroup], state: Mapping[str, Any], keep: int, kind: str
) -> None:
    if trainer.accelerator.is_main_process:
        limit = trainer.config.shard_bytes
        save_checkpoint(trainer.where.directory, trainer.step, groups, state, keep, limit, kind)
    elif trainer.accelerator.is_fsdp2:
        skim(groups)


def refuse_old_run(directory: Path) -> None:
    """Raises InputError if a run's folder holds checkpoints, which a new run would mix with its own."""
    old = list_checkpoints(directory)
    if old:
        raise InputError(
            str(directory),
            f"holds a run up to {old[-1].name}",
            "resume from the latest checkpoint, or remove that folder to start anew",
        )


def restore(trainer: Resumable, wanted: str | None) -> None:
    """Resume from the wanted checkpoint, or start anew if there is none yet.

    Raises:
        InputError: it cannot be read or belongs to another run, or a new run would mix with an old run's checkpoints.
    """
    directory = trainer.where.directory
    if wanted is None:
        refuse_old_run(directory)
        return
    path = resolve_checkpoint(directory, wanted)
    if path is None:
        return
    later = [other.name for other in list_checkpoints(directory) if step_of(other) > step_of(path)]
    if later:
        raise InputError(
            "resume_from_checkpoint",
            f"{directory} has later checkpoints than {path.name} ({', '.join(later)}), which would be taken for this "
            "run's",
            "remove them to resume from there",
        )
    # Without decay the average is the model itself.
    average = "ema" if trainer.config.ema_decay else "model"
    tensors, state = load_checkpoint(path, tuple(dict.fromkeys(("model", average, "optimizer"))))
    other = _other_run(state, trainer.where)
    if other:
        raise InputError(
            "resume_from_checkpoint",
            f"{path} belongs to another run: {'; '.join(other)}",
            "give the same as before, or use another output folder",
        )
    put_weights(trainer, tensors["model"])
    trainer.ema.load([tensors[average][name] for name in trainer.parameters], state["ema_steps"])
    _restore_optimizer(trainer, tensors["optimizer"])
    if trainer.accelerator.scaler is not None and state["scaler"] is not None:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])
    trainer.progress = config.from_dict(Progress, state["progress"], "progress")
    _restore_best(trainer)


def _other_run(state: Mapping[str, Any], run: Run) -> list[str]:
    """How the run of a checkpoint differs from `run`, one phrase each; empty if it is the same."""
    other = []
    for key, now in run.identity.items():
        was = state["identity"].get(key)
        if was == now:
            continue
        if key == "settings" and state.get("settings"):
            before, after = _flat(state["settings"]), _flat(run.settings)
            other += [
                f"{name} was {before.get(name, 'not there')}, now {after.get(name, 'not there')}"
                for name in sorted(before | after)
                if before.get(name) != after.get(name)
            ]
        elif key in _IDENTITY_WORDS:
            other.append(f"{_IDENTITY_WORDS[key]} differ")
        else:
            other.append(f"{key} was {was!r}, now {now!r}")
    return other


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _restore_best(trainer: Resumable) -> None:
    """Forget the best weights if they belong to steps that will run again."""
    best = trainer.progress.best
    found = list_checkpoints(trainer.where.directory, "best")
    if best is not None and not any(step_of(path) == best["step"] for path in found):
        trainer.progress.best = None
    if trainer.accelerator.is_main_process:
        for path in found:
            if step_of(path) > trainer.step:
                remove_directory(path)


def load_best(trainer: Resumable) -> None:
    """Put the weights of the best validation into the module.

    Raises:
        InputError: there are none.
    """
    found = list_checkpoints(trainer.where.directory, "best")
    if not found:
        problem = f"set to best, but {trainer.where.directory} holds no best checkpoint"
        raise InputError("training.keep", problem, "use keep=last")
    put_weights(trainer, load_checkpoint(found[-1], ("ema",))[0]["ema"])


@torch.no_grad()
def put_weights(trainer: Resumable, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy whole tensors into the trained parameters, sharded or not."""
    for name, parameter in trainer.parameters.items():
        local(parameter).copy_(local(like(tensors[name], parameter)))


def _restore_optimizer(trainer: Resumable, tensors: Mapping[str, torch.Tensor]) -> None:
    optimizer = trainer.optimizer.optimizer
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    index = {id(parameter): number for number, parameter in enumerate(order)}
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        name, _, entry = key.rpartition(".")
        parameter = trainer.parameters[name]
        number = value.ndim == 0 and value.dtype == torch.int64
        state.setdefault(index[id(parameter)], {})[entry] = int(value) if number else like(value, parameter)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
