"""The provenance of an output: versions, weights and hardware; written beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mask2iv import __version__
from mask2iv.files import sha256_file

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "av",
    "opencv-python-headless",
    "mujoco",
    "onnxruntime",
    "ray",
    "accelerate",
    "torchao",
)


def weight_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each weights file of a model folder, by its path relative to the folder, sorted."""
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.glob("*/*.safetensors"))}


def weights_digest(folder: Path) -> str:
    """One digest of a model folder: the output of ``LC_ALL=C sha256sum */*.safetensors | sha256sum`` in it."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in weight_hashes(folder).items())
    return hashlib.sha256(lines.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that affect results; absent ones are left out."""
    found = {"mask2iv": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    # What has not been loaded has not affected anything, and is slow to load.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["cuda_device"] = torch.cuda.get_device_name()
    return found


def hardware(device: torch.device | None = None) -> dict[str, str | int | None]:
    """The hardware of a run: ``device`` (name of the processor or GPU), CPU ``cores`` and PyTorch's ``threads``.

    Without a device: of a run that does not use PyTorch.
    """
    if device is None:
        return {"device": _processor(), "cores": os.cpu_count()}
    import torch

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
