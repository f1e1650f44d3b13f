"""No file that a command reads makes it crash, hang, grow or run code; nothing that is disturbed loses or breaks work.

A few cases always; thousands with ``pytest -m slow tests/fuzz``, or by run.py and faults.py beside this file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mujoco", reason="the sim extra is not installed")
pytest.importorskip("pyarrow", reason="the data extra is not installed")
HERE = Path(__file__).parent
TESTS = HERE.parent
WORLD_MAKERS = ("conftest.py", "golden/checkpoints.py", "curation/sources/trees.py", "curation/sources/lerobot_sets.py")


@pytest.fixture(scope="session")
def world(keep: Callable[..., Path]) -> Path:
    """The valid inputs of all commands."""

    def make(folder: Path) -> None:
        made = subprocess.run([sys.executable, str(HERE / "world.py"), str(folder)], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr[-3000:]

    makers = (HERE / "world.py", HERE / "recordings.py", *(TESTS / name for name in WORLD_MAKERS))
    return keep("fuzz-world", make, *makers)


def report(program: str, world: Path, tmp_path: Path, *flags: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / program), "--world", str(world), "--report", str(tmp_path / "report.json")]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    print(done.stdout)
    assert (tmp_path / "report.json").is_file(), done.stderr[-3000:]
    found: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    return found


@pytest.mark.parametrize(("cases", "seed"), [(2, 0), pytest.param(500, 1, marks=pytest.mark.slow)])
def test_damaged_and_hostile_files_end_in_one_message(world: Path, tmp_path: Path, cases: int, seed: int) -> None:
    found = report("run.py", world, tmp_path, "--cases", str(cases), "--seed", str(seed))
    assert all(of["cases"] == cases for of in found.values())
    assert [finding for of in found.values() for finding in of["findings"]] == []


@pytest.mark.parametrize(
    ("kills", "disks", "targets"),
    [(1, 2, ("jobs", "simulate", "train-vae")), pytest.param(10, 4, (), marks=pytest.mark.slow)],
)
def test_disturbed_commands_end_with_the_same_bytes(
    world: Path, tmp_path: Path, kills: int, disks: int, targets: tuple[str, ...]
) -> None:
    found = report("faults.py", world, tmp_path, "--kills", str(kills), "--disks", str(disks), *targets)
    assert all(of["kills"] == kills for of in found.values())
    assert [finding for of in found.values() for finding in of["findings"]] == []


def test_the_sandbox_sees_what_it_looks_for(world: Path, tmp_path: Path) -> None:
    """A command that starts a process, unpickles, writes elsewhere and crashes is found out."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "import pickle, subprocess, sys\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\n"
        "import sandbox\n"
        "def bad(argv):\n"
        "    subprocess.run(['true'])\n"
        "    pickle.loads(pickle.dumps(Path('x')))\n"
        "    Path('elsewhere').touch()\n"
        "    raise KeyError('lost')\n"
        "sandbox.main = bad\n"
        "folder = Path(sys.argv[1])\n"
        "folder.mkdir()\n"
        "print('\\n'.join(sandbox.run([], folder).faults))\n"
    )
    said = subprocess.run([sys.executable, str(planted), str(tmp_path / "case")], capture_output=True, text=True).stdout
    for words in (
        "process started",
        "unpickled",
        "traceback: KeyError: 'lost'",
        "written outside the output: elsewhere",
    ):
        assert words in said
