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
_WRAPPERS = ("_forward_module.", "module.", "_orig_mod.")
"""What DeepSpeed, DistributedDataParallel and torch.compile put before every key."""
_ADAPTER = re.compile(r"\blora_|\.lora[._]")
_DEEPSPEED_FILES = ("zero_to_fp32.py", "*_model_states.pt", "*_optim_states.pt")
_JOIN_PARTS = "join its parts with the zero_to_fp32.py that DeepSpeed leaves beside them, and import what it writes"
_MERGE = "merge them into the network that they belong to, and import its state dict"
_OLD_NAME = ("model.diffusion_model.framestride_embed.", "model.diffusion_model.fps_embedding.")


class OriginalCheckpoint:
    """The tensors of a checkpoint, by key of the original state dict.

    Args:
        path: a file of ``torch.save`` (``{"state_dict": ...}``, DeepSpeed's ``{"module": ...}``, or the bare state
            dict), or a safetensors file.

    Attributes:
        shapes: shape of each tensor.
        container: what holds the tensors: "state_dict", "module", "bare" or "safetensors".
        prefix: what DeepSpeed, DDP and torch.compile had put before every key; left out in all other attributes.
        renamed: keys that have another name in later versions of the original code.

    Raises:
        InputError: the file is missing, empty, damaged, of an old format, or holds more than tensors and plain values;
            or it holds adapters, or a part of the weights, instead of a network.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_folders(path)
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

        Raises:
            InputError: as the class.
        """
        if self.path.suffix == ".safetensors":
            try:
                state: Mapping[Any, Any] = load_file(self.path)
            except (SafetensorError, OSError) as error:
                problem = f"{self.path} cannot be read: {reason(error)}"
                raise InputError("checkpoint", problem, "download it again") from error
        else:
            state = self._state_dict(_unpickle(self.path))
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
                raise InputError(
                    "checkpoint",
                    f"{self.path} must hold a dense tensor under {str(key)!r}, found {type(value).__name__}",
                    "save the state dict alone with torch.save({'state_dict': ...})",
                )
        self._refuse_others(state)
        self.prefix, state = _unwrapped(state)
        self._found = list(state)
        return {
            _OLD_NAME[1] + key.removeprefix(_OLD_NAME[0]) if key.startswith(_OLD_NAME[0]) else key: value
            for key, value in state.items()
        }

    def _refuse_others(self, state: Mapping[str, Tensor]) -> None:
        """Raises InputError for adapters, and for the empty tensors that stand for weights kept elsewhere."""
        adapter = next((key for key in state if _ADAPTER.search(key)), None)
        if adapter is not None:
            raise InputError("checkpoint", f"{self.path} holds adapters ({adapter}), not a network", _MERGE)
        hollow = next((key for key, value in state.items() if not value.numel()), None)
        if hollow is not None:
            problem = f"{self.path} holds nothing under {hollow}: its weights are kept in parts"
            raise InputError("checkpoint", problem, _JOIN_PARTS)

    def _state_dict(self, content: Any) -> Mapping[Any, Any]:
        if isinstance(content, Mapping):
            if isinstance(content.get("state_dict"), Mapping):
                self.container = "state_dict"
                return dict(content["state_dict"])
            if isinstance(content.get("module"), Mapping):
                self.container = "module"
                return dict(content["module"])
            if content and all(isinstance(value, Tensor) for value in content.values()):
                self.container = "bare"
                return dict(content)
        if isinstance(content, Mapping) and "optimizer_state_dict" in content:
            raise InputError("checkpoint", f"{self.path} holds 'optimizer_state_dict', a part of a run", _JOIN_PARTS)
        inside = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(
            "checkpoint",
            f"{self.path} must hold 'state_dict', 'module', or tensors by name, found {inside or 'nothing'}",
        )


def _refuse_folders(path: Path) -> None:
    """Raises InputError for folders whose files are known, with what to do."""
    if not path.is_dir():
        return
    adapters = sorted(path.rglob("adapter_model.*"))
    if adapters:
        raise InputError("checkpoint", f"{path} holds adapters ({adapters[0].name}), not a network", _MERGE)
    parts = [found for pattern in _DEEPSPEED_FILES for found in sorted(path.rglob(pattern))]
    if parts:
        raise InputError("checkpoint", f"{path} is a DeepSpeed folder (it holds {parts[0].name})", _JOIN_PARTS)


def _unwrapped(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The prefix that all keys share, of any of the wrappers, and the state dict without it."""
    prefix, keys = "", list(state)
    while wrapper := next((one for one in _WRAPPERS if keys and all(key.startswith(one) for key in keys)), ""):
        prefix, keys = prefix + wrapper, [key.removeprefix(wrapper) for key in keys]
    # torch.compile may have wrapped one network of several.
    keys = [key.replace("._orig_mod.", ".") for key in keys]
    return prefix, dict(zip(keys, state.values(), strict=True))


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
