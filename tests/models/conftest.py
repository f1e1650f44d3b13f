"""What the tests of the networks share: golden files and the plain second implementation of the U-Net."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

TESTS = Path(__file__).parents[1]


def _module(path: Path) -> ModuleType:
    """A helper file of the tests as a module; the test folders are not packages."""
    name = f"tests_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def load_golden() -> Callable[[str], Any]:
    """Reads a golden file by name, once."""
    return cache(_module(TESTS / "golden" / "loader.py").load_golden)


@pytest.fixture(scope="session")
def golden_weight() -> Callable[..., torch.Tensor]:
    """The deterministic weight of an original key and shape."""
    weight: Callable[..., torch.Tensor] = _module(TESTS / "golden" / "loader.py").golden_weight
    return weight


@pytest.fixture(scope="session")
def naive_unet() -> Callable[..., Any]:
    """The plain second implementation."""
    network: Callable[..., Any] = _module(TESTS / "models" / "naive_unet.py").NaiveUNet
    return network
