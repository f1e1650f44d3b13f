"""How far the dry run's count of a pass is from what a pass takes: peak resident memory on the CPU, in float32.

    python benchmarks/speed/memory.py

For the stage networks of a recipe: memory just before a forward and backward pass against its peak within. A pass of
the tiny recipe goes first, in which libraries take their own. The allocator is told to give every tensor back at once;
left to itself (--default-allocator) it keeps up to as much again. Linux with glibc only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
from dataclasses import replace
from pathlib import Path

import torch

from mask2iv.recipes import Recipe, get_recipe
from mask2iv.training.estimates.estimate import build_probe, estimate

M_MMAP_THRESHOLD, M_MMAP_MAX = -3, -4


def resident(name: str) -> int:
    """A figure of /proc/self/status in bytes: VmRSS, now, or VmHWM, the most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measured(recipe: Recipe, component: str, checkpointing: bool) -> int:
    """Bytes that a pass with fresh gradients adds at its peak."""
    at_once = recipe.of(component).training.batch_size
    module, loss = build_probe(recipe, component, at_once, torch.device("cpu"))
    module.unet.enable_gradient_checkpointing(checkpointing)  # type: ignore[attr-defined, operator]
    module.train()
    gc.collect()
    # Else the pass would live on memory that was freed before it and never given back.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    loss().backward()  # type: ignore[no-untyped-call]
    return resident("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="embedded-cpu")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--default-allocator", action="store_true")
    given = parser.parse_args()
    if not given.default_allocator:
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 65536)
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_MAX, 1_000_000)
    torch.manual_seed(0)
    measured(get_recipe("tiny"), "video", False)
    for batch_size in given.batch_sizes:
        recipe = get_recipe(given.recipe)
        stage = recipe.of("video")
        training = replace(stage.training, batch_size=batch_size, mixed_precision="no")
        recipe = replace(recipe, video=replace(stage, training=training))
        counted = estimate(recipe, "video")
        assert counted.memory_other is not None
        for checkpointing, memory in ((False, counted.memory), (True, counted.memory_other)):
            found = measured(recipe, "video", checkpointing)
            print(
                f"{given.recipe} video, batch {batch_size}, checkpointing {checkpointing}: counted "
                f"{memory.passes / 1e6:.0f} MB, measured {found / 1e6:.0f} MB ({memory.passes / found - 1:+.1%})"
            )


if __name__ == "__main__":
    main()
