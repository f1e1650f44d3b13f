"""Runs commands of mask2iv, each in its own process and with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mask2iv.errors import InputError

RunCommand = Callable[[Sequence[str], float, Path], None]
"""Runs a command of mask2iv with a time limit in seconds and a log file. Raises InputError if it fails."""


def run_process(arguments: Sequence[str], seconds: float, log: Path) -> None:
    """Run a command of mask2iv in its own process, so that neither its faults nor its memory outlive it.

    Raises:
        InputError: it failed, with the last line of its output, or exceeded its time.
    """
    with log.open("a") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "mask2iv.cli", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise InputError(arguments[0], f"not done after {seconds:.0f} s", f"see {log.name}") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # with its workers
                child.wait()
    if status:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise InputError(arguments[0], f"exit status {status}: {lines[-1][-500:]}")
