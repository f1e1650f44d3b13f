"""Accounts for every key of a checkpoint: used by a network, kept for export, or left out on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from mask2iv.pipelines.untrusted import check_files

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
        absent: keys of schedule tables, which are computed, and of tensors without use, that a pruned file lacks.
        ignored: keys outside the layout that were left out on request, with their shapes, by group.
    """

    used: list[str]
    carried: dict[str, Tensor]
    aliases: dict[str, str]
    absent: list[str]
    ignored: dict[str, dict[str, tuple[int, ...]]]

    def to_dict(self) -> dict[str, Any]:
        """For the report: the counts, and the names of all keys that are not used."""
        return {
            "total": len(self.used) + len(self.carried) + len(self.aliases) + sum(map(len, self.ignored.values())),
            "used": len(self.used),
            "carried": sorted(self.carried),
            "aliases": self.aliases,
            "absent": self.absent,
            "ignored": {
                group: {"count": len(keys), "keys": {name: list(shape) for name, shape in sorted(keys.items())}}
                for group, keys in self.ignored.items()
            },
        }


def classify_keys(
    source: OriginalCheckpoint, parts: Sequence[Part], schedule: NoiseSchedule, ignore: Sequence[str] = ()
) -> KeyInventory:
    """Account for every key of ``source``.

    Args:
        source: the checkpoint.
        parts: its networks.
        schedule: its noise schedule.
        ignore: groups of keys without a place here that may be left out; see :func:`unknown_groups`.

    Raises:
        InputError: a key of a network is missing, a key has another shape or no place, a table belongs to another noise
            schedule, or there is no group of that name to ignore; naming it.
    """
    buffers = schedule.checkpoint_buffers()
    needed = {part.prefix + match.original: match.shape for part in parts for match in part.matches}
    leftovers = {part.prefix + key: shape for part in parts for key, shape in part.leftovers.items()}
    tables = {key: tuple(table.shape) for key, table in buffers.items()}
    known = needed | leftovers | tables
    _check_shapes(source, needed, known)
    ignored = unknown_groups(source, known)
    _check_groups(source.path, ignored, ignore)
    tensors = source.tensors()
    absent = [key for key in {**tables, **leftovers} if key not in tensors]
    buffers = {key: table for key, table in buffers.items() if key in tensors}
    carried, aliases = _other_tables(source.path, tensors, buffers), {}
    used = [*needed, *(key for key in buffers if key not in carried)]
    for key in leftovers:
        if key in absent:
            continue
        twin = PREFIXES["text_encoder"] + key.removeprefix(PREFIXES["image_encoder"])
        if twin != key and twin in tensors and torch.equal(tensors[key], tensors[twin]):
            aliases[key] = twin
        else:
            carried[key] = tensors[key].clone()
    return KeyInventory(used, carried, aliases, absent, ignored)


def unknown_groups(source: OriginalCheckpoint, known: Iterable[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """The keys of ``source`` that are not among the known ones, with their shapes, by group.

    A group is named after the first part of a key's path that no known key shares: ``attn2_mask`` for
    ``model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2_mask.to_q.weight``, a number with its parent.
    """
    wanted = set(known)
    modules = {key[:at] for key in wanted for at, letter in enumerate(key) if letter == "."}
    groups: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in source.shapes.items():
        if key in wanted:
            continue
        path = key.split(".")
        depth = next((at for at in range(len(path)) if ".".join(path[: at + 1]) not in modules), len(path) - 1)
        name = f"{path[depth - 1]}.{path[depth]}" if path[depth].isdigit() and depth else path[depth]
        groups.setdefault(name, {})[key] = shape
    return groups


def _check_groups(path: Path, groups: Mapping[str, Mapping[str, Any]], ignore: Sequence[str]) -> None:
    mistaken = [name for name in ignore if name not in groups]
    if mistaken:
        raise InputError(
            f"ignore_keys {mistaken[0]}",
            f"{path} holds no such group of keys without a place here",
            f"it holds {', '.join(groups)}" if groups else "leave it out: every key has its place",
        )
    refused = {name: keys for name, keys in groups.items() if name not in ignore}
    if refused:
        counts = ", ".join(f"{name} ({len(keys)}, as {next(iter(keys))})" for name, keys in refused.items())
        raise InputError(
            "ignore_keys",
            f"{path} holds keys that no network here has a place for, so that without them it may compute something "
            f"else: {counts}",
            f"if it shall do without them, give {' '.join(groups)}",
        )


def _check_shapes(source: OriginalCheckpoint, needed: Iterable[str], known: Mapping[str, tuple[int, ...]]) -> None:
    missing = [key for key in needed if key not in source.shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            "checkpoint",
            f"{source.path} misses the key {missing[0]}{more}",
            "check layout and configuration, and whether the file is a complete checkpoint",
        )
    for key, shape in known.items():
        if source.shapes.get(key, shape) != shape:
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
    check_files(folder / EXTRAS)
    try:
        values = read_config(path, _Extras)
        tensors = load_file(path.with_suffix(".safetensors"))
    except (InputError, OSError, SafetensorError) as error:
        raise InputError(str(path), f"is damaged ({reason(error)})", "import the checkpoint again") from error
    return tensors, values.aliases, values.use_linear
