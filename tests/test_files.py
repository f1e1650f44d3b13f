"""Locks hold between threads and processes, and end with their process."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mask2iv.files import alone, lock

HOLD = """
import sys
from mask2iv.files import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def held_elsewhere(path: Path) -> bool:
    with path.open("w") as file:
        return not lock(file, wait=False)


def test_a_lock_ends_with_its_process_even_when_killed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "row.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert held_elsewhere(path)
        holder.kill()
    assert not held_elsewhere(path)


def test_waiting_for_a_lock_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, order = tmp_path / "row.lock", []
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with alone(path):
            inside.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.2, leave.set).start()
    with alone(path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "row: waiting for another process that works on it\n"
    with alone(path):
        assert held_elsewhere(path), "in one thread too"
    assert not held_elsewhere(path)
