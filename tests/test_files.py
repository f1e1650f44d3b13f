"""Files are written whole or not at all; locks hold between threads and processes, and end with their process."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mask2iv import files, parsing
from mask2iv.errors import InputError
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


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(target) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert target.read_text() == "old"
    with files.atomic_write(target) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_directory_leaves_the_old_folder_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.atomic_directory(target) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(InputError, match="not empty"), files.atomic_directory(target):
        pass
    with pytest.raises(RuntimeError), files.atomic_directory(target, overwrite=True) as folder:
        raise RuntimeError
    assert (target / "a").read_text() == "1"
    with files.atomic_directory(target, overwrite=True) as folder:
        (folder / "b").write_text("2")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_places_that_cannot_be_written_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "a.png", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            files.write_json(path, {})
    with pytest.raises(InputError, match="cannot be written"), files.atomic_directory(tmp_path / "file"):
        pass


def test_json_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, None], "a": "é"})
    assert parsing.read_json(path) == {"b": [1, None], "a": "é"}
    assert files.sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"a\.json"):
        files.write_json(path, {"x": float("nan")})
    assert parsing.read_json(path)["a"] == "é"
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: is not valid JSON"):
        parsing.read_json(path)
    with pytest.raises(InputError, match="absent"):
        parsing.read_json(tmp_path / "absent.json")


def test_what_a_killed_writer_left_is_removed_but_not_what_is_being_written(tmp_path: Path) -> None:
    leftover = tmp_path / ".out.0123456789ab"
    leftover.mkdir()
    (leftover / "half.png").touch()
    other = tmp_path / ".other.0123456789ab"
    other.mkdir()
    with files.atomic_directory(tmp_path / "out") as first:
        assert not leftover.exists()
        assert other.exists()
        with files.atomic_directory(tmp_path / "out"):
            assert first.exists(), "a second writer must not remove the first one's folder"
    assert other.exists()


def test_a_folder_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    again = files.claimed(tmp_path)
    with files.claimed(tmp_path), pytest.raises(InputError, match=r"^out: another process writes"), again:
        pass
    with files.claimed(tmp_path):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_a_full_disk_is_known_however_it_is_told(error: Exception) -> None:
    message = r"^out: there cannot be written: No space left on device; make room"
    with pytest.raises(InputError, match=message), files.disk_faults("there"):
        raise error
    with pytest.raises(ZeroDivisionError), files.disk_faults("there"):
        raise ZeroDivisionError


def test_json_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    texts = ['{"a": NaN}', '{"a": 1e999}', '"\\ud800"', "[" * 1000 + "]" * 1000, "", "{"]
    for text in texts:
        path.write_text(text)
        with pytest.raises(InputError, match=f"^{path}: is not valid JSON"):
            parsing.read_json(path)
    path.write_bytes(b'"\xff"')
    with pytest.raises(InputError, match="save it as UTF-8"):
        parsing.read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is not a file"):
        parsing.read_json(path)


def test_a_small_archive_that_expands_to_gigabytes_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", labels=np.zeros(2**25, dtype=np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 2**17
    with pytest.raises(InputError, match=r"expands to 33,\d+,\d+ bytes; at most 1,000 are read"):
        parsing.read_arrays(tmp_path / "a.npz", max_bytes=1000)
    assert parsing.read_arrays(tmp_path / "a.npz")["labels"].shape == (2**25,)
