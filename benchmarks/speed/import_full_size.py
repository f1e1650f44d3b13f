"""Time and peak memory of `mask2iv import` on a full-size checkpoint of random numbers (2.6 billion).

    python benchmarks/speed/import_full_size.py --source fp32 --dtype fp16 --scratch /tmp/import_bench

The scratch folder takes up to 21 GB and is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.serialization import set_default_mmap_options, skip_data

from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.official.layout import original_parts, preset

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
BLOCK = 16_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", choices=DTYPES, default="fp32", help="precision of the checkpoint")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16", help="precision of the folder")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/import_bench"), help="folder to work in")
    given = parser.parse_args()
    given.scratch.mkdir(parents=True)
    try:
        checkpoint, out = given.scratch / "stage2.ckpt", given.scratch / "model"
        started = time.perf_counter()
        # In a process of its own: a child's peak on Linux counts that of the process it was started from.
        writer = multiprocessing.get_context("spawn").Process(target=write_checkpoint, args=(checkpoint, given.source))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the checkpoint could not be written")
        print(f"wrote {checkpoint.stat().st_size / 1e9:.2f} GB in {time.perf_counter() - started:.0f} s")
        arguments = ["import", str(checkpoint), "--stage", "video", "--dtype", given.dtype, "--out", str(out)]
        seconds, peak = run([sys.executable, "-m", "mask2iv.cli", *arguments])
        sizes = {folder.name: _bytes(folder) for folder in out.iterdir() if folder.is_dir()}
        largest = max(sizes, key=lambda name: sizes[name])
        figures = {
            "source": given.source,
            "dtype": given.dtype,
            "seconds": round(seconds, 1),
            "peak_gb": round(peak / 1e9, 2),
            "largest_component_gb": round(sizes[largest] / 1e9, 2),
            "peak_over_largest": round(peak / sizes[largest], 2),
            "written_gb": round(sum(sizes.values()) / 1e9, 2),
            "cores": os.cpu_count(),
        }
        print(json.dumps(figures))
    finally:
        shutil.rmtree(given.scratch)


def write_checkpoint(path: Path, precision: str) -> None:
    """A Mask2IV checkpoint of the published sizes, filled through a shared mapping, so that memory stays free."""
    dtype = DTYPES[precision]
    buffers = NoiseSchedule().checkpoint_buffers()
    shapes = dict(_shapes())
    with FakeTensorMode():
        state = {key: torch.empty(shape, dtype=dtype) for key, shape in shapes.items()}
        state |= {key: torch.empty(table.shape) for key, table in buffers.items()}
        with skip_data(materialize_fake_tensors=True):
            torch.save({"state_dict": state}, path)
    set_default_mmap_options(mmap.MAP_SHARED)
    block = (torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    opened = torch.load(path, weights_only=True, mmap=True)["state_dict"]
    for key, tensor in opened.items():
        _fill(tensor, buffers.get(key, block))


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in original_parts(preset("512"), 12):
        for match in part.matches:
            yield part.prefix + match.original, match.shape
        for key, shape in part.leftovers.items():
            yield part.prefix + key, shape


def _fill(tensor: Tensor, values: Tensor) -> None:
    flat = tensor.view(-1)
    for start in range(0, len(flat), len(values)):
        piece = flat[start : start + len(values)]
        piece.copy_(values[: len(piece)])


def run(command: list[str]) -> tuple[float, int]:
    """(seconds, peak resident bytes) of a child process."""
    started = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"the import failed with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


if __name__ == "__main__":
    main()
