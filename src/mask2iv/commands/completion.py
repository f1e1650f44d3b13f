"""``mask2iv completion SHELL``: the script by which a shell completes commands, flags and choices."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from typing import Any

import tyro

SHELLS = ("bash", "zsh")
_SPEC = "COMPLETION_SPEC = "


def completion_script(commands: Mapping[str, tuple[type, str]], shell: str) -> str:
    """The script for a shell of :data:`SHELLS`.

    Args:
        commands: class and summary of each command.
        shell: its name.
    """
    classes: dict[str, Callable[..., Any]] = {name: declared for name, (declared, _) in commands.items()}
    written = io.StringIO()
    # tyro writes the script and ends the program.
    with redirect_stdout(written), suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            classes,
            prog="mask2iv",
            args=["--tyro-print-completion", shell],
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )
    lines = written.getvalue().splitlines()
    [place] = [index for index, line in enumerate(lines) if line.startswith(_SPEC)]
    spec = ast.literal_eval(lines[place].removeprefix(_SPEC))
    for name, command in spec["subcommands"].items():
        command["description"] = commands[name][1]
        for option in command["options"]:
            _shorten(option)
    lines[place] = f"{_SPEC}{spec!r}"
    return "\n".join(lines)


def _shorten(option: dict[str, Any]) -> None:
    """One line for each flag, which is what shells show; and no "None", which nobody types."""
    option["description"] = " ".join(option["description"].split()).partition(". ")[0].rstrip(".")
    if "choices" in option:
        option["choices"] = [choice for choice in option["choices"] if choice != "None"]
