"""A checkpoint file of the original code: opened without running anything in it, read without holding it in memory."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mask2iv.errors import InputError
from mask2iv.files import reason, require_file

_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_DEEPSPEED_PREFIX = len("_forward_module.")
_OLD_NAME = ("model.diffusion_model.framestride_embed.", "model.diffusion_model.fps_embedding.")


class OriginalCheckpoint:
    """The tensors of a checkpoint, by their key in the original model's state dict.

    Args:
        path: a file of ``torch.save`` (``{"state_dict": ...}``, DeepSpeed's ``{"module": ...}``, or the bare state
            dict), or a safetensors file.

    Attributes:
        shapes: shape of each tensor.
        container: where in the file the tensors lie.

    Raises:
        InputError: missing, empty, damaged, of an old format, or with anything inside but tensors and plain values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        require_file(path, "checkpoint")
        if path.stat().st_size == 0:
            raise InputError(f"checkpoint: {path} is an empty file; download it again")
        self.container = "safetensors"
        tensors = self.tensors()
        self.shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        self.renamed = [key for key in self._found if key.startswith(_OLD_NAME[0])]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, mapped from the file.

        Pages that were read count as this process's memory until the last of these tensors is gone; so let go of them
        and call this again when much has been read.
        """
        if self.path.suffix == ".safetensors":
            try:
                state: Mapping[Any, Any] = load_file(self.path)
            except (SafetensorError, OSError) as error:
                raise InputError(
                    f"checkpoint: {self.path} cannot be read: {reason(error)}; download it again"
                ) from error
        else:
            state = self._state_dict(_unpickle(self.path))
        self._found = list(state)
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
                raise InputError(
                    f"checkpoint: {self.path} holds {type(value).__name__} under {str(key)!r} where a dense tensor is "
                    "expected; save the state dict alone with torch.save({'state_dict': ...})"
                )
        return {
            _OLD_NAME[1] + key.removeprefix(_OLD_NAME[0]) if key.startswith(_OLD_NAME[0]) else key: value
            for key, value in state.items()
        }

    def _state_dict(self, content: Any) -> Mapping[Any, Any]:
        if isinstance(content, Mapping):
            if isinstance(content.get("state_dict"), Mapping):
                self.container = "state_dict"
                return dict(content["state_dict"])
            if isinstance(content.get("module"), Mapping):
                self.container = "module"
                return _without_prefix(content["module"])
            if content and all(isinstance(value, Tensor) for value in content.values()):
                self.container = "bare"
                return dict(content)
        inside = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(
            f"checkpoint: {self.path} holds no state dict (found {inside or 'nothing'}); expected 'state_dict', "
            "'module', or tensors by name"
        )


def _without_prefix(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """DeepSpeed puts the same 16 characters before every key."""
    prefixes = {str(key)[:_DEEPSPEED_PREFIX] for key in state}
    if len(prefixes) > 1 or any(len(str(key)) <= _DEEPSPEED_PREFIX for key in state):
        return dict(state)
    return {str(key)[_DEEPSPEED_PREFIX:]: value for key, value in state.items()}


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = _REFUSED.search(str(error))
        what = found[1] if found else " ".join(str(error).split())[:200]
        raise InputError(
            f"checkpoint: {path} holds {what}, which is not a tensor or plain value, and is not opened; save its state "
            "dict alone with torch.save({'state_dict': ...}) where you trust it"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if "mmap can only be used" in str(error):
            raise InputError(
                f"checkpoint: {path} is not a zip file as torch.save writes it since version 1.6: damaged, or of the "
                "old format; download it again, or load and save it again with torch"
            ) from error
        raise InputError(
            f"checkpoint: {path} is damaged or no checkpoint: {' '.join(str(error).split())[:200]}; download it again"
        ) from error
