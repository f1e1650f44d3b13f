"""Work for crews, with deaths and exceptions at known items."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mask2iv.errors import InputError

DEADLY, WRONG, BROKEN = 7, 11, 13
"""Items whose worker dies, that cannot be used, and that meet a defect."""


def begin(folder: Path) -> Callable[[int], int]:
    """A worker; it notes each try of an item, and its own process, in ``folder``."""
    return partial(_square, folder)


def _square(folder: Path, item: int) -> int:
    with (folder / f"{item}.txt").open("a") as tries:
        tries.write(f"{os.getpid()}\n")
    if item == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == WRONG:
        raise InputError("item", "is wrong", "mend it")
    if item == BROKEN:
        raise ZeroDivisionError("a defect")
    return item * item


def begin_badly(folder: Path) -> Callable[[int], int]:
    """A worker that cannot begin."""
    raise InputError("weights", "are not there", "give others")


def die_once(folder: Path) -> Callable[[int], int]:
    """A worker that dies at the first try of each item."""
    return partial(_die_once, folder)


def _die_once(folder: Path, item: int) -> int:
    mark = folder / f"{item}.died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item
