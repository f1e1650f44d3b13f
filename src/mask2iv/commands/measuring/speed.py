"""Time and memory of each part of generation, and how close it comes to the device's peak speed."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mask2iv.contract import Label, Trajectory
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.official.layout import OriginalConfig, original_parts
from mask2iv.official.tokenizer import empty_prompt_tokenizer
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.stages.config import PipelineConfig


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """FLOPs of the CPU's fused attention, which PyTorch's table lacks."""
    return int(sdpa_flop_count(query, key, value))


_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


@dataclass(frozen=True)
class PartTiming:
    """Measurements of a part.

    Attributes:
        seconds: of each timed run.
        flops: floating-point operations of one run; a multiply-add counts as two.
        peak_bytes: peak memory during the runs: of the whole process on a CPU, allocated on a GPU.
    """

    seconds: list[float]
    flops: int
    peak_bytes: int

    def record(self, peak_flops: float) -> dict[str, Any]:
        """Values for a table or a file; `peak_flops` is the device's matrix-product speed in FLOP/s."""
        median = statistics.median(self.seconds)
        return {
            "median_s": round(median, 4),
            "min_s": round(min(self.seconds), 4),
            "max_s": round(max(self.seconds), 4),
            "runs": len(self.seconds),
            "tflop": round(self.flops / 1e12, 4),
            "tflop_per_s": round(self.flops / median / 1e12, 4),
            "share_of_peak": round(self.flops / median / peak_flops, 3),
            "peak_gib": round(self.peak_bytes / 2**30, 2),
        }


def original_pipeline(
    dtype: torch.dtype, config: OriginalConfig | None = None, device: torch.device | str = "cpu"
) -> Mask2IVPipeline:
    """A pipeline of the published size with random weights: as fast as the released one, with meaningless output.

    Both stages share one network, to save memory. It knows the empty prompt only.

    Args:
        dtype: precision of the weights.
        config: of the networks; DynamiCrafter-512's by default.
        device: where the weights are created.
    """
    config = config or OriginalConfig()
    parts = {
        part.name: _random(part.module, dtype, torch.device(device)) for part in original_parts(config, in_channels=12)
    }
    unet, resampler = parts["unet"], parts["resampler"]
    text: Any = parts["text_encoder"]
    return Mask2IVPipeline(
        PipelineConfig(
            height=config.height,
            width=config.width,
            num_frames=config.num_frames,
            fps=15.0,
            mask_layout="position",
            num_inference_steps=50,
            video_num_inference_steps=50,
            guidance_scale=1.0,
            eta=1.0,
        ),
        vae=parts["vae"],
        tokenizer=empty_prompt_tokenizer(text.config.vocab_size, text.config.max_position_embeddings),
        text_encoder=text,
        image_encoder=parts["image_encoder"],  # type: ignore[arg-type]
        scheduler=DDIMScheduler.from_schedule(config.schedule, config.timestep_spacing),
        trajectory_unet=unet,  # type: ignore[arg-type]
        trajectory_resampler=resampler,  # type: ignore[arg-type]
        video_unet=unet,  # type: ignore[arg-type]
        video_resampler=resampler,  # type: ignore[arg-type]
    )


@torch.no_grad()
def _random(module: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A network from the meta device, with random weights that let activations neither explode nor vanish."""
    # torch's own `to`: that of diffusers warns of modules to keep in float32 even where there are none.
    module = nn.Module.to(module, dtype).to_empty(device=device).eval()
    for parameter in module.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 3
        parameter.uniform_(-1, 1).mul_((3 / fan_in) ** 0.5)
    for name, buffer in module.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1]).expand_as(buffer))
    return module


def part_calls(
    pipeline: Mask2IVPipeline, size: tuple[int, int], batch: int, steps: int | None
) -> dict[str, Callable[[], Any]]:
    """A call without arguments for each part of the pipeline.

    Args:
        pipeline: any pipeline.
        size: (H, W) of the clips.
        batch: clips at a time.
        steps: sampling steps of both stages; None for the model's.
    """
    height, width = pipeline.size(*size)
    encoder, config = pipeline.encoder, pipeline.config
    device, dtype = encoder.device, encoder.dtype
    frames, codec = config.num_frames, encoder.codec
    random = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random).to(device, dtype)

    clip = noise(batch, 3, frames, height, width).clamp(-1, 1)
    latents = noise(batch, codec.latent_channels, frames, height // codec.factor, width // codec.factor)
    generators = [torch.Generator().manual_seed(index) for index in range(batch)]
    calls: dict[str, Callable[[], Any]] = {
        "vae_encode": lambda: codec.encode(clip, generators),
        "vae_decode": lambda: codec.decode(latents),
        "text": lambda: encoder.text([""] * batch),
        "image": lambda: encoder.image_features(clip[:, :, 0]),
    }
    stage = pipeline.video_stage or pipeline.trajectory_stage
    if stage is not None:
        unet = stage.unet
        x = noise(batch, unet.config.in_channels, *latents.shape[2:])
        context = stage.context(encoder.text([""] * batch), encoder.image_features(clip[:, :, 0]))
        times, fps = torch.full((batch,), 500, device=device), torch.full((batch,), config.fps, device=device)
        calls["network"] = lambda: unet(x, times, context, fps)
    image, mask = np.full((height, width, 3), 128, np.uint8), np.zeros((height, width), np.bool_)
    mask[: height // 2, : width // 2] = True
    # Every layout but the one for text alone takes a target mask.
    condition: dict[str, Any] = {"target_mask": mask} if config.mask_layout != "text" else {"prompt": "a hand"}
    common: dict[str, Any] = {"num_inference_steps": steps, "batch_size": batch, "progress": False}
    size_and_seeds: dict[str, Any] = {"height": height, "width": width, "generator": generators}
    scene: dict[str, Any] = {"object_mask": mask, **condition, **size_and_seeds}
    if pipeline.predictor is not None:
        calls["trajectory"] = lambda: pipeline.trajectory([image] * batch, **scene, **common)
    if pipeline.renderer is not None:
        still = Trajectory(np.repeat((mask * np.uint8(Label.OBJECT))[None], frames, axis=0), config.fps)
        inputs = pipeline.render_inputs([still] * batch, ["a hand"] * batch)
        calls["video"] = lambda: pipeline.render([image] * batch, **inputs, generator=generators, **common)
    if pipeline.predictor is not None and pipeline.renderer is not None and pipeline.renderer.takes_masks:
        calls["generation"] = lambda: pipeline([image] * batch, **scene, **common, video_num_inference_steps=steps)
    return calls


@torch.no_grad()
def time_part(
    call: Callable[[], Any],
    device: torch.device,
    runs: int,
    uncompiled: Callable[[], AbstractContextManager[None]] | None = None,
) -> PartTiming:
    """Run once to warm up and to count operations, then time `runs` runs.

    Args:
        call: what to time.
        device: where it computes.
        runs: timed runs.
        uncompiled: for compiled or recorded parts: a context in which they are neither, for counting. Another warm-up
            run follows.
    """
    counting = nullcontext() if uncompiled is None else uncompiled()
    with counting, FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        call()
    if uncompiled is not None:
        call()
    _forget_peak(device)
    seconds = [_timed(call, device) for _ in range(runs)]
    return PartTiming(seconds, counter.get_total_flops(), _peak(device))


def matmul_flops(device: torch.device, dtype: torch.dtype, side: int = 4096, runs: int = 5) -> float:
    """The device's speed in FLOP/s on one large matrix product, the best of `runs`: the reference for shares."""
    side = side if device.type == "cuda" else side // 2
    a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    timing = [_timed(lambda: a @ b, device) for _ in range(runs + 1)]
    return 2 * side**3 / min(timing)


def speed_report(
    calls: Mapping[str, Callable[[], Any]],
    device: torch.device,
    dtype: torch.dtype,
    runs: int,
    uncompiled: Callable[[], AbstractContextManager[None]] | None = None,
) -> dict[str, Any]:
    """Values of every part, and the device's own speed; arguments as in :func:`time_part`."""
    peak = matmul_flops(device, dtype)
    parts = {name: time_part(call, device, runs, uncompiled).record(peak) for name, call in calls.items()}
    return {"matmul_tflop_per_s": round(peak / 1e12, 4), "parts": parts}


def table(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = [
        "| part | median (s) | min to max (s) | TFLOP | TFLOP/s | share of peak (%) | peak memory (GiB) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in report["parts"].items():
        lines.append(
            f"| {name} | {row['median_s']:.3f} | {row['min_s']:.3f} to {row['max_s']:.3f} | {row['tflop']:.3f} | "
            f"{row['tflop_per_s']:.3f} | {100 * row['share_of_peak']:.0f} | {row['peak_gib']:.2f} |"
        )
    return "\n".join(lines)


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")  # Linux: resets the peak resident size


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
