"""The front door: help, versions, usage errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

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
    assert ("--out" in shown) == (name not in ("bench", "doctor", "studio")), "these write no data"


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
        (["frobnicate"], "frobnicate: there is no such command; mask2iv --help lists them"),
        (["genrate"], "genrate: there is no such command; did you mean generate?"),
        (["--frobnicate"], "--frobnicate"),
        (["generate", "--xyz"], "--xyz: there is no such flag; mask2iv generate --help lists all flags"),
        (["generate", "--imge", "a.png"], "--imge: there is no such flag; did you mean --image?"),
        (["generate", "--out", "b", "--imge", "a.png"], "--imge: there is no such flag; did you mean --image?"),
        (["generate", "--out", "b", "a.png"], "'a.png': it belongs to no flag"),
        (["generate"], "--out: must be given"),
        (["train", "video"], "--data, --out: must be given"),
        (["generate", "--out"], "--out: a value is missing"),
        (["generate", "--out", "b", "--steps", "many"], "--steps: expected an integer, found 'many'"),
        (["generate", "--out", "b", "--seed", "1.5"], "--seed: expected an integer, found '1.5'"),
        (["generate", "--out", "b", "--guidance-scale", "x"], "--guidance-scale: expected a number, found 'x'"),
        (["generate", "--out", "b", "--actor", "dog"], "--actor: must be one of hand, robot, found 'dog'"),
    ],
)
def test_usage_errors(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mask2iv: error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_nothing_asked_for_is_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(0)
    assert capsys.readouterr().out.startswith("usage: mask2iv")


COMPLETE = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p mask2iv | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mask2iv tra", {"train", "trajectory"}),
        ("mask2iv generate --object", {"--object-mask", "--object-box", "--object-path", "--object-point"}),
        ("mask2iv generate --actor ''", {"hand", "robot"}),
    ],
)
def test_bash_completes_commands_flags_and_choices(
    words: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    program = COMPLETE.format(script=tmp_path / "script", words=words)
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_completion_is_for_shells_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: mask2iv completion {bash,zsh}")
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef mask2iv")
    assert main(["completion", "csh"]) == 2
    assert "SHELL: must be one of bash, zsh, found 'csh'" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error() -> None:
    # More than a pipe holds, so that writing fails however early the reader leaves.
    program = "import sys; from mask2iv import cli; cli._run = lambda _: print('x' * 10**6); sys.exit(cli.main([]))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


MISSING = {
    "generate": ["--image", "absent", "--object-mask", "absent", "--prompt", "a", "--out", "out"],
    "trajectory": ["--image", "absent", "--object-mask", "absent", "--prompt", "a", "--out", "out"],
    "render": ["--image", "absent", "--trajectory", "absent", "--out", "out"],
    "plan": ["absent", "--out", "out"],
    "edit": ["absent", "--script", "absent", "--out", "out"],
    "replay": ["absent.mp4", "--out", "out"],
    "samples": ["absent", "--out", "out"],
    "train": ["vae", "--data", "absent", "--out", "out"],
    "clips": ["absent", "--out", "out"],
    "curate": ["absent", "--out", "out"],
    "doctor": ["absent"],
    "join": ["absent", "absent", "--out", "out"],
    "studio": ["--model", "absent"],
    "simulate": ["--out", "absent/file"],
    "bench": ["--model", "absent"],
    "evaluate": ["--data", "absent", "--out", "out"],
    "execute": ["--model", "absent", "--out", "out"],
    "compare": ["absent", "absent"],
    "reproduce": ["table-systems", "--data", "absent", "--out", "out"],
    "import": ["absent", "--stage", "video", "--out", "out"],
    "export": ["frames", "absent", "--out", "out"],
    "export-official": ["absent", "--stage", "video", "--out", "out.ckpt"],
    "bundle": ["--have", "torch", "--constraint", "absent", "--out", "out"],
    "pack": ["absent", "--out", "out"],
    "unpack": ["absent", "--out", "out"],
}
"""Flags that name a file or folder that is not there."""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_missing_files_do_not_wait_for_the_networks(name: str, tmp_path: Path) -> None:
    """What takes seconds to import is imported when it is needed."""
    program = (
        "import sys; from mask2iv.cli import main\n"
        "status = 0\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    (tmp_path / "absent").write_text("") if name == "simulate" else None
    for arguments, status in ((["--help"], 0), (MISSING[name], 2)):
        done = subprocess.run(
            [sys.executable, "-c", program, name, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == status, done.stderr
    assert done.stderr.startswith("mask2iv: error: ")
    assert "absent" in done.stderr
    assert not (tmp_path / "out").exists()
