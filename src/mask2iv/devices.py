"""Where networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mask2iv.errors import InputError

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes a GPU where there is one.

    Raises:
        InputError: unknown, or not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError("device", f"{name!r} is not a device", "use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device", f"no CUDA device is available for {name!r}", "use cpu")
    return device
