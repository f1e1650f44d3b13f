"""Reads checkpoint files of the original code without executing anything in them or holding them in memory."""

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

_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_DEEPSPEED_PREFIX = len("_forward_module.")
_OLD_NAME = ("model.diffusion_model.framestride_embed.", "model.diffusion_model.fps_embedding.")


class OriginalCheckpoint:
    """The tensors of a checkpoint, by key of the original state dict.

    Args:
        path: a file of ``torch.save`` (``{"state_dict": ...}``, DeepSpeed's ``{"module": ...}``, or the bare state
            dict), or a safetensors file.

    Attributes:
        shapes: shape of each tensor.
        container: what holds the tensors: "state_dict", "module", "bare" or "safetensors".
        renamed: keys that have another name in later versions of the original code.

    Raises:
        InputError: the file is missing, empty, damaged, of an old format, or holds more than tensors and plain values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        require_file(path, "checkpoint")
        if path.stat().st_size == 0:
            raise InputError("checkpoint", f"{path} is an empty file", "download it again")
        self.container = "safetensors"
        tensors = self.tensors()
        self.shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        self.renamed = [key for key in self._found if key.startswith(_OLD_NAME[0])]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, mapped from the file.

        Pages that were read count towards this process's memory until the last of these tensors is freed. After reading
        much, drop them and call this again.
        """
        if self.path.suffix == ".safetensors":
            try:
                state: Mapping[Any, Any] = load_file(self.path)
            except (SafetensorError, OSError) as error:
                problem = f"{self.path} cannot be read: {reason(error)}"
                raise InputError("checkpoint", problem, "download it again") from error
        else:
            state = self._state_dict(_unpickle(self.path))
        self._found = list(state)
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
                raise InputError(
                    "checkpoint",
                    f"{self.path} must hold a dense tensor under {str(key)!r}, found {type(value).__name__}",
                    "save the state dict alone with torch.save({'state_dict': ...})",
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
            "checkpoint",
            f"{self.path} must hold 'state_dict', 'module', or tensors by name, found {inside or 'nothing'}",
        )


def _without_prefix(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """The state dict without the prefix that DeepSpeed puts before every key."""
    prefixes = {str(key)[:_DEEPSPEED_PREFIX] for key in state}
    if len(prefixes) > 1 or any(len(str(key)) <= _DEEPSPEED_PREFIX for key in state):
        return dict(state)
    return {str(key)[_DEEPSPEED_PREFIX:]: value for key, value in state.items()}


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = _REFUSED_GLOBAL.search(str(error))
        what = found[1] if found else " ".join(str(error).split())[:200]
        raise InputError(
            "checkpoint",
            f"{path} is not opened: it holds {what}, which is neither a tensor nor a plain value",
            "if you trust it, save its state dict alone with torch.save({'state_dict': ...})",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if "mmap can only be used" in str(error):
            raise InputError(
                "checkpoint",
                f"{path} is damaged or of the old format: not a zip file, which torch.save writes since version 1.6",
                "download it again, or load and save it again with torch",
            ) from error
        problem = f"{path} is damaged or not a checkpoint: {' '.join(str(error).split())[:200]}"
        raise InputError("checkpoint", problem, "download it again") from error
