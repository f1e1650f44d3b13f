"""Every key of a checkpoint accounted for: used by a network, carried along for the way back, or not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.files import read_json, write_json
from mask2iv.official.layout import PREFIXES, Part
from mask2iv.official.source import OriginalCheckpoint

EXTRAS = "official_extras"
# Tables that tell one schedule from another; the rest follows from them.
_TELLING = ("betas", "alphas_cumprod", "scale_arr")


@dataclass(frozen=True)
class Inventory:
    """What becomes of each key.

    Attributes:
        used: keys of the networks and of the schedule.
        carried: tensors that no network uses, and schedule tables that differ in the last digits from those computed
            here; kept so that an export gives the same file.
        aliases: keys that hold the same bits as another one, by that key; carried as a name only.
        unused: keys that the layout does not know, with their shapes.
    """

    used: list[str]
    carried: dict[str, Tensor]
    aliases: dict[str, str]
    unused: dict[str, tuple[int, ...]]

    def to_dict(self) -> dict[str, Any]:
        """For the report: numbers, and the names of all but the used."""
        return {
            "total": len(self.used) + len(self.carried) + len(self.aliases) + len(self.unused),
            "used": len(self.used),
            "carried": sorted(self.carried),
            "aliases": self.aliases,
            "unused": {name: list(shape) for name, shape in sorted(self.unused.items())},
        }


def take_inventory(source: OriginalCheckpoint, parts: Sequence[Part], schedule: NoiseSchedule) -> Inventory:
    """Account for every key of ``source``.

    Raises:
        InputError: a key is missing or has another shape, or the tables are of another noise schedule, naming it.
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
    return Inventory(used, carried, aliases, unused)


def _check_shapes(source: OriginalCheckpoint, known: Mapping[str, tuple[int, ...]]) -> None:
    missing = [key for key in known if key not in source.shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"checkpoint: {source.path} misses the key {missing[0]}{more}; check --layout or --config, or whether the "
            "file is a whole checkpoint"
        )
    for key, shape in known.items():
        if source.shapes[key] != shape:
            raise InputError(
                f"checkpoint: {key} has shape {list(source.shapes[key])}, expected {list(shape)}; check --layout or "
                "--config"
            )


def _other_tables(path: Path, tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The schedule tables of the checkpoint that are not bit for bit those computed here."""
    other = {}
    for name, table in buffers.items():
        if torch.equal(tensors[name], table) and tensors[name].dtype == table.dtype:
            continue
        # Loose enough for tables that were stored in half precision.
        if name in _TELLING and not torch.allclose(tensors[name].float(), table, rtol=1e-2, atol=2e-3):
            raise InputError(
                f"checkpoint: {path}: {name} is of another noise schedule than the layout's; check --layout, or "
                "describe the schedule with --config"
            )
        other[name] = tensors[name].clone()
    return other


def save_extras(folder: Path, stage: str, inventory: Inventory, use_linear: bool, dtype: torch.dtype) -> None:
    """Write ``official_extras/<stage>.safetensors`` and ``.json`` below a model folder; weights in ``dtype``."""
    target = folder / EXTRAS
    target.mkdir(exist_ok=True)
    prefixes = tuple(PREFIXES.values())
    tensors = {
        key: value.to(dtype if key.startswith(prefixes) else value.dtype).contiguous()
        for key, value in inventory.carried.items()
    }
    save_file(tensors, target / f"{stage}.safetensors", metadata={"format": "pt"})
    write_json(target / f"{stage}.json", {"use_linear": use_linear, "aliases": inventory.aliases})


def load_extras(folder: Path, stage: str) -> tuple[dict[str, Tensor], dict[str, str], bool] | None:
    """(carried tensors, aliases, use_linear) of :func:`save_extras`; None for a model that was not imported.

    Raises:
        InputError: damaged.
    """
    path = folder / EXTRAS / f"{stage}.json"
    if not path.is_file():
        return None
    values = read_json(path)
    try:
        tensors = load_file(path.with_suffix(".safetensors"))
        return tensors, dict(values["aliases"]), bool(values["use_linear"])
    except Exception as error:  # safetensors' and JSON's faults have no common class
        raise InputError(f"{path}: damaged ({error}); import the checkpoint again") from error
