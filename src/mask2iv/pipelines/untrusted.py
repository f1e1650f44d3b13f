"""Checks of a component's files before a library builds it. A damaged or hostile folder must not ask for terabytes, for
hours, or for code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from mask2iv.config import read_config
from mask2iv.errors import InputError
from mask2iv.parsing import MAX_JSON_BYTES

_WEIGHTS = (".safetensors", ".bin", ".ckpt")
_USUAL = 4096
"""Sizes up to this need not be seen in the weights: kernel sizes, picture sizes, positions."""
_MOST_VALUES = 2000
_COUNTS = re.compile(r"layers|depth|blocks|num_res")
"""Numbers of layers. Each layer has weights."""
_FOREIGN = ("auto_map", "quantization_config", "adapters")
"""Settings by which libraries load code or further packages."""


def check_files(folder: Path) -> None:
    """Refuse files that a library would never finish reading, or not find.

    Raises:
        InputError: something in a component's folder is no file (a pipe, a device, a link that leads nowhere), or is
            too large for what it is.
    """
    for path in folder.iterdir():
        if not path.is_file() and not path.is_dir():
            raise InputError(str(path), "is not a file", "copy the component again")
        # Weights are mapped; everything else is read as a whole.
        if path.suffix not in _WEIGHTS and path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(str(path), f"has more than {MAX_JSON_BYTES >> 20} MiB", "copy the component again")


def check_settings(path: Path, weights: Sequence[Path]) -> None:
    """Compare the settings of a network with its weights.

    Args:
        path: ``config.json``.
        weights: its safetensors files; only their headers are read.

    Raises:
        InputError: no such file, or a setting that no network with these weights has; names file and key.
        SafetensorError, OSError: a weights file cannot be read.
    """
    settings = read_config(path, dict[str, Any])
    shapes: list[list[int]] = []
    for file in weights:
        with safe_open(file, framework="pt") as opened:
            shapes += [opened.get_slice(key).get_shape() for key in opened.keys()]  # noqa: SIM118
    largest = max([_USUAL, *(size for shape in shapes for size in shape)])
    values = list(_numbers(settings, ""))
    if len(values) > _MOST_VALUES:
        raise InputError(str(path), f"has {len(values)} numbers, at most {_MOST_VALUES} are read")
    for key, value in values:
        most = len(shapes) if _COUNTS.search(key) and "channels" not in key else largest
        if abs(value) > most:
            raise InputError(f"{path}: {key}", f"{value} does not fit the weights, which have nothing above {most}")
    for key in _FOREIGN:
        if settings.get(key) is not None:
            raise InputError(f"{path}: {key}", "is not supported", "remove it, or convert the weights")


def _numbers(value: Any, key: str) -> Iterator[tuple[str, int]]:
    """All integers of a JSON value, with the names of the settings that they stand in."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _numbers(entry, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry, key)
    elif type(value) is int:
        yield key, value
