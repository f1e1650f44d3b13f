"""Files are written whole or not at all; locks hold between threads and processes, and end with their process."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mask2iv import files
from mask2iv.errors import InputError
from mask2iv.files import alone, lock, parse_bytes

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
    assert files.read_json(path) == {"b": [1, None], "a": "é"}
    assert files.sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"a\.json"):
        files.write_json(path, {"x": float("nan")})
    assert files.read_json(path)["a"] == "é"
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: is not valid JSON"):
        files.read_json(path)
    with pytest.raises(InputError, match="absent"):
        files.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("15MiB", 15 * 2**20),
        ("15 mib", 15 * 2**20),
        ("20 MB", 20_000_000),
        ("1.5 GB", 1_500_000_000),
        ("64kb", 64_000),
        ("2G", 2_000_000_000),
        ("1024B", 1024),
        ("2048", 2048),
    ],
)
def test_sizes_are_read_in_both_kinds_of_units(text: str, size: int) -> None:
    assert parse_bytes(text, "x") == size


@pytest.mark.parametrize("text", ["", "-5MiB", "many", "15 MiBs", "0", "1023"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x: must be .*, found"):
        parse_bytes(text, "x", least=1024)
