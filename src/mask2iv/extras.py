"""Imports of optional libraries; a missing one gives an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any

from mask2iv.errors import InputError

EXTRAS = {
    "bitsandbytes": "adamw8bit",
    "gradio": "studio",
    "mink": "execute",
    "mujoco": "sim",
    "onnxruntime": "segment",
    "peft": "train",
    "pyarrow": "eval",
    "ray": "scale",
    "tensorboard": "train",
    "torchao": "quant",
    "wandb": "wandb",
}
"""Optional library -> the extra that installs it."""


def require(module: str, what: str, extra: str | None = None) -> Any:
    """Import a module of an optional library.

    Args:
        module: for example "torchao.quantization"; its library is one of :data:`EXTRAS`.
        what: the feature that needs it, as the user knows it.
        extra: the extra to name, where several install the library.

    Raises:
        InputError: the library is not installed.
    """
    library = module.partition(".")[0]
    try:
        # The library first: an import of its submodule may fail with another error.
        importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise missing(library, what, extra) from error
    return importlib.import_module(module)


def missing(library: str, what: str, extra: str | None = None) -> InputError:
    """The error that names the extra which installs a library."""
    return InputError(what, f"needs {library}", f'pip install ".[{extra or EXTRAS[library]}]" in the checkout')
