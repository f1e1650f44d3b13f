"""The front door: help, versions, usage errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mask2iv import __version__
from mask2iv.cli import COMMANDS, main


def left_with(status: int, *arguments: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == status


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(0, "--help")
    shown = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert name in shown
        assert " ".join(summary.split()) in " ".join(shown.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    left_with(0, name, "--help")
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: mask2iv {name}")
    assert ("--out" in shown) == (name != "bench"), "bench writes no files"


def test_help_of_generate_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(0, "generate", "--help")
    shown = capsys.readouterr().out
    flags = (
        "image object-mask object-box object-point prompt actor target-mask actor-mask size guidance-scale "
        "target-guidance-scale model steps sampler seed samples device threads out overwrite jobs batch-size"
    )
    for flag in flags.split():
        assert f"--{flag} " in shown
    assert "{None" not in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(0, "--version")
    assert capsys.readouterr().out == f"mask2iv {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "frobnicate"),
        (["generate", "--frobnicate"], "--frobnicate"),
        (["generate"], "--out"),
        (["generate", "--image", "a.png", "--out", "b", "--steps", "many"], "--steps"),
        (["generate", "--image", "a.png", "--out", "b", "--actor", "dog"], "--actor"),
    ],
)
def test_usage_errors(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    left_with(2, *arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err


def test_help_does_not_wait_for_the_networks() -> None:
    """What takes seconds to import is imported when a command runs."""
    program = (
        "import sys; from mask2iv.cli import main\n"
        "for arguments in (['--help'], ['generate', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'av', 'mujoco'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
