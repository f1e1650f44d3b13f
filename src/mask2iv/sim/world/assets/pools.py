"""Pools of object instances and scenes, divided among train, validation and test."""

from __future__ import annotations

from typing import NamedTuple


class Pool(NamedTuple):
    """Numbers of the object instances (of every category) and of the scenes that a split draws from."""

    instances: range
    scenes: range


SPLITS: dict[str, Pool] = {
    "train": Pool(range(160), range(1600)),
    "validation": Pool(range(160, 180), range(1600, 1800)),
    "test": Pool(range(180, 200), range(1800, 2000)),
}
"""No number is in two splits, so no object and no room of a test clip is seen in training."""
