"""Checkpoints: split into files of bounded size and joined again; a full disk leaves the last good one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mask2iv.errors import InputError
from mask2iv.training.engine.checkpoint import TensorGroup, list_checkpoints, load_checkpoint, save_checkpoint

TENSORS = {
    "large": torch.randn(300, 200, generator=torch.Generator().manual_seed(0)),
    "small": torch.arange(5.0),
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    "half": torch.ones(70_000, dtype=torch.float16),
}


def group(tensors: dict[str, torch.Tensor]) -> TensorGroup:
    return TensorGroup(tensors, lambda name: tensors[name])


@pytest.mark.parametrize("limit", [None, 64 * 1024, 150_000, 10**9])
def test_tensors_come_back_whole_from_files_below_the_limit(limit: int | None, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, {"model": group(TENSORS), "ema": group({})}, {"note": "x"}, 1, limit)
    files = sorted(path.glob("model*.safetensors"))
    assert (len(files) > 1) == (limit is not None and limit < 10**9)
    if limit is not None:
        assert max(file.stat().st_size for file in path.iterdir()) <= limit
    loaded, state = load_checkpoint(path, ("model", "ema"))
    assert state["note"] == "x"
    assert loaded["ema"] == {}
    assert set(loaded["model"]) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert loaded["model"][name].dtype == tensor.dtype
        assert torch.equal(loaded["model"][name], tensor)


def test_a_piece_that_is_missing_or_of_another_checkpoint_is_found_out(tmp_path: Path) -> None:
    first, second = (save_checkpoint(tmp_path, step, {"m": group(TENSORS)}, {}, 5, 64 * 1024) for step in (1, 2))
    changed = {**TENSORS, "small": torch.zeros(5)}
    third = save_checkpoint(tmp_path, 3, {"m": group(changed)}, {}, 5, 64 * 1024)
    files = [file.name for file in sorted(second.glob("m-*")) if (third / file.name).read_bytes() != file.read_bytes()]
    (second / files[0]).write_bytes((third / files[0]).read_bytes())
    match = f"checkpoint-00000002: this checkpoint cannot be read .*{files[0]}: does not match its hash"
    with pytest.raises(InputError, match=match):
        load_checkpoint(second, ("m",))
    (first / files[0]).unlink()
    with pytest.raises(InputError, match=r"checkpoint-00000001: this checkpoint cannot be read .*; start again"):
        load_checkpoint(first, ("m",))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system needs more rights")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint_and_says_so(small_disk: Path) -> None:
    save_checkpoint(small_disk, 1, {"model": group(TENSORS)}, {}, 2)
    save_checkpoint(small_disk, 2, {"model": group(TENSORS)}, {}, 2)
    match = "checkpoint-00000003: cannot be written.*last good checkpoint is .*checkpoint-00000002; free space"
    with pytest.raises(InputError, match=match):
        save_checkpoint(small_disk, 3, {"model": group(TENSORS)}, {}, 2)
    assert sorted(path.name for path in small_disk.iterdir()) == ["checkpoint-00000001", "checkpoint-00000002"]
    loaded, _ = load_checkpoint(list_checkpoints(small_disk)[-1], ("model",))
    assert torch.equal(loaded["model"]["large"], TENSORS["large"])
