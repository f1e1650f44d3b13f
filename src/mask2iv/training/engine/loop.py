"""One training loop for every component: gradient steps, moving average, checkpoints, log, validation.

The loop knows nothing of what it trains: it receives the module, a loss callable and a validation callable. All
randomness of a step is a function of (seed, step, sample), so a resumed run continues exactly, and one on several
processes computes what one on a single process does.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from torch import nn
from tqdm import tqdm

from mask2iv.errors import InputError
from mask2iv.files import atomic_write, claimed, remove_leftovers
from mask2iv.parsing import parse_json, read_bytes
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.clock import Clock
from mask2iv.training.engine.health import Speed, count_flops, peak_memory
from mask2iv.training.engine.optim import MovingAverage, make_optimizer, whole
from mask2iv.training.engine.resume import load_best, restore, save, save_best
from mask2iv.training.engine.run import Progress, Run
from mask2iv.training.engine.samples import Samples, dropout_seeds, step_samples

LossFunction = Callable[[Samples], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Validation:
    """How a component is measured on held-out clips.

    Attributes:
        figures: maps a step to figures; called with the moving average in place. Only the main process calls it; with
            sharded weights every process does, and only the main one may write.
        measure: the figure that decides which weights are the best.
        larger_is_better: whether larger values of the measure are better.
    """

    figures: Callable[[int], dict[str, float]]
    measure: str
    larger_is_better: bool = True

    def improves(self, figures: dict[str, float], best: dict[str, float] | None) -> bool:
        """Whether figures are better than the best so far."""
        if best is None:
            return True
        found, record = figures[self.measure], best[self.measure]
        return found > record if self.larger_is_better else found < record


class Objective(nn.Module):
    """What is distributed: the trained module, with any computation that uses it as the forward pass.

    DDP and FSDP prepare gradients and gather weights around the forward pass of the module they wrap.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        # Units that FSDP gathers and frees one by one.
        present = {type(layer).__name__ for layer in module.modules()}
        self._no_split_modules = sorted({"UNetBlock"} & present)

    def forward(self, compute: Callable[[], Any]) -> Any:
        return compute()


class Trainer:
    """Runs the loop for one component.

    Args:
        module: the trained parameters (those with requires_grad).
        config: optimisation settings.
        run: where the training happens.
        loss: maps samples to named scalars, each a mean over the samples; "loss" is minimised, the others are logged.
        names: clip ids of the data, which the samples' rows index.
        validation: how the component is measured; None for no validation.
        divisible: whether the loss is a mean of independent samples; if not (contrastive losses), every process
            computes the whole batch.
        flops: whether to count floating point operations, for the log.
        share: number of neighbours in a batch that show the same row of the data.
        resting: whether some parameters get no gradients in a part of the run; DDP must then look for them.
    """

    def __init__(
        self,
        module: nn.Module,
        config: TrainingConfig,
        run: Run,
        loss: LossFunction,
        names: Sequence[str],
        validation: Validation | None = None,
        divisible: bool = True,
        flops: bool = False,
        share: int = 1,
        resting: bool = False,
    ) -> None:
        self.module, self.config, self.where, self.loss = module, config, run, loss
        self.names, self.validation, self.flops, self.share = names, validation, flops, share
        self.accelerator = run.accelerator
        self.shares = self.accelerator.num_processes if divisible else 1
        if not divisible and config.gradient_accumulation_steps > 1:
            raise InputError(
                "training.gradient_accumulation_steps", "this component's loss needs whole batches", "set it to 1"
            )
        step_samples(config, len(names), 0, 0, self.shares)  # refuses a batch that cannot be divided
        if resting:
            self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._distribute()
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        device = "cpu" if config.ema_device == "cpu" else None
        self.ema = MovingAverage(list(self.parameters.values()), config.ema_decay, device)
        self.progress = Progress()
        self._place = 0.0

    def _distribute(self) -> None:
        config, accelerator = self.config, self.accelerator
        if accelerator.is_fsdp2 and config.optimizer == "adamw-8bit":
            raise InputError(
                "training.optimizer", "adamw-8bit does not work on sharded weights", "use adamw-fused with FSDP"
            )
        if not accelerator.is_fsdp2:
            self.module.to(accelerator.device)
        optimizer = make_optimizer([p for p in self.module.parameters() if p.requires_grad], config)
        self.model, self.optimizer = accelerator.prepare(Objective(self.module), optimizer)
        # Frozen ones too: accelerate recognises a sharded model by its whole list of parameters.
        self._all_parameters = list(self.model.parameters())

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.progress.step

    @property
    def place(self) -> float:
        """Position in the schedule, in steps: the steps done, or further if ``max_minutes`` demands it."""
        return max(self._place, float(self.step))

    def run(self) -> dict[str, float]:
        """Train to the last step and leave the weights to keep in the module. Returns the last validation's figures.

        Raises:
            InputError: a checkpoint that cannot be resumed or written, too many bad steps, or another process trains in
                the same folder.
        """
        with self._claim():
            self._start()
            self._train()
            if self.config.keep == "best" and self.validation is not None:
                load_best(self)
            else:
                self.ema.copy_to_parameters()
        self.module.eval()
        return self.progress.figures

    def full_state(self) -> dict[str, torch.Tensor]:
        """The module's weights, whole, on the CPU; all processes must call it, the main one receives them."""
        main = self.accelerator.is_main_process
        state = {}
        for name, tensor in self.module.state_dict().items():
            value = whole(tensor.detach())
            if main:
                state[name] = value.cpu()
        return state

    def _claim(self) -> AbstractContextManager[None]:
        directory = self.where.directory
        if not self.accelerator.is_main_process:
            return nullcontext()
        directory.mkdir(parents=True, exist_ok=True)
        return claimed(directory)

    def _start(self) -> None:
        directory, resume = self.where.directory, self.where.resume
        if self.accelerator.is_main_process:
            remove_leftovers(directory)
        self.accelerator.wait_for_everyone()
        restore(self, resume)
        if self.accelerator.is_main_process:
            self._trim_log()
        if self.config.report_to != "none":
            self.accelerator.init_trackers("mask2iv", config=_plain(self.config))

    def _train(self) -> None:
        config, progress = self.config, self.progress
        if progress.step >= config.max_steps:
            return
        self.module.train()
        self.speed = Speed(config.batch_size, self._step_flops() if self.flops else 0.0, self.shares)
        main = self.accelerator.is_main_process
        bar = tqdm(
            total=config.max_steps, initial=progress.step, unit="step", desc=self.where.directory.name, disable=not main
        )
        with bar:
            clock = Clock(config, self.where.begun, progress.step, self.accelerator.num_processes)
            while self.place < config.max_steps:
                record = self._train_step()
                self.speed.step()
                bar.update()
                self._place = clock.place()
                if progress.step % config.log_every == 0:
                    record |= self.speed.look() | peak_memory(self.accelerator.device)
                    seconds = round(bar.format_dict["elapsed"], 1) if main else 0.0
                    self._log({"step": progress.step, "seconds": seconds, **record})
                    bar.set_postfix(_shown(record))
                last = self.place >= config.max_steps
                if last or (config.validate_every and progress.step % config.validate_every == 0):
                    self._untimed(self._validate)
                if last or progress.step % config.checkpoint_every == 0:
                    self._untimed(partial(save, self))

    def _untimed(self, work: Callable[[], None]) -> None:
        """Do work other than training, on all processes together, outside the measured time."""
        self.speed.pause()
        self.accelerator.wait_for_everyone()
        work()
        self.accelerator.wait_for_everyone()
        self.speed.resume()

    def _samples(self) -> list[Samples]:
        process = self.accelerator.process_index if self.shares > 1 else 0
        count, average = len(self.names), self._average
        made = step_samples(self.config, count, self.step, process, self.shares, average, self.share)
        return [replace(samples, place=self.place) for samples in made]

    def _average(self, value: torch.Tensor) -> torch.Tensor:
        value = value.detach()
        return self.accelerator.reduce(value.clone(), "mean") if self.shares > 1 else value

    def _compute(self, samples: Samples) -> dict[str, torch.Tensor]:
        with self.accelerator.autocast():
            terms: dict[str, torch.Tensor] = self.model(partial(self.loss, samples))
        return terms

    def _step_flops(self) -> float:
        """Operations of a step over all processes, from the forward and backward pass of the first samples."""
        samples = self._samples()[0]
        parts = self.config.batch_size // len(samples)
        with dropout_seeds(self.module, samples.seeds):
            return parts * count_flops(lambda: self._compute(samples))

    def _train_step(self) -> dict[str, float]:
        config, accelerator, progress = self.config, self.accelerator, self.progress
        rate = config.rate(progress.step, self.place)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = self._samples()
        sums: dict[str, torch.Tensor] = {}
        bad: list[str] = []
        for number, samples in enumerate(parts, start=1):
            # Nothing should draw from the global generator; if something does, a resumed run draws the same.
            torch.manual_seed(samples.seeds[0])
            with (
                contextlib.nullcontext() if number == len(parts) else accelerator.no_sync(self.model),
                dropout_seeds(self.module, samples.seeds),
            ):
                terms = self._compute(samples)
                accelerator.backward(terms["loss"] / len(parts))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach().double() / len(parts)
            if not bool(torch.isfinite(terms["loss"].detach())):
                bad += [self.names[row] for row in samples.rows]
        means = accelerator.reduce(torch.stack(list(sums.values())).float(), "mean").tolist()
        record = dict(zip(sums, means, strict=True))
        norm = float(whole(accelerator.clip_grad_norm_(self._all_parameters, config.gradient_clip)))
        self._update(record["loss"], norm, bad)
        self.optimizer.zero_grad()
        progress.step += 1
        return {**record, "gradient_norm": norm, "learning_rate": rate, "bad_steps": progress.bad_steps}

    def _update(self, loss: float, norm: float, bad: list[str]) -> None:
        """Change the weights if loss and gradient norm are finite; both are the same on every process."""
        scaler = self.accelerator.scaler
        if math.isfinite(loss) and (math.isfinite(norm) or scaler is not None):
            self.optimizer.step()  # a scaler skips the step on overflow, and lowers its scale
            if math.isfinite(norm):
                self.ema.step()
            return
        if scaler is not None:
            scaler.update()
        self.progress.bad_steps += 1
        # Each process knows only its own clips.
        mine = bad or (
            [self.names[row] for part in self._samples() for row in part.rows] if math.isfinite(loss) else []
        )
        clips = ", ".join(dict.fromkeys(gather_object(mine)))
        what = f"loss {loss}" if not math.isfinite(loss) else f"gradient norm {norm}"
        message = f"{what} at step {self.step}, clips {clips}"
        if self.progress.bad_steps > self.config.max_bad_steps:
            raise InputError(
                "training.max_bad_steps",
                f"at most {self.config.max_bad_steps} bad steps are allowed, found {self.progress.bad_steps}; the "
                f"last: {message}",
                "lower the learning rate, or look at these clips",
            )
        self._say(f"skipped: {message}")
        self._log({"step": self.step, "skipped": what, "clips": clips})

    def _validate(self) -> None:
        validation, progress = self.validation, self.progress
        if validation is None:
            return
        sharded = self.accelerator.is_fsdp2
        self.ema.swap_in()
        self.module.eval()
        figures: list[dict[str, float]] = [{}]
        if sharded or self.accelerator.is_main_process:
            with torch.no_grad():
                compute = partial(validation.figures, self.step)
                figures = [self.model(compute) if sharded else compute()]
        if self.accelerator.num_processes > 1:
            # The main process decides for all which weights are the best.
            torch.distributed.broadcast_object_list(figures, src=0)
        self.module.train()
        self.ema.swap_out()
        progress.figures = figures[0]
        if validation.improves(progress.figures, progress.best):
            progress.best = {**progress.figures, "step": self.step}
            save_best(self)
        self._log({"step": self.step, "validation": progress.figures})

    def _say(self, message: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(f"{self.where.directory.name}: {message}")

    def _log(self, record: dict[str, Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        # JSON has no NaN: a skipped step's loss is null.
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        with (self.where.directory / "log.jsonl").open("a") as file:
            file.write(json.dumps(finite) + "\n")
        if self.config.report_to != "none":
            values = {name: value for name, value in record.items() if isinstance(value, int | float)}
            values |= {f"validation/{name}": value for name, value in record.get("validation", {}).items()}
            self.accelerator.log(values, step=record["step"])

    def _trim_log(self) -> None:
        """Drop log lines of steps that will run again, and an unfinished line of a killed run."""
        path = self.where.directory / "log.jsonl"
        if not path.is_file():
            return
        kept = []
        for line in read_bytes(path, 2**31).splitlines():
            with contextlib.suppress(ValueError):
                record = parse_json(line)
                step = record.get("step") if isinstance(record, dict) else None
                if isinstance(step, int) and step <= self.step and self.step:
                    kept.append(line)
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))


def _shown(record: Mapping[str, float]) -> dict[str, str]:
    """What the progress bar shows of a log line."""
    names = {
        "loss": "loss",
        "gradient_norm": "norm",
        "learning_rate": "rate",
        "clips_per_second": "clips/s",
        "tflops": "TFLOP/s",
        "peak_cuda_gib" if "peak_cuda_gib" in record else "peak_rss_gib": "GiB",
    }
    return {short: f"{record[name]:.3g}" for name, short in names.items() if name in record}


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return {name: "none" if value is None else value for name, value in vars(config).items()}
