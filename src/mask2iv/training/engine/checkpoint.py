"""Atomic checkpoints of a training run, in safetensors only.

A checkpoint is a folder ``checkpoint-00001000``, either complete or absent: it is written beside its final name,
flushed to disk and renamed. Tensors may be split across files of a given size at most; ``state.json`` lists the files
with their hashes. Random states are not stored: every random number of a run is a function of seed, step and sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Required

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from typing_extensions import TypedDict

from mask2iv.config import from_dict, read_config
from mask2iv.errors import InputError, within
from mask2iv.files import (
    atomic_directory,
    disk_fault,
    flush_to_disk,
    reason,
    remove_directory,
    sha256_file,
    write_json,
)

FORMAT = 2
_NAME = re.compile(r"(?P<kind>checkpoint|best)-(?P<step>\d{8})$")
_HEADER_BYTES = 256
"""Bytes reserved in a file for one tensor's header entry; longer than any name here."""


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that are stored together, read one by one so that they need not all be in memory at once.

    Attributes:
        like: tensors with the shape and dtype of each; on any device, or only shards of it.
        read: returns one whole tensor. With sharded weights every process must call it, in the order of `like`.
    """

    like: Mapping[str, torch.Tensor]
    read: Callable[[str], torch.Tensor]


def save_checkpoint(
    run_dir: Path,
    step: int,
    groups: Mapping[str, TensorGroup],
    state: Mapping[str, Any],
    keep: int,
    max_bytes: int | None = None,
    kind: str = "checkpoint",
) -> Path:
    """Write ``<kind>-<step>`` and remove all but the newest `keep` of its kind.

    Args:
        run_dir: the run's folder.
        step: optimiser steps done.
        groups: tensors to store, by name.
        state: further JSON values.
        keep: number of checkpoints of this kind to keep.
        max_bytes: largest size of a file; None writes one file per group.
        kind: "checkpoint" or "best".

    Raises:
        InputError: the checkpoint cannot be written; earlier ones are untouched.
    """
    target = run_dir / f"{kind}-{step:08d}"
    try:
        with atomic_directory(target, overwrite=True) as folder:
            written = {name: _write_group(folder, name, group, max_bytes) for name, group in groups.items()}
            files = {file.name: sha256_file(file) for file in sorted(folder.iterdir())}
            write_json(
                folder / "state.json", {"format": FORMAT, "step": step, "shapes": written, "files": files, **state}
            )
            flush_to_disk(folder)
        flush_to_disk(run_dir, recursive=False)
    except (OSError, SafetensorError) as error:
        raise cannot_write(str(target), run_dir, error) from error
    for old in list_checkpoints(run_dir, kind)[:-keep]:
        remove_directory(old)
    return target


def skim(groups: Mapping[str, TensorGroup]) -> None:
    """Read all tensors as :func:`save_checkpoint` does and discard them: for the processes that do not write."""
    for group in groups.values():
        for name in group.like:
            group.read(name)


def cannot_write(what: str, run_dir: Path, error: BaseException) -> InputError:
    """The error of a run that cannot write `what`, a path: why, and from which checkpoint it can resume."""
    found = list_checkpoints(run_dir)
    last = f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint yet"
    advice = "free space on the disk" if disk_fault(error) else "make the folder writable"
    return InputError(
        what, f"cannot be written: {reason(error)}; {last}", f"{advice} and resume from the latest checkpoint"
    )


@contextmanager
def full_disk_reported(run_dir: Path) -> Iterator[None]:
    """Turns a full disk, wherever a run meets it, into the error of :func:`cannot_write`.

    Raises:
        InputError: the disk or the user's quota is full.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        if disk_fault(error) is None:
            raise
        name = getattr(error, "filename", None) or run_dir
        raise cannot_write(str(name), run_dir, error) from error


Piece = list[tuple[str, int, int]]


def pieces(like: Mapping[str, torch.Tensor], max_bytes: int | None) -> Iterator[Piece]:
    """How tensors are distributed over files: (name, first element, last element + 1) of each part of each file.

    A tensor is split only if it is larger than a file may be.
    """
    limit = max_bytes - _HEADER_BYTES if max_bytes else sum(t.nbytes + _HEADER_BYTES for t in like.values())
    file: Piece = []
    room = limit
    for name, tensor in like.items():
        most = max(1, (limit - _HEADER_BYTES) // tensor.element_size())
        for start in range(0, max(1, tensor.numel()), most):
            stop = min(tensor.numel(), start + most)
            need = (stop - start) * tensor.element_size() + _HEADER_BYTES
            if file and need > room:
                yield file
                file, room = [], limit
            file.append((name, start, stop))
            room -= need
    yield file


def _write_group(folder: Path, group_name: str, group: TensorGroup, max_bytes: int | None) -> dict[str, list[int]]:
    """Write a group's files; returns the shapes of the tensors that were split."""
    files = list(pieces(group.like, max_bytes))
    split: dict[str, list[int]] = {}
    held: tuple[str, torch.Tensor] | None = None
    for number, parts in enumerate(files, start=1):
        tensors = {}
        for name, start, stop in parts:
            if held is None or held[0] != name:
                held = name, group.read(name).detach()
            whole = held[1]
            if stop - start < whole.numel():
                split[name] = list(whole.shape)
                tensors[f"{name}@{start}"] = whole.reshape(-1)[start:stop].to("cpu", copy=True)
            else:
                tensors[name] = whole.to("cpu", copy=True).contiguous()
        suffix = "" if len(files) == 1 else f"-{number:05d}-of-{len(files):05d}"
        save_file(tensors, folder / f"{group_name}{suffix}.safetensors")
    return split


def list_checkpoints(run_dir: Path, kind: str = "checkpoint") -> list[Path]:
    """Complete checkpoints of a kind, oldest first."""
    if not run_dir.is_dir():
        return []
    named = [path for path in run_dir.iterdir() if (match := _NAME.match(path.name)) and match["kind"] == kind]
    return sorted(path for path in named if (path / "state.json").is_file())


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.rpartition("-")[2])


def resolve_checkpoint(run_dir: Path, wanted: str) -> Path | None:
    """The checkpoint to resume from: a path, or "latest" (None when there is none yet).

    Raises:
        InputError: the checkpoint does not exist or is incomplete.
    """
    if wanted == "latest":
        found = list_checkpoints(run_dir)
        return found[-1] if found else None
    path = Path(wanted)
    if not (path / "state.json").is_file():
        raise InputError(
            "resume_from_checkpoint", f"{wanted} is not a complete checkpoint", "give a checkpoint's folder or 'latest'"
        )
    return path


class _Files(TypedDict, total=False):
    """The part of ``state.json`` that lists the contents of the checkpoint's files."""

    files: Required[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], str]]
    shapes: dict[str, dict[str, list[Annotated[int, Field(ge=0)]]]]


def load_checkpoint(
    path: Path, names: Sequence[str], verify: bool = True
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read a checkpoint's tensors, by group and name, and its state. Split tensors are joined again.

    Args:
        path: the folder.
        names: groups to read.
        verify: check the files against their hashes.

    Raises:
        InputError: a file is missing or damaged; the message names the previous checkpoint, if there is one.
    """
    state = read_config(path / "state.json", dict[str, Any])
    if state.get("format") != FORMAT:
        raise InputError(
            str(path),
            "this checkpoint was written by another version of the program",
            "start again in another output folder",
        )
    with within(str(path / "state.json")):
        from_dict(_Files, state, unknown="ignore")
    try:
        for file, digest in state["files"].items():
            if verify and sha256_file(path / file) != digest:
                raise InputError(str(path / file), "does not match its hash in state.json")
        return {name: _read_group(path, name, state) for name in names}, state
    except (OSError, SafetensorError, InputError, KeyError) as error:
        earlier = [str(one) for one in list_checkpoints(path.parent) if one.name < path.name]
        advice = f"remove it to resume from the one before, {earlier[-1]}" if earlier else "start again"
        raise InputError(str(path), f"this checkpoint cannot be read ({reason(error)})", advice) from error


def _read_group(path: Path, group: str, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    split: dict[str, dict[int, torch.Tensor]] = {}
    for file in state["files"]:
        if re.fullmatch(re.escape(group) + r"(-\d{5}-of-\d{5})?\.safetensors", file):
            for key, value in load_file(path / file).items():
                name, mark, start = key.rpartition("@")
                if mark:
                    split.setdefault(name, {})[int(start)] = value
                else:
                    tensors[key] = value
    for name, parts in split.items():
        tensors[name] = torch.cat([parts[start] for start in sorted(parts)]).reshape(state["shapes"][group][name])
    return tensors
