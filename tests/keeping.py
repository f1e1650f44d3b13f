"""Keeps what takes long to make between test runs, and shares it among the workers of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

import mask2iv
from mask2iv.manifest import versions

_PACKAGE = Path(mask2iv.__file__).parent


@cache
def source_hash() -> str:
    """Changes with the package's code, its other files' sizes, and the versions of the libraries."""
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for path in sorted(path for path in _PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(_PACKAGE)} {path.stat().st_size} ".encode())
        if path.suffix == ".py":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def keep(config: pytest.Config, name: str, copy: Path, make: Callable[[Path], None], *makers: Path) -> Path:
    """A copy of the folder ``name``, which is made where none is kept for the present source.

    Args:
        config: of the run; its cache keeps the folder.
        name: of the folder.
        copy: where the copy goes; tests may write into it.
        make: fills an empty folder, and is called once for each state of the source.
        makers: files of the tests that decide what `make` does.

    Returns:
        `copy`.
    """
    digest = hashlib.sha256(source_hash().encode())
    for path in makers:
        digest.update(path.read_bytes())
    place = config.cache.mkdir(f"kept-{name}")
    kept = place / digest.hexdigest()[:16]
    with FileLock(place / "lock"):
        if not kept.is_dir():
            for old in place.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            unfinished = place / "unfinished"
            unfinished.mkdir()
            make(unfinished)
            os.replace(unfinished, kept)
        shutil.copytree(kept, copy, symlinks=True)
    return copy
