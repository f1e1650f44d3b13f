"""How a component is optimised: the settings of the training engine, explained and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mask2iv.config import parse_bytes
from mask2iv.errors import InputError

MixedPrecision = Literal["no", "bf16", "fp16"]
OptimizerName = Literal["adamw", "adamw-fused", "adamw-8bit"]
LoraTargets = Literal["attention", "linear", "linear+conv"]
FrozenTemporal = Literal["all", "convolutions"]
Tracker = Literal["none", "tensorboard", "wandb"]

FREE_TO_CHANGE = (
    "max_steps",
    "max_minutes",
    "decay_steps",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "ema_device",
    "checkpoint_every",
    "checkpoints_total_limit",
    "max_shard_size",
    "validate_every",
    "validation_clips",
    "keep",
    "log_every",
    "report_to",
    "max_bad_steps",
    "max_bad_clips",
)
"""Settings that a resumed run may change: how long it runs, how it uses the machine and what it reports. None of them
changes what a step computes, except for rounding."""

LEAST_FILE_BYTES = 64 * 1024
"""The smallest bound on the size of a checkpoint's files."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a component is optimised.

    Attributes:
        max_steps: optimiser steps.
        max_minutes: above 0, the run and its schedule end after at most this many minutes, including the encoding of
            the clips (the last validation and saving come on top): the learning rate falls over the same share of the
            time as it would of the steps. What such a run computes depends on the machine's speed.
        batch_size: samples of one optimiser step, over all processes and accumulation steps together, so that a run is
            the same on any number of devices. A multiple of processes x ``gradient_accumulation_steps``.
        gradient_accumulation_steps: parts into which each process divides its samples of a step, computed one after
            the other to save memory.
        learning_rate: peak rate of AdamW.
        lr_schedule: how the rate falls at the end, over ``decay_steps``: linearly, along a half cosine, or not at all.
        warmup_steps: steps of linear rise at the start.
        decay_steps: steps of the fall to zero at the end; 0 keeps the rate. Set it to max_steps - warmup_steps for a
            fall over the whole run.
        optimizer: AdamW as PyTorch runs it, its fused kernel, or with states in 8 bits (bitsandbytes).
        adam_beta2: decay of AdamW's average of squared gradients (the first is 0.9).
        weight_decay: of AdamW, on weights of two and more dimensions.
        gradient_clip: largest gradient norm (paper: 0.5).
        ema_decay: decay of the moving average that is kept as the result; 0 keeps the weights themselves.
        ema_device: where the moving average is kept; "cpu" saves GPU memory and costs a copy per step.
        mixed_precision: "bf16" or "fp16" run matrix products and convolutions in that precision; the weights stay in
            float32. fp16 scales the loss and needs a GPU.
        gradient_checkpointing: recompute the networks' blocks in the backward pass (stages): slower, far less memory.
        freeze_temporal: train all but temporal layers (paper; stages, from given weights only).
        frozen_temporal: which ones. "all": transformers and convolutions across frames, as the paper's words say;
            "convolutions": the convolutions and the first transformer, while the others are trained, as a training log
            of the original shows.
        lora_rank: above 0, train adapters of this rank in place of the weights (stages, from given weights only).
        lora_alpha: the adapters' output is multiplied by ``lora_alpha / lora_rank``.
        lora_targets: which layers get adapters: the projections of all attentions, all linear layers, or also all
            convolutions. The first convolution always gets one, since conditions enter there.
        seed: seed of everything random in the run.
        checkpoint_every: steps between checkpoints.
        checkpoints_total_limit: number of checkpoints kept, the newest ones.
        max_shard_size: checkpoint files stay below this size ("15MiB"); None writes one file per kind of state.
        validate_every: steps between validations; 0 validates only at the end.
        validation_clips: number of held-out clips, the first ones, that a validation of a stage generates and measures.
        keep: which weights become the component: of the last step, or of the validation with the best measure.
        log_every: steps between lines of ``log.jsonl``.
        report_to: also log to TensorBoard files beside the run, or to Weights & Biases.
        max_bad_steps: number of steps with a NaN or infinite loss that a run skips before it stops.
        max_bad_clips: number of unreadable clips that may be left out; above 0, all clips are read at the start.
    """

    max_steps: int = 1000
    max_minutes: float = 0.0
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-5
    lr_schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: int = 0
    decay_steps: int = 0
    optimizer: OptimizerName = "adamw"
    adam_beta2: float = 0.999
    weight_decay: float = 0.01
    gradient_clip: float = 0.5
    ema_decay: float = 0.999
    ema_device: Literal["same", "cpu"] = "same"
    mixed_precision: MixedPrecision = "no"
    gradient_checkpointing: bool = False
    freeze_temporal: bool = False
    frozen_temporal: FrozenTemporal = "all"
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_targets: LoraTargets = "attention"
    seed: int = 0
    checkpoint_every: int = 500
    checkpoints_total_limit: int = 2
    max_shard_size: str | None = None
    validate_every: int = 0
    validation_clips: int = 3
    keep: Literal["last", "best"] = "last"
    log_every: int = 20
    report_to: Tracker = "none"
    max_bad_steps: int = 10
    max_bad_clips: int = 0

    def __post_init__(self) -> None:
        for name in (
            "max_steps",
            "batch_size",
            "gradient_accumulation_steps",
            "checkpoint_every",
            "checkpoints_total_limit",
            "validation_clips",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"training.{name}", f"must be at least 1, found {getattr(self, name)}")
        for name in (
            "max_minutes",
            "warmup_steps",
            "decay_steps",
            "lora_rank",
            "validate_every",
            "max_bad_steps",
            "max_bad_clips",
        ):
            if getattr(self, name) < 0:
                raise InputError(f"training.{name}", f"must be at least 0, found {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip", "lora_alpha"):
            if not getattr(self, name) > 0:
                raise InputError(f"training.{name}", f"must be positive, found {getattr(self, name)}")
        for name in ("ema_decay", "adam_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"training.{name}", f"must be in [0, 1), found {getattr(self, name)}")
        if self.batch_size % self.gradient_accumulation_steps:
            raise InputError(
                "training.batch_size",
                f"must be a multiple of gradient_accumulation_steps={self.gradient_accumulation_steps}, found "
                f"{self.batch_size}; it counts all samples of a step",
            )
        if self.lr_schedule == "constant" and self.decay_steps:
            raise InputError(
                "training.decay_steps", f"must be 0, since lr_schedule is constant, found {self.decay_steps}"
            )
        if self.lr_schedule == "cosine" and not self.decay_steps:
            raise InputError("training.lr_schedule", "cosine needs decay_steps, the steps over which the rate falls")
        if self.shard_bytes is not None and self.shard_bytes < LEAST_FILE_BYTES:
            raise InputError("training.max_shard_size", f"must be at least 64KiB, found {self.max_shard_size!r}")

    def require_whole(self) -> None:
        """Raises InputError if only a part of the networks is trained, which needs networks to start from."""
        if self.lora_rank or self.freeze_temporal:
            name = "lora_rank" if self.lora_rank else "freeze_temporal"
            raise InputError(
                f"training.{name}",
                "trains a part of given networks, found none",
                "give their folder as initial weights",
            )

    def rate(self, step: int, place: float | None = None) -> float:
        """Learning rate at optimiser step `step`, counted from 0. `place` is the position in the schedule, in steps, if
        time has carried the run further than that."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        left = self.max_steps - (step if place is None else place)
        fall = min(1.0, max(left, 0) / self.decay_steps) if self.decay_steps else 1.0
        if self.lr_schedule == "cosine":
            fall = (1 - math.cos(math.pi * fall)) / 2
        return self.learning_rate * rise * fall

    @property
    def shard_bytes(self) -> int | None:
        """``max_shard_size`` in bytes."""
        return None if self.max_shard_size is None else parse_bytes(self.max_shard_size, "training.max_shard_size")
