"""Accounts for every key of a checkpoint: used by a network, kept for export, or unused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mask2iv.config import read_config
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.files import reason, write_json
from mask2iv.official.layout import PREFIXES, Part
from mask2iv.official.source import OriginalCheckpoint

EXTRAS = "official_extras"
# Tables that define a schedule; the others follow from them.
_DEFINING_TABLES = ("betas", "alphas_cumprod", "scale_arr")


@dataclass(frozen=True)
class KeyInventory:
    """What becomes of each key.

    Attributes:
        used: keys of the networks and of the schedule.
        carried: tensors kept so that an export gives the same file: those that no network uses, and schedule tables
            that differ from the computed ones in the last digits.
        aliases: key of a carried tensor -> key of the identical tensor that stands for it.
        unused: keys outside the layout, with their shapes.
    """

    used: list[str]
    carried: dict[str, Tensor]
    aliases: dict[str, str]
    unused: dict[str, tuple[int, ...]]

    def to_dict(self) -> dict[str, Any]:
        """For the report: the counts, and the names of all keys that are not used."""
        return {
            "total": len(self.used) + len(self.carried) + len(self.aliases) + len(self.unused),
            "used": len(self.used),
            "carried": sorted(self.carried),
            "aliases": self.aliases,
            "unused": {name: list(shape) for name, shape in sorted(self.unused.items())},
        }


def classify_keys(source: OriginalCheckpoint, parts: Sequence[Part], schedule: NoiseSchedule) -> KeyInventory:
    """Account for every key of ``source``.

    Raises:
        InputError: a key is missing or has another shape, or a table belongs to another noise schedule, naming it.
    """
    buffers = schedule.checkpoint_buffers()
    needed = {part.prefix + match.original: match.shape for part in parts for match in part.matches}
    leftovers = {part.prefix + key: shape for part in parts for key, shape in part.leftovers.items()}
    tables = {key: tuple(table.shape) for key, table in buffers.items()}
    known = needed | leftovers | tables
    _check_shapes(source, known)
    tensors = source.tensors()
    carried, aliases = _other_tables(source.path, tensors, buffers), {}
    used = [*needed, *(key for key in tables if key not in carried)]
    for key in leftovers:
        twin = PREFIXES["text_encoder"] + key.removeprefix(PREFIXES["image_encoder"])
        if twin != key and twin in known and torch.equal(tensors[key], tensors[twin]):
            aliases[key] = twin
        else:
            carried[key] = tensors[key].clone()
    unused = {key: shape for key, shape in source.shapes.items() if key not in known}
    return KeyInventory(used, carried, aliases, unused)


def _check_shapes(source: OriginalCheckpoint, known: Mapping[str, tuple[int, ...]]) -> None:
    missing = [key for key in known if key not in source.shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            "checkpoint",
            f"{source.path} misses the key {missing[0]}{more}",
            "check layout and configuration, and whether the file is a complete checkpoint",
        )
    for key, shape in known.items():
        if source.shapes[key] != shape:
            raise InputError(
                "checkpoint",
                f"{key} has shape {list(source.shapes[key])}, expected {list(shape)}",
                "check layout and configuration",
            )


def _other_tables(path: Path, tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The schedule tables of the checkpoint that are not bitwise equal to those computed here."""
    other = {}
    for name, table in buffers.items():
        if torch.equal(tensors[name], table) and tensors[name].dtype == table.dtype:
            continue
        # Loose enough for tables that were stored in half precision.
        if name in _DEFINING_TABLES and not torch.allclose(tensors[name].float(), table, rtol=1e-2, atol=2e-3):
            raise InputError(
                "checkpoint",
                f"{path}: {name} belongs to another noise schedule than the layout's",
                "check the layout, or describe the schedule in a configuration",
            )
        other[name] = tensors[name].clone()
    return other


def save_extras(folder: Path, stage: str, inventory: KeyInventory, use_linear: bool, dtype: torch.dtype) -> None:
    """Write ``official_extras/<stage>.safetensors`` and ``.json`` in a model folder, weights in ``dtype``."""
    target = folder / EXTRAS
    target.mkdir(exist_ok=True)
    prefixes = tuple(PREFIXES.values())
    tensors = {
        key: value.to(dtype if key.startswith(prefixes) else value.dtype).contiguous()
        for key, value in inventory.carried.items()
    }
    save_file(tensors, target / f"{stage}.safetensors", metadata={"format": "pt"})
    write_json(target / f"{stage}.json", {"use_linear": use_linear, "aliases": inventory.aliases})


@dataclass(frozen=True)
class _Extras:
    """What lies beside the carried tensors."""

    use_linear: bool
    aliases: dict[str, str]


def load_extras(folder: Path, stage: str) -> tuple[dict[str, Tensor], dict[str, str], bool] | None:
    """The (carried tensors, aliases, use_linear) that :func:`save_extras` wrote; None for a model not imported.

    Raises:
        InputError: damaged files.
    """
    path = folder / EXTRAS / f"{stage}.json"
    if not path.is_file():
        return None
    try:
        values = read_config(path, _Extras)
        tensors = load_file(path.with_suffix(".safetensors"))
    except (InputError, OSError, SafetensorError) as error:
        raise InputError(str(path), f"is damaged ({reason(error)})", "import the checkpoint again") from error
    return tensors, values.aliases, values.use_linear
