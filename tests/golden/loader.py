"""Reads the golden files beside this one: tensors computed by the original DynamiCrafter code.

A file holds inputs and results, and either its weights (``weights.<key>``) or only their shapes (metadata entry
``weight_shapes``). In the second case the weights are normal numbers drawn from the crc32 of each key, scaled so that a
network of them neither explodes nor dies; ``check.sums`` in the file verifies them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """Contents of one file: original weights by original key, all other tensors, and the metadata's ``info``."""

    weights: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    info: Mapping[str, Any]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


@cache
def golden_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The float32 tensor that belongs to a key of the original state dict."""
    draw = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(math.prod(shape)).reshape(shape)
    if len(shape) == 0:
        draw = 0.5 * draw
    elif len(shape) == 1:
        draw = 0.1 * draw + (1.0 if key.endswith(".weight") else 0.0)  # 1-D weights are gains of norms
    else:
        fan_in = shape[-1] if key.endswith("latents") else math.prod(shape[1:])
        draw = draw / math.sqrt(fan_in)
    return torch.from_numpy(np.asarray(draw, dtype=np.float32))


def load_golden(name: str) -> Golden:
    """Read ``<name>.safetensors``."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        metadata = file.metadata() or {}
        entries = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    prefix = "weights."
    weights = {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
    tensors = {key: value for key, value in entries.items() if not key.startswith(prefix)}
    if "weight_shapes" in metadata:
        shapes = json.loads(metadata["weight_shapes"])
        weights = {key: golden_weight(key, tuple(shape)) for key, shape in shapes.items()}
        sums = torch.stack([weights[key].double().sum() for key in sorted(weights)])
        torch.testing.assert_close(sums, tensors["check.sums"], rtol=1e-6, atol=1e-4)
    return Golden(weights, tensors, json.loads(metadata.get("info", "{}")))
