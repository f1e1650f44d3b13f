"""One case in a forked process: what it prints, how it ends, what it touches, how long it takes and how much memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mask2iv.cli import main

LIMIT_SECONDS, LIMIT_BYTES = 60.0, 4 * 2**30
_HARD_BYTES = 16 * 2**30
"""Address space of a case, so that a defect cannot take the machine down."""
TRACEBACK = 70
_PROCESSES = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.spawn")
_NETWORK = ("socket.connect", "socket.bind")


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        status: exit status; negative for a signal.
        seconds, peak_bytes: time and peak memory.
        faults: what must not happen, in words; empty for a good end.
        stderr: end of what it printed there.
    """

    status: int
    seconds: float
    peak_bytes: int
    faults: list[str] = field(default_factory=list)
    stderr: str = ""


def run(argv: list[str], folder: Path, program: Callable[[list[str]], int] | None = None) -> Outcome:
    """Run a command line in `folder`, whose ``out`` it may write to; by default by the command itself."""
    before = _listing(folder)
    logs = folder.with_name(f"{folder.name}-logs")
    logs.mkdir()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _case(argv, folder, logs, program or main)  # does not return
    status, usage, hung = _wait(child, started)
    seconds = time.monotonic() - started
    peak = usage.ru_maxrss * 1024
    stdout, stderr = (
        path.read_text(errors="replace") if path.is_file() else "" for path in (logs / "stdout", logs / "stderr")
    )
    faults = (logs / "faults").read_text().splitlines() if (logs / "faults").is_file() else []
    if hung:
        faults.append(f"hang: more than {LIMIT_SECONDS:.0f} s")
    elif status == TRACEBACK:
        faults.append(f"traceback: {stderr.strip().splitlines()[-1][:300]}")
    elif status not in (0, 2, 3):
        faults.append(f"ended with {status}")
    if status == 2 and not (stdout + stderr).strip():
        faults.append("exit status 2 without a message")
    if peak > LIMIT_BYTES:
        faults.append(f"memory: {peak / 2**30:.1f} GiB")
    strange = sorted(name for name in _listing(folder) - before if name.split("/")[0] != "out")
    if strange:
        faults.append(f"written outside the output: {strange[0]}")
    return Outcome(status, seconds, peak, faults, stderr[-2000:])


def _listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _wait(child: int, started: float) -> tuple[int, Any, bool]:
    hung = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage, hung
        if time.monotonic() - started > LIMIT_SECONDS and not hung:
            hung = True
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def _case(argv: list[str], folder: Path, logs: Path, program: Callable[[list[str]], int]) -> None:
    status = TRACEBACK
    try:
        os.chdir(folder)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(logs / name, os.O_WRONLY | os.O_CREAT), descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (_HARD_BYTES, _HARD_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**31, 2**31))
        _watch(folder, logs / "faults")
        status = program(argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  every one of them is a finding
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _watch(folder: Path, log: Path) -> None:
    """Note processes that are started, connections, code unpickled, and files opened for writing elsewhere."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    allowed = (str(folder.resolve()), "/tmp", "/dev", "/proc")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _PROCESSES:
            os.write(descriptor, f"process started: {event} {arguments[:2]!r:.200}\n".encode())
        elif event in _NETWORK:
            os.write(descriptor, f"network: {event}\n".encode())
        elif event == "pickle.find_class":
            os.write(descriptor, f"unpickled: {arguments!r:.200}\n".encode())
        elif event == "open" and isinstance(arguments[0], str | bytes) and _writes(arguments):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if not path.startswith(allowed):
                os.write(descriptor, f"opened for writing: {path}\n".encode())

    sys.addaudithook(note)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
