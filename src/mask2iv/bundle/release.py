"""The model that a session produces: complete at any time, improved part by part, small enough to copy back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mask2iv.bundle.pieces import MANIFEST, Packed, pack
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory
from mask2iv.pipelines.folder import read_index, write_index

PIECE_BYTES = 15 * 2**20
"""Size of a piece; a file to copy back may have 16 MiB."""
ABOUT = "session"
"""Subfolder of the model folder for logs, figures and pictures."""
_DIFFUSED = ("trajectory_unet", "trajectory_resampler")
_PLANNED = ("painter", "planner")
_LARGEST = torch.finfo(torch.float16).max


def copy_components(source: Path, model: Path, components: Sequence[str]) -> None:
    """Copy components from one model folder into another, each atomically.

    Raises:
        InputError: ``source`` lacks one of them.
    """
    _, given = read_index(source)
    pipeline, known = read_index(model)
    missing = [name for name in components if name not in given]
    if missing:
        raise InputError(str(source), f"holds no {missing[0]}")
    for name in components:
        with atomic_directory(model / name, overwrite=True) as folder:
            shutil.copytree(source / name, folder, dirs_exist_ok=True)
    write_index(model, pipeline, {**known, **{name: given[name] for name in components}})


def drop_diffusion_stage(model: Path) -> None:
    """Remove stage 1 by diffusion from a model that predicts by plans, which does not use it."""
    pipeline, known = read_index(model)
    if all(name in known for name in _PLANNED):
        write_index(model, pipeline, {name: kind for name, kind in known.items() if name not in _DIFFUSED})
        for name in _DIFFUSED:
            shutil.rmtree(model / name, ignore_errors=True)


def to_half_precision(model: Path) -> None:
    """Store the float32 weights of a model folder in float16, except tensors with values beyond its range."""
    for path in sorted(model.glob("*/*.safetensors")):
        tensors = load_file(path)
        smaller = {
            name: value.half() if value.dtype == torch.float32 and bool((value.abs() <= _LARGEST).all()) else value
            for name, value in tensors.items()
        }
        save_file(smaller, path, metadata={"format": "pt"})


def pack_release(model: Path, about: Path, out: Path, max_files: int) -> Packed:
    """Write a model folder, with its logs, figures and pictures, as pieces into the folder ``out``.

    The copied weights are in float16; ``model`` itself is unchanged. Existing pieces are replaced once the new ones are
    complete.

    Args:
        model: the model folder.
        about: folder of logs, figures and pictures; may be missing.
        out: folder of the pieces.
        max_files: largest number of files in ``out``, including :data:`mask2iv.bundle.pieces.MANIFEST`.

    Raises:
        InputError: too many files, or no space.
    """
    with tempfile.TemporaryDirectory(dir=model.parent) as temporary:
        copy = Path(temporary) / "model"
        shutil.copytree(model, copy, ignore=shutil.ignore_patterns("training"))
        drop_diffusion_stage(copy)
        to_half_precision(copy)
        if about.is_dir():
            shutil.copytree(about, copy / ABOUT, dirs_exist_ok=True)
        made = Path(temporary) / "pieces"
        packed = pack(copy, made, PIECE_BYTES)
        if packed.pieces + 1 > max_files:
            size = PIECE_BYTES // 2**20
            problem = (
                f"takes {packed.pieces} pieces of {size} MiB and {MANIFEST}, but {max_files} files may be copied back"
            )
            raise InputError("model", problem)
        with atomic_directory(out, overwrite=True) as folder:
            shutil.copytree(made, folder, dirs_exist_ok=True)
    return packed
