"""Speed and memory of a pipeline: compilation, CUDA graphs, offloading, quantisation, tiles. Names are diffusers'."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self, get_args

import torch
from torch import nn

from mask2iv.backbones.dynamicrafter.compilation import Compilation
from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.planning.predictor import PlanningStage
from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.models.graphs import CudaGraphRecorder, StepGraphs
from mask2iv.models.reference import ReferenceDecoder

Quantization = Literal["int8", "fp8"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

TILE_SIZE = 256
"""Pixels along the side of a tile."""


class Accelerated:
    """The pipeline's settings of speed and memory. All are off by default.

    Call in this order: :meth:`quantize`; then :meth:`to` or one kind of offloading; then :meth:`compile` and
    :meth:`enable_cuda_graphs`.
    """

    encoder: ConditionEncoder
    trajectory_stage: Stage | None
    planning_stage: PlanningStage | None
    video_stage: Stage | None
    reference_decoder: ReferenceDecoder | None

    def __init__(self) -> None:
        self.quantization: Quantization | None = None
        self.offloading: Literal["model", "group"] | None = None
        self._compilation: Compilation | None = None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move all networks to a device or precision, as ``torch.nn.Module.to``. Returns self.

        CUDA graphs are dropped on any device other than a CUDA one.

        Raises:
            InputError: the pipeline is offloaded, there is no such device, or a precision is given after quantisation.
        """
        if self.offloading is not None:
            raise InputError(
                "to", f"this pipeline's networks are moved by {self.offloading} offloading", "load it again"
            )
        if any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values())):
            self._require_unquantised("to")
        for value in (*args, *kwargs.values()):
            if isinstance(value, str | torch.device):
                _require_there(value, "to")
        for module in self._networks():
            module.to(*args, **kwargs)
        if self.encoder.device.type != "cuda":
            self.disable_cuda_graphs()
        return self

    def requires_grad_(self, requires_grad: bool) -> Self:
        """As ``torch.nn.Module.requires_grad_``, for all networks. Returns self."""
        for module in self._networks():
            module.requires_grad_(requires_grad)
        return self

    def quantize(self, kind: Quantization) -> None:
        """Store the weights of all linear layers of the U-Nets and CLIP encoders in 8 bits, by torchao.

        Computation stays in the networks' precision. Needs the extra ``quant``.

        Args:
            kind: "int8" or "fp8" (e4m3), with one scale per output channel.

        Raises:
            InputError: torchao is not installed, an unknown kind, or already quantised.
        """
        if kind not in QUANTIZATIONS:
            raise InputError("quantize", f"must be one of {', '.join(QUANTIZATIONS)}, found {kind!r}")
        self._require_unquantised("quantize")
        torchao = require("torchao.quantization", "quantize")
        config = {"int8": torchao.Int8WeightOnlyConfig, "fp8": torchao.Float8WeightOnlyConfig}[kind]
        for network in (*self._unets(), self.encoder.text_encoder, self.encoder.image_encoder):
            torchao.quantize_(network, config())
        self.quantization = kind

    def compile(self, **options: Any) -> None:
        """Compile the repeated parts of the U-Nets when they are first called (``dynamicrafter.compilation``).

        The first call of each size takes minutes. If compilation fails, here or at the first call, everything runs
        uncompiled; a warning and :attr:`compile_failure` say why.

        Args:
            options: of ``torch.compile``; whole graphs and fixed shapes by default.
        """
        compilation = Compilation(**{"fullgraph": True, "dynamic": False, **options})
        if compilation.works(self.encoder.device):
            for unet in self._unets():
                compilation.add(unet)
        self._compilation = compilation

    @property
    def compile_failure(self) -> str | None:
        """Why compilation was given up; None if it was not."""
        return None if self._compilation is None else self._compilation.failure

    def enable_cuda_graphs(self) -> None:
        """Record each U-Net's call as a CUDA graph, once per size and batch size, and replay it at every step.

        Raises:
            InputError: not on a CUDA device, or offloaded, since graphs need the weights to stay in place.
        """
        if self.encoder.device.type != "cuda":
            raise InputError("cuda_graphs", f"needs a CUDA device, this pipeline is on {self.encoder.device}")
        if self.offloading is not None:
            raise InputError("cuda_graphs", f"{self.offloading} offloading moves the weights", "choose one of the two")
        recorder = CudaGraphRecorder()
        for unet in self._unets():
            unet.graphs = StepGraphs(recorder)

    def disable_cuda_graphs(self) -> None:
        """Undo :meth:`enable_cuda_graphs` and free the graphs' memory."""
        for unet in self._unets():
            unet.graphs = None

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """A context in which nothing is compiled or replayed, so that operations can be counted."""
        held = [(unet, unet.graphs) for unet in self._unets()]
        self.disable_cuda_graphs()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for unet, graphs in held:
                unet.graphs = graphs

    def enable_model_cpu_offload(self, device: torch.device | str = "cuda") -> None:
        """Keep the networks in main memory and move them to `device` one at a time, to compute.

        Raises:
            InputError: already offloaded, or no such device.
        """
        self._begin_offloading("model", device).one_at_a_time(self._parts(), torch.device(device))

    def enable_group_offload(
        self,
        onload_device: torch.device | str = "cuda",
        offload_device: torch.device | str = "cpu",
        offload_type: Literal["block_level", "leaf_level"] = "block_level",
        num_blocks_per_group: int = 1,
        non_blocking: bool = False,
        use_stream: bool = False,
        record_stream: bool = False,
        low_cpu_mem_usage: bool = False,
    ) -> None:
        """Move the U-Nets to the device block by block, by diffusers' group offloading, and all other networks as
        :meth:`enable_model_cpu_offload` does. Arguments as in ``diffusers.hooks.apply_group_offloading``.

        Raises:
            InputError: already offloaded, no such device, or diffusers refuses the arguments.
        """
        from diffusers.hooks.group_offloading import apply_group_offloading

        offload = self._begin_offloading("group", onload_device)
        unets = list(self._unets())
        rest = [part for part in self._parts() if part not in unets]
        offload.one_at_a_time(rest, torch.device(onload_device))
        for unet in unets:
            try:
                apply_group_offloading(
                    unet,
                    onload_device=torch.device(onload_device),
                    offload_device=torch.device(offload_device),
                    offload_type=offload_type,
                    num_blocks_per_group=num_blocks_per_group,
                    non_blocking=non_blocking,
                    use_stream=use_stream,
                    record_stream=record_stream,
                    low_cpu_mem_usage=low_cpu_mem_usage,
                )
            except ValueError as error:
                raise InputError("enable_group_offload", str(error)) from error

    def enable_vae_slicing(self) -> None:
        """Encode and decode one frame at a time (the default)."""
        self.encoder.codec.chunk = 1

    def disable_vae_slicing(self) -> None:
        """Encode and decode all frames of a clip at once: T times the memory for T frames."""
        self.encoder.codec.chunk = 2**31

    def enable_vae_tiling(self, tile_size: int = TILE_SIZE) -> None:
        """Encode and decode pictures larger than `tile_size` pixels along a side in overlapping tiles.

        The results differ slightly, because each tile is normalised separately.

        Raises:
            InputError: a size that does not fit the autoencoder.
        """
        self.encoder.codec.set_tiling(tile_size)

    def disable_vae_tiling(self) -> None:
        """Undo :meth:`enable_vae_tiling`: encode and decode whole pictures."""
        self.encoder.codec.set_tiling(None)

    def set_channels_last(self, channels_last: bool | None) -> None:
        """Set the memory format of the U-Nets' feature maps; None for what is known to be faster on the device."""
        for unet in self._unets():
            unet.channels_last = channels_last

    def _networks(self) -> Iterator[nn.Module]:
        stages = (self.trajectory_stage, self.video_stage, self.planning_stage)
        for module in (self.encoder, *stages, self.reference_decoder):
            if module is not None:
                yield module

    def _unets(self) -> Iterator[VideoUNet]:
        """Each U-Net once, even if both stages share it. ControlNets are left out: they run as they are."""
        stages = (self.trajectory_stage, self.video_stage)
        yield from dict.fromkeys(stage.unet for stage in stages if stage is not None)

    def _parts(self) -> list[nn.Module]:
        """Each network that is called separately, once."""
        stages = [stage for stage in (self.trajectory_stage, self.video_stage) if stage is not None]
        encoders = self.encoder.codec.autoencoder, self.encoder.text_encoder, self.encoder.image_encoder
        networks = [part for stage in stages for part in (stage.resampler, stage.unet, stage.controlnet)]
        plans = [] if self.planning_stage is None else [self.planning_stage.planner, self.planning_stage.painter]
        parts = [*encoders, *networks, *plans, self.reference_decoder]
        return list(dict.fromkeys(part for part in parts if part is not None))

    def _begin_offloading(self, kind: Literal["model", "group"], device: torch.device | str) -> Any:
        if self.offloading is not None:
            raise InputError("offload", f"this pipeline is offloaded already ({self.offloading})", "load it again")
        _require_there(device, f"{kind} offloading")
        module = importlib.import_module("mask2iv.pipelines.offload")
        for unet in self._unets():
            if unet.graphs is not None:
                raise InputError(
                    "offload", "CUDA graphs need the weights to stay in place", "call disable_cuda_graphs first"
                )
        self.encoder.execution_device = torch.device(device)
        self.offloading = kind
        return module

    def _require_unquantised(self, field: str) -> None:
        if self.quantization is not None:
            raise InputError(field, f"this pipeline's weights are quantised ({self.quantization})", "load it again")


def _require_there(device: torch.device | str, field: str) -> None:
    """Raises InputError for a CUDA device where there is none, before networks are moved or hooked."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise InputError(field, f"needs a CUDA device, and none is available for {str(device)!r}", "stay on the CPU")
