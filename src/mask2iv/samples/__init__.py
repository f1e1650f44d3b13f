"""The samples that ship with the package: a picture, masks and a prompt each."""

from __future__ import annotations

import shutil
from pathlib import Path

from mask2iv.errors import InputError
from mask2iv.files import atomic_directory

_FOLDER = Path(__file__).parent


def sample_names() -> list[str]:
    """Names of the samples."""
    return sorted(folder.name for folder in _FOLDER.iterdir() if (folder / "image.png").is_file())


def sample_folder(name: str, field: str = "sample") -> Path:
    """Folder of a sample: ``image.png``, ``object_mask.png``, ``target_mask.png``, ``prompt.txt``, and
    ``actor_mask.png`` where the picture shows the actor already.

    Raises:
        InputError: no such sample; names ``field``.
    """
    if name not in sample_names():
        raise InputError(field, f"there is no sample {name!r}", f"there are {', '.join(sample_names())}")
    return _FOLDER / name


def sample_prompt(name: str, field: str = "sample") -> str:
    """The prompt of a sample. Raises InputError as :func:`sample_folder`."""
    return (sample_folder(name, field) / "prompt.txt").read_text(encoding="utf-8").strip()


def copy_sample(name: str, out: Path) -> None:
    """Copies the files of a sample into a new folder.

    Raises:
        InputError: no such sample, or a folder that is filled or cannot be written.
    """
    source = sample_folder(name)
    with atomic_directory(out) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
