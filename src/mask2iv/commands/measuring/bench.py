"""``mask2iv bench``: times and memory of the parts of generation."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.values import parse_size
from mask2iv.pipelines.folder import model_folder, read_index

_ONCE = ("network", "vae_encode", "vae_decode", "text", "image")
PARTS = (*_ONCE, "trajectory", "video", "generation")
"""One network call; the autoencoder on a whole clip; the encoders; stage 1, stage 2, and the whole generation."""


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Bench:
    """Time the parts of generation: network, autoencoder, encoders, stages, and both stages together.

    Each part runs once to warm up and is then timed. The table has the median and the range, operations per second,
    their share of the device's speed on a large matrix product, and peak memory (of the process on a CPU). "full" is
    the published size with random weights, so nothing needs to be downloaded.

        mask2iv bench --model full --dtype bf16 --parts network
    """

    acceleration: Acceleration
    model: Annotated[str, tyro.conf.arg(metavar="full|embedded|FOLDER")] = "embedded"
    """The published size with random weights, the weights that come with the package, or a model folder."""
    parts: Annotated[str | None, _optional("PART,PART")] = None
    """Of network, vae_encode, vae_decode, text, image, trajectory, video, generation. Default: all, except that the
    full size on a CPU leaves out the last three, which take hours there."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    steps: Annotated[int | None, _optional("K")] = None
    """Sampling steps of each stage. Default: the model's."""
    size: Annotated[str | None, _optional("HxW")] = None
    """Height x width in pixels. Default: the model's."""
    batch: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Clips at a time."""
    runs: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """Timed runs of each part."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""
    json: bool = False
    """Print JSON in place of the table."""

    def run(self) -> None:
        wanted = self._check()
        size = None if self.size is None else parse_size(self.size)

        import torch

        from mask2iv.commands.measuring.speed import original_pipeline, part_calls, speed_report, table
        from mask2iv.devices import pick_device
        from mask2iv.generation.acceleration import enough_memory
        from mask2iv.manifest import versions
        from mask2iv.pipelines.pipeline import Mask2IVPipeline

        device = pick_device(self.device)
        wanted = wanted or (_ONCE if self.model == "full" and device.type == "cpu" else PARTS)
        if self.threads:
            torch.set_num_threads(self.threads)
        acceleration, dtype = self.acceleration, self.acceleration.torch_dtype
        acceleration.check(device)
        full = self.model == "full"
        with enough_memory():
            # Weights to be offloaded or quantised start in main memory.
            start = device if acceleration.offload == acceleration.quantize == "none" else "cpu"
            pipeline = (
                original_pipeline(dtype, device=start) if full else Mask2IVPipeline.from_pretrained(self.model, dtype)
            )
            acceleration.apply(pipeline.requires_grad_(False), device)
            config = pipeline.config
            calls = part_calls(pipeline, size or (config.height, config.width), self.batch, self.steps)
        missing = [name for name in wanted if name not in calls]
        if missing and self.parts is not None:
            raise InputError("parts", f"{self.model} has no {missing[0]}", f"choose from {', '.join(calls)}")
        calls = {name: calls[name] for name in wanted if name in calls}
        plain = not (acceleration.compile or acceleration.cuda_graphs)
        uncompiled = None if plain else pipeline.uncompiled
        if plain:
            del pipeline  # networks that no call needs must not count in the peak memory
        with enough_memory():
            figures = speed_report(calls, device, dtype, self.runs, uncompiled)
        failure = None if plain else pipeline.compile_failure
        report = {
            "model": self.model,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            **acceleration.settings,
            **({} if failure is None else {"not_compiled": failure}),
            "threads": torch.get_num_threads(),
            "batch": self.batch,
            "size": self.size or f"{config.height}x{config.width}",
            "frames": config.num_frames,
            "steps": self.steps or [config.num_inference_steps, config.video_num_inference_steps],
            "versions": versions(),
            **figures,
        }
        if self.json:
            json.dump(report, sys.stdout, indent=2)
            print()
            return
        setting = {name: value for name, value in report.items() if name not in ("parts", "versions")}
        print(", ".join(f"{name} {value}" for name, value in setting.items()), end="\n\n")
        print(table(report))

    def _check(self) -> tuple[str, ...]:
        """Whether flags and model can be used; the parts that are asked for, () for the default ones."""
        for name, least in {"batch": 1, "runs": 1, "threads": 0, "steps": 1}.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise InputError(name, f"must be at least {least}, found {number}")
        wanted = () if self.parts is None else tuple(name.strip() for name in self.parts.split(","))
        unknown = [name for name in wanted if name not in PARTS]
        if unknown:
            raise InputError("parts", f"{unknown[0]!r} is not a part", f"choose from {', '.join(PARTS)}")
        if self.model != "full":
            read_index(model_folder(self.model))
        return wanted
