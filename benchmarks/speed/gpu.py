"""Every figure of inference that waits for a GPU, by one command, most important first.

    python benchmarks/speed/gpu.py --out results/gpu

Each variant is a `mask2iv bench` in a process of its own, so that none changes or breaks another. Its figures go to a
file in the folder at once; called again, variants with a file are skipped, and failed ones are tried again. A variant
is not begun when the budget is spent, and ended when it runs out. At the end all are joined in gpu.json and gpu.md.

    python benchmarks/speed/gpu.py --out /tmp/dry --model embedded --device cpu --steps 1 --only baseline,tiles
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.files import write_json
from mask2iv.parsing import read_json


@dataclass(frozen=True)
class Variant:
    """What is measured: parts, and the flags of `mask2iv bench` beside the common ones."""

    parts: str
    flags: tuple[str, ...] = ()
    runs: int = 3


WHOLE = "network,generation"
VARIANTS = {
    "baseline": Variant("network,vae_encode,vae_decode,text,image,trajectory,video,generation"),
    "compile+graphs": Variant(WHOLE, ("--compile", "--cuda-graphs")),
    "compile+graphs, channels last": Variant(WHOLE, ("--compile", "--cuda-graphs", "--channels-last")),
    "graphs": Variant(WHOLE, ("--cuda-graphs",)),
    "offload model": Variant(WHOLE, ("--offload", "model"), runs=1),
    "offload group": Variant("network,vae_decode", ("--offload", "group")),
    "int8": Variant("network", ("--quantize", "int8")),
    "int8+compile": Variant("network", ("--quantize", "int8", "--compile")),
    "fp8+compile": Variant("network", ("--quantize", "fp8", "--compile")),
    "tiles": Variant("vae_encode,vae_decode", ("--vae-tiling",)),
    "channels last": Variant("network", ("--channels-last",)),
    "compile": Variant("network", ("--compile",)),
    "fp16": Variant("network", ("--dtype", "fp16")),
    "fp32": Variant("network", ("--dtype", "fp32"), runs=1),
}
TARGETS = "below 5 s for the generation, at least 45 % of the bf16 peak in the network, below 12 GiB"
PEAKS = {"H100 PCIe": 756.0, "H100": 989.4, "H200": 989.4, "A100": 312.0, "L40S": 362.1, "RTX 4090": 165.2}
"""Dense bf16 TFLOP/s by the makers' data sheets, by a part of the device's name; the first that fits counts."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="full")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--steps", type=int, default=50, help="of each stage")
    parser.add_argument("--budget", type=float, default=480, help="seconds in all")
    parser.add_argument("--only", help="names of variants, with commas between them")
    arguments = parser.parse_args()
    chosen = list(VARIANTS) if arguments.only is None else arguments.only.split(",")
    unknown = [name for name in chosen if name not in VARIANTS]
    if unknown:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(VARIANTS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + arguments.budget
    for name in chosen:
        path = arguments.out / f"{name.replace(' ', '-').replace(',', '')}.json"
        if path.is_file() and "error" not in read_json(path):
            continue
        left = ends - time.monotonic()
        if left < 20:
            print(f"{name}: no time left; call again", flush=True)
            continue
        write_json(path, measure(name, VARIANTS[name], arguments, left))
    join(arguments.out)
    return 0


def measure(name: str, variant: Variant, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """The report of one variant, or why there is none."""
    command = [sys.executable, "-m", "mask2iv.cli", "bench", "--json", "--model", arguments.model]
    command += ["--device", arguments.device, "--steps", str(arguments.steps), "--parts", variant.parts]
    command += ["--runs", str(variant.runs), *variant.flags]
    if "--dtype" not in variant.flags:
        command += ["--dtype", arguments.dtype]
    print(f"{name}: {' '.join(command[2:])}", flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"variant": name, "error": f"not done in the {seconds:.0f} s that were left"}
    record: dict[str, Any] = {"variant": name, "wall_s": round(time.monotonic() - started, 1)}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {**record, "error": f"exit status {done.returncode}: {lines[-1]}"}
    warned = [line for line in done.stderr.splitlines() if "RuntimeWarning" in line]
    return {**record, **json.loads(done.stdout), "warnings": warned}


def join(folder: Path) -> None:
    """Write gpu.json and gpu.md from what is in the folder."""
    records = {name: folder / f"{name.replace(' ', '-').replace(',', '')}.json" for name in VARIANTS}
    found = {name: read_json(path) for name, path in records.items() if path.is_file()}
    write_json(folder / "gpu.json", {"targets": TARGETS, "data_sheet_tflop_per_s": PEAKS, "variants": found})
    first = next((record for record in found.values() if "parts" in record), None)
    if first is None:
        print("nothing was measured", file=sys.stderr)
        return
    peak = next((value for name, value in PEAKS.items() if name in first["device"]), None)
    about = ("model", "device", "dtype", "size", "frames", "steps", "batch", "matmul_tflop_per_s", "versions")
    lines = [f"- {key}: {first[key]}" for key in about] + [f"- targets: {TARGETS}", ""]
    lines += [
        "| variant | part | median (s) | TFLOP/s | of a matrix product (%) | of the data sheet's bf16 peak (%) | "
        "peak memory (GiB) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, record in found.items():
        for part, row in record.get("parts", {}).items():
            share = "" if peak is None else f"{100 * row['tflop_per_s'] / peak:.0f}"
            lines.append(
                f"| {name} | {part} | {row['median_s']:.3f} | {row['tflop_per_s']:.2f} | "
                f"{100 * row['share_of_peak']:.0f} | {share} | {row['peak_gib']:.2f} |"
            )
    lines += ["", *(f"- {name}: {record['error']}" for name, record in found.items() if "error" in record)]
    (folder / "gpu.md").write_text("\n".join(lines).rstrip() + "\n")
    print(folder / "gpu.md")


if __name__ == "__main__":
    sys.exit(main())
