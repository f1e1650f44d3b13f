"""The one gate to optional libraries: who lacks one is told the extra that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from mask2iv.errors import InputError

EXTRAS = {
    "bitsandbytes": "adamw8bit",
    "mujoco": "sim",
    "peft": "train",
    "pyarrow": "eval",
    "tensorboard": "train",
    "torchao": "quant",
    "wandb": "wandb",
}
"""Library to extra."""


def require(module: str, what: str) -> Any:
    """Import a module of an optional library.

    Args:
        module: for example "torchao.quantization"; its library is one of :data:`EXTRAS`.
        what: what needs it, as the user knows it.

    Raises:
        InputError: the library is not installed.
    """
    library = module.partition(".")[0]
    try:
        # First by itself: what is imported from it might else complain in other words.
        importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise missing(library, what) from error
    return importlib.import_module(module)


def missing(library: str, what: str) -> InputError:
    """The error that says which extra brings a library."""
    return InputError(f'{what} needs {library}: pip install "mask2iv[{EXTRAS[library]}]"')
