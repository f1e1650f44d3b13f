"""Commands of mask2iv, each in a process of its own and within its time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mask2iv.errors import InputError

Run = Callable[[Sequence[str], float, Path], None]
"""Runs a command of mask2iv for so many seconds at most, its output into a file. Raises InputError where it fails."""


def run_process(arguments: Sequence[str], seconds: float, log: Path) -> None:
    """Run a command of mask2iv in a process of its own: nothing that it breaks, or holds in memory, is left.

    Raises:
        InputError: it failed, with its last line, or was not done in time.
    """
    with log.open("a") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "mask2iv.cli", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with _ended(child):
            try:
                status = child.wait(seconds)
            except subprocess.TimeoutExpired:
                raise InputError(f"{arguments[0]}: not done after {seconds:.0f} s; see {log.name}") from None
    if status:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise InputError(f"{arguments[0]}: exit status {status}: {lines[-1][-500:]}")


@contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Afterwards the process and its workers are gone."""
    try:
        yield
    finally:
        if child.poll() is None:
            os.killpg(child.pid, 9)
            child.wait()
