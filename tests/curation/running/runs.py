"""Runs over drawn recordings, and what is looked at of their sets."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tests.curation.running.troubles import SIZE

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.curation.running.run import Curation, curate
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.sources.interfaces import Source
from mask2iv.data.folder import FolderConfig
from mask2iv.media.images import write_png
from mask2iv.scaling.processes import ProcessCrew

CONFIG = CurationConfig(cut=FolderConfig(SIZE, 4, 8.0), motion_share=0.0)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def skipped(folder: Path) -> dict[str, list[str]]:
    lines = (folder / "skipped.jsonl").read_text().splitlines()
    return {entry["name"]: entry["reasons"] for entry in map(json.loads, lines)}


def run(source: Source, out: Path, config: CurationConfig = CONFIG, workers: int = 2, **options: Any) -> Curation:
    return curate(source, out, config, ProcessCrew(workers), **options)


def pushed(frame: int, size: tuple[int, int]) -> tuple[UInt8Array, BoolArray]:
    """A picture of a patterned box that an arm reaches for from below and pushes to the right, and where the box is."""
    random = np.random.default_rng(0)
    height, width = size
    picture = np.kron(random.integers(100, 140, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    left = width // 8 + 3 * max(0, frame - 8)
    top = height // 3
    box = np.s_[top : top + 24, left : left + 28]
    arm = np.s_[max(top + 24, height - 6 * frame) :, left + 6 : left + 18]
    picture[box] = np.add((220, 40, 30), random.integers(-25, 25, (24, 28, 3)))
    picture[arm] = np.add((30, 40, 60), random.integers(-20, 20, (height, 12, 1)))[: len(picture[arm])]
    where = np.zeros(size, dtype=np.bool_)
    where[box] = True
    return picture, where


def write_pushed(folder: Path, size: tuple[int, int], trees: ModuleType) -> None:
    """A trajectory of 20 such pictures."""
    trees.write_bridge_trajectory(folder, frames=20, size=size)
    for frame in range(20):
        write_png(folder / "images0" / f"im_{frame}.png", pushed(frame, size)[0])
        (folder / "images0" / f"im_{frame}.jpg").unlink()
