"""Work for crews, with deaths and exceptions at known items."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Begin, Crew, Item, Pause, Result, Results

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


def slow_at_first() -> Callable[[str], str]:
    """A worker that takes longest for what comes last in the alphabet."""
    return _doubled


def _doubled(item: str) -> str:
    time.sleep(0.1 * "abcd".index(item))
    return 2 * item


def count_threads() -> Callable[[str], dict[str, int | str]]:
    """A worker that says how many threads libraries use, which it loads late."""
    return _count_threads


def _count_threads(library: str) -> dict[str, int | str]:
    import cv2

    torch = importlib.import_module(library)
    return {
        "torch": torch.get_num_threads(),
        "cv2": cv2.getNumThreads(),
        "variable": os.environ["OMP_NUM_THREADS"],
    }


@dataclass(frozen=True)
class DeadlyCrew:
    """A crew that does real work and whose workers die at some items.

    Args:
        crew: does the work.
        folder: notes deaths, so that there are no more than there shall be.
        deadly: part of the text of an item whose worker dies before it works on it.
        deaths: how often in all.
    """

    crew: Crew
    folder: Path
    deadly: str
    deaths: int = 1

    @property
    def name(self) -> str:
        return self.crew.name

    @property
    def size(self) -> int:
        return self.crew.size

    def work(self, begin: Begin[Item, Result], items: Iterable[Item | Pause]) -> Results[Item, Result]:
        return self.crew.work(partial(_begin_deadly, begin, self.folder, self.deadly, self.deaths), items)


def _begin_deadly(begin: Begin[Item, Result], folder: Path, deadly: str, deaths: int) -> Callable[[Item], Result]:
    call = begin()

    def work(item: Item) -> Result:
        mark = folder / "deaths.txt"
        before = mark.stat().st_size if mark.exists() else 0
        if deadly in str(item) and before < deaths:
            mark.write_text("+" * (before + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return call(item)

    return work
