"""One training loop for every component: gradient steps, moving average, checkpoints, log, validation.

The loop knows nothing of what it trains: it receives the modules, a loss callable and a validation callable. All
randomness of a step comes from generators seeded by (seed, step), so a resumed run continues exactly.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm

from mask2iv.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    resolve_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from mask2iv.errors import InputError
from mask2iv.training.config import TrainingConfig

LossFunction = Callable[[int, torch.Generator], dict[str, torch.Tensor]]
Validation = Callable[[int], dict[str, float]]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random source of one step: a function of (seed, step) alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Samples of a step: epochs are reshuffled, every sample is seen once an epoch, batches may span two epochs."""
    indices = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, offset = divmod(position, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + epoch))
        indices.append(int(order[offset]))
    return indices


class Trainer:
    """Runs the loop for one component.

    Args:
        module: the trained parameters (those with requires_grad).
        config: optimisation settings.
        run_dir: receives checkpoints and ``log.jsonl``.
        loss: maps (step, generator) to named scalars; "loss" is minimised, the others are logged.
        validate: maps a step to figures, called with the moving average in place.
        identity: what the run is (resolved config, data hash); a checkpoint of another run is refused.
    """

    def __init__(
        self,
        module: nn.Module,
        config: TrainingConfig,
        run_dir: Path,
        loss: LossFunction,
        validate: Validation | None = None,
        identity: dict[str, Any] | None = None,
    ) -> None:
        self.module, self.config, self.run_dir = module, config, run_dir
        self.loss, self.validate, self.identity = loss, validate, identity or {}
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        matrices = [p for p in self.parameters if p.ndim >= 2]
        vectors = [p for p in self.parameters if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))
        self.ema = EMAModel(self.parameters, decay=config.ema_decay)
        self.step = 0

    def run(self, resume_from: str | None = None) -> dict[str, float]:
        """Train to the last step and leave the moving average in the module. Returns the last validation's figures."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if resume_from is not None:
            self._resume(resume_from)
        self._trim_log()
        figures: dict[str, float] = {}
        started = time.perf_counter()
        self.module.train()
        with tqdm(total=self.config.max_steps, initial=self.step, unit="step", desc=self.run_dir.name) as bar:
            while self.step < self.config.max_steps:
                record = self._train_step()
                bar.update()
                bar.set_postfix(loss=f"{record['loss']:.4f}")
                if self.step % self.config.log_every == 0:
                    self._log({"step": self.step, "seconds": round(time.perf_counter() - started, 1), **record})
                if self.step % self.config.checkpoint_every == 0:
                    self._save()
                every = self.config.validate_every
                if every and self.step % every == 0 and self.step < self.config.max_steps:
                    figures = self._validate()
        self._save()
        figures = self._validate()
        self.ema.copy_to(self.parameters)
        self.module.eval()
        return figures

    def _train_step(self) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step)
        # Dropout draws from the global generator; seeding it here keeps a resumed run exact.
        torch.manual_seed(self.config.seed * 1_000_033 + self.step)
        generator = step_generator(self.config.seed, self.step)
        with torch.autocast(
            self.parameters[0].device.type, torch.bfloat16, enabled=self.config.mixed_precision == "bf16"
        ):
            terms = self.loss(self.step, generator)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip)
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"gradient norm is {float(norm)} at step {self.step}; lower the learning rate")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.parameters)
        self.step += 1
        return {**{name: float(value.detach()) for name, value in terms.items()}, "gradient_norm": float(norm)}

    def _validate(self) -> dict[str, float]:
        if self.validate is None:
            return {}
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        self.module.eval()
        with torch.no_grad():
            figures = self.validate(self.step)
        self.module.train()
        self.ema.restore(self.parameters)
        self._log({"step": self.step, "validation": figures})
        return figures

    def _save(self) -> None:
        tensors: dict[str, dict[str, torch.Tensor]] = {
            "model": dict(zip(self.names, self.parameters, strict=True)),
            "ema": dict(zip(self.names, self.ema.shadow_params, strict=True)),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        state = {"ema_step": self.ema.optimization_step, "identity": self.identity}
        save_checkpoint(self.run_dir, self.step, tensors, state, self.config.checkpoints_total_limit)

    def _resume(self, wanted: str) -> None:
        path = resolve_checkpoint(self.run_dir, wanted)
        if path is None:
            return
        tensors, state = load_checkpoint(path, ("model", "ema", "optimizer"))
        for key, value in self.identity.items():
            if state["identity"].get(key) != value:
                raise InputError(
                    f"--resume_from_checkpoint: {path} belongs to another run ({key} was "
                    f"{state['identity'].get(key)!r}, now {value!r}); use another --out"
                )
        with torch.no_grad():
            for name, parameter in zip(self.names, self.parameters, strict=True):
                parameter.copy_(tensors["model"][name])
        averages = zip(self.names, self.parameters, strict=True)
        self.ema.shadow_params = [tensors["ema"][name].to(parameter) for name, parameter in averages]
        self.ema.optimization_step = state["ema_step"]
        restore_optimizer(self.optimizer, tensors["optimizer"])
        self.step = state["step"]

    def _log(self, record: dict[str, Any]) -> None:
        with (self.run_dir / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _trim_log(self) -> None:
        """Drop log lines of steps that will be run again."""
        path = self.run_dir / "log.jsonl"
        if path.is_file():
            kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= self.step]
            path.write_text("".join(line + "\n" for line in kept if self.step))
