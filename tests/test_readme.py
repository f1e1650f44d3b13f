"""The README's commands: they are whole, name files that are there, and the cheap ones run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from mask2iv.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
LINES = [
    shlex.split(line, comments=True)
    for block in BLOCKS
    for line in block.splitlines()
    if shlex.split(line, comments=True)
]
_INPUTS = ("--image", "--object-mask", "--target-mask")


def test_every_fenced_command_is_a_bash_block() -> None:
    fenced = re.findall(r"```(\w*)\n", README)
    assert set(fenced) - {""} <= {"bash", "python"}
    plain = re.findall(r"```\n(.*?)```", re.sub(r"```(bash|python)\n.*?```", "", README, flags=re.DOTALL), re.DOTALL)
    assert not [block for block in plain if "mask2iv " in block or "make " in block]


@pytest.mark.parametrize("words", LINES, ids=[" ".join(words)[:60] for words in LINES])
def test_what_the_commands_name_is_there(words: list[str]) -> None:
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case [".", path]:
            assert path == ".venv/bin/activate"
        case ["cd", path]:
            assert (ROOT / path).is_dir()
        case ["mask2iv", command, *flags]:
            assert command in COMMANDS
            sample = ROOT / "src/mask2iv/samples/cup"
            named = [value for flag, value in pairwise(flags) if flag in _INPUTS]
            assert named
            assert all((sample / path).is_file() for path in named)
        case _:
            pytest.fail(f"a command that this test does not know: {' '.join(words)}")


def test_the_commands_run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny model, whose vocabulary has fewer words."""
    shutil.copytree(ROOT / "src/mask2iv/samples/cup", tmp_path / "cup")
    monkeypatch.chdir(tmp_path / "cup")
    runs = [words for words in LINES if words[0] == "mask2iv"]
    assert len(runs) == 4
    for words in runs:
        given = [word.replace("/tmp/", f"{tmp_path}/") for word in words[1:]]
        assert main([*given, "--model", str(tiny_model), "--threads", "1"]) == 0
    assert (tmp_path / "result" / "video.mp4").is_file()
    assert (tmp_path / "four" / "sample-003" / "video.mp4").is_file()
    assert (tmp_path / "rendered" / "video.mp4").is_file()


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    program = program.replace("src/mask2iv", str(ROOT / "src/mask2iv"))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(16, 160, 256)\n"
    assert (tmp_path / "video.mp4").is_file()
