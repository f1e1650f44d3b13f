"""The model that a session leaves behind: complete at any time, improved part by part, small enough to bring back."""

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
from mask2iv.pipelines.components import read_index, write_index

PIECE_BYTES = 15 * 2**20
"""Of a piece; a file to bring back may have 16 MiB."""
ABOUT = "session"
"""Folder of the model folder with logs, figures and pictures."""
_DIFFUSED = ("trajectory_unet", "trajectory_resampler")
_PLANNED = ("painter", "planner")
_LARGEST = torch.finfo(torch.float16).max


def take(source: Path, model: Path, components: Sequence[str]) -> None:
    """Put these components of one model folder into another, each as a whole.

    Raises:
        InputError: ``source`` lacks one.
    """
    _, given = read_index(source)
    pipeline, known = read_index(model)
    missing = [name for name in components if name not in given]
    if missing:
        raise InputError(f"{source} holds no {missing[0]}")
    for name in components:
        with atomic_directory(model / name, overwrite=True) as folder:
            shutil.copytree(source / name, folder, dirs_exist_ok=True)
    write_index(model, pipeline, {**known, **{name: given[name] for name in components}})


def spare_diffusion(model: Path) -> None:
    """Leave the diffusion's stage 1 out of a model that predicts by plans: it is not asked any more."""
    pipeline, known = read_index(model)
    if all(name in known for name in _PLANNED):
        write_index(model, pipeline, {name: kind for name, kind in known.items() if name not in _DIFFUSED})
        for name in _DIFFUSED:
            shutil.rmtree(model / name, ignore_errors=True)


def halve(model: Path) -> None:
    """Store the weights of a model folder in float16, where that holds their numbers."""
    for path in sorted(model.glob("*/*.safetensors")):
        tensors = load_file(path)
        smaller = {
            name: value.half() if value.dtype == torch.float32 and bool((value.abs() <= _LARGEST).all()) else value
            for name, value in tensors.items()
        }
        save_file(smaller, path, metadata={"format": "pt"})


def pack_release(model: Path, about: Path, out: Path, most: int) -> Packed:
    """Write a model folder with what is told about it (logs, figures, pictures) as pieces into the folder ``out``.

    The weights are halved on the way, ``model`` stays as it is. Earlier pieces are replaced once the new ones stand.

    Args:
        model: the model folder.
        about: folder of logs, figures and pictures; may be missing.
        out: folder of the pieces.
        most: files that there may be in ``out``, with :data:`mask2iv.bundle.pieces.MANIFEST`.

    Raises:
        InputError: more files than that, or no space.
    """
    with tempfile.TemporaryDirectory(dir=model.parent) as temporary:
        copy = Path(temporary) / "model"
        shutil.copytree(model, copy, ignore=shutil.ignore_patterns("training"))
        spare_diffusion(copy)
        halve(copy)
        if about.is_dir():
            shutil.copytree(about, copy / ABOUT, dirs_exist_ok=True)
        made = Path(temporary) / "pieces"
        packed = pack(copy, made, PIECE_BYTES)
        if packed.pieces + 1 > most:
            raise InputError(
                f"the model takes {packed.pieces} pieces of {PIECE_BYTES // 2**20} MiB and {MANIFEST}, but "
                f"{most} files may be brought back"
            )
        with atomic_directory(out, overwrite=True) as folder:
            shutil.copytree(made, folder, dirs_exist_ok=True)
    return packed
