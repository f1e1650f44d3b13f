"""Random generators seeded by a text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def generator_of(text: str) -> torch.Generator:
    """A CPU generator that draws the same numbers for the same text on every machine."""
    import torch

    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]))
