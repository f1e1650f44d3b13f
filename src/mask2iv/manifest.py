"""What a run was: versions, hashes, settings; written beside every output."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from mask2iv import __version__

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "av", "opencv-python-headless", "mujoco")


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that shape results; absent ones are left out."""
    found = {"mask2iv": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if torch.cuda.is_available():
        found["cuda_device"] = torch.cuda.get_device_name()
    return found
