"""Small original checkpoints, and the folders that they were imported into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from mask2iv.official.importing import ImportSettings, import_checkpoint
from mask2iv.official.joining import join_stages

State = dict[str, Tensor]
Save = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="session")
def save() -> Save:
    """Writes a checkpoint and its configuration: ``save(folder, state, config)`` gives their paths."""

    def write(folder: Path, state: State, config: dict[str, Any], name: str = "stage") -> tuple[Path, Path]:
        torch.save({"state_dict": state, "global_step": 7}, folder / f"{name}.ckpt")
        (folder / f"{name}.json").write_text(json.dumps(config))
        return folder / f"{name}.ckpt", folder / f"{name}.json"

    return write


@pytest.fixture(scope="session")
def same() -> Callable[[State, State], bool]:
    """Whether two state dicts have the same keys, and the same bits under each."""

    def compare(found: State, expected: State) -> bool:
        return set(found) == set(expected) and all(
            found[key].dtype == value.dtype and torch.equal(found[key], value) for key, value in expected.items()
        )

    return compare


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory, checkpoints: ModuleType, save: Save) -> Any:
    """The golden networks' checkpoint, and the folder it was imported into, in float32 and in many files."""
    folder = tmp_path_factory.mktemp("golden")
    state, config = checkpoints.golden_checkpoint()
    state["model.mask_attention.weight"] = torch.zeros(3, 3)
    path, flags = save(folder, state, config)
    settings = ImportSettings("video", "fp32", config=flags, ignore_keys=("mask_attention",), shard_bytes=8_000_000)
    report = import_checkpoint(path, folder / "model", settings)
    return state, config, folder / "model", report


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, checkpoints: ModuleType, save: Save) -> Path:
    """A folder with small checkpoints of both stages, their configuration and vocabulary, imported and joined."""
    folder = tmp_path_factory.mktemp("small")
    for name, seed in (("first", ""), ("second", "2")):
        save(folder, *checkpoints.small_checkpoint(seed=seed), name)
    checkpoints.write_vocabulary(folder / "bpe.txt.gz")
    vocabulary, flags = str(folder / "bpe.txt.gz"), folder / "first.json"
    import_checkpoint(
        folder / "first.ckpt",
        folder / "text",
        ImportSettings("trajectory-text", "fp32", tokenizer=vocabulary, config=flags),
    )
    import_checkpoint(folder / "second.ckpt", folder / "video", ImportSettings("video", "fp32", config=flags))
    join_stages(folder / "text", folder / "video", folder / "joined")
    return folder
