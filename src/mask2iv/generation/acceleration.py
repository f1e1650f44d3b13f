"""Options of speed and memory, shared by all that runs the networks.

Only declarations at the top: what takes seconds to import is imported when a command runs, so that ``--help`` answers
at once.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mask2iv.errors import InputError

if TYPE_CHECKING:
    import torch

    from mask2iv.pipelines.pipeline import Mask2IVPipeline


@dataclass(frozen=True)
class Acceleration:
    """Speed and memory."""

    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the networks. bf16 and fp16 halve the memory and are several times faster on a GPU."""
    quantize: Literal["none", "int8", "fp8"] = "none"
    """Store the weights of linear layers in 8 bits. Needs the extra quant."""
    offload: Literal["none", "model", "group"] = "none"
    """For small GPUs: keep the networks in main memory and bring to the GPU one at a time (model), or the U-Nets block
    by block (group: least memory, slowest)."""
    vae_tiling: bool = False
    """Encode and decode large pictures in overlapping tiles: less memory, results differ a little."""
    channels_last: bool = False
    """Have the U-Nets' feature maps channels last in memory. By default where it is known to be faster."""
    compile: bool = False
    """Compile the U-Nets' blocks: minutes at first, faster then. Pays where many videos of one size are made."""
    cuda_graphs: bool = False
    """Launch each sampling step as one CUDA graph. Not with --offload."""

    @property
    def settings(self) -> dict[str, Any]:
        """The flags, for a manifest."""
        return asdict(self)

    def check(self, device: torch.device) -> None:
        """Refuse what cannot work on this device, before anything is loaded.

        Raises:
            InputError: names the field.
        """
        if device.type != "cuda" and (self.cuda_graphs or self.offload != "none"):
            field = "cuda_graphs" if self.cuda_graphs else f"offload {self.offload}"
            raise InputError(field, f"it needs a CUDA device, and is of no use on {device}", "leave it out")
        if self.cuda_graphs and self.offload != "none":
            raise InputError(
                "cuda_graphs",
                f"graphs need the weights to stay on the GPU, and {self.offload} offloading moves them",
                "choose one of the two",
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        from mask2iv.official.importing import DTYPES

        return DTYPES[self.dtype]

    def apply(self, pipeline: Mask2IVPipeline, device: torch.device) -> None:
        """Set up a pipeline that is in main memory, or on the device already, and bring it there.

        Raises:
            InputError: an extra is missing, or something cannot work here; names the field.
        """
        self.check(device)
        if self.quantize != "none":
            pipeline.quantize(self.quantize)
        if self.offload == "model":
            pipeline.enable_model_cpu_offload(device)
        elif self.offload == "group":
            pipeline.enable_group_offload(device, use_stream=True)
        else:
            pipeline.to(device)
        if self.vae_tiling:
            pipeline.enable_vae_tiling()
        pipeline.set_channels_last(True if self.channels_last else None)
        if self.compile:
            pipeline.compile()
        if self.cuda_graphs:
            pipeline.enable_cuda_graphs()


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turns a GPU's lack of memory into a message that says what needs less, and frees what was held.

    Raises:
        InputError: the GPU's memory did not suffice.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        # The frames of the traceback hold the tensors that filled the memory.
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()
        raise InputError(
            "device",
            f"the GPU's memory does not suffice (PyTorch: {str(error).split('. ')[0]})",
            "try one or more of: a smaller batch size, dtype bf16, VAE tiling, int8 quantisation, offloading (model or "
            "group), a smaller size",
        ) from error
