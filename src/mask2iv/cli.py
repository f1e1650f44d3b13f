"""The front door: parses the command line and hands over to the commands."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
import os
import re
import select
import signal
import sys
import threading
import typing
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import tyro
from tyro._errors import (  # not promised to stay: pyproject.toml bounds tyro's version
    BadValue,
    InstantiationFailure,
    InvalidChoice,
    MissingArgs,
    ParseErrorEvent,
    UnrecognizedArgs,
    on_parse_error,
)

from mask2iv import __version__
from mask2iv.errors import InputError, InputWarning
from mask2iv.files import MAKE_ROOM, disk_fault

# Class by its module in `commands`. Named, not imported: a module is loaded when its command is called, so that --help
# is fast.
COMMANDS = {
    "generate": ("generating.generate:Generate", "make a video from picture, object mask and instruction"),
    "trajectory": ("generating.generate:PredictTrajectory", "stage 1 alone: predict a mask trajectory"),
    "render": ("generating.generate:Render", "stage 2 alone: render a video along a mask trajectory"),
    "plan": ("generating.plan:RunPlan", "make several interactions one after the other, as one video"),
    "edit": ("generating.edit:EditTrajectory", "change a mask trajectory by a script of edits"),
    "replay": ("generating.replay:Replay", "make a result again from its own record, or say what differs"),
    "samples": ("generating.samples:Samples", "list the shipped samples, or copy one"),
    "studio": ("generating.studio:OpenStudio", "the whole method by hand, in a browser"),
    "train": ("models.train:Train", "train one component of a model folder"),
    "clips": ("datasets.clips:Clips", "make a clip set from a folder of your own videos, masks and captions"),
    "curate": ("datasets.curate:Curate", "make a clip set of raw recordings: HOI4D, BridgeData V2, your videos"),
    "doctor": ("datasets.doctor:Doctor", "say what a data set holds, and what of it cannot be used and why"),
    "join": ("datasets.join:Join", "make one clip set of several"),
    "simulate": ("datasets.simulate:Simulate", "make a set of simulated interactions with exact masks"),
    "bench": ("measuring.bench:Bench", "time the parts of generation"),
    "evaluate": ("measuring.evaluate:Evaluate", "measure a model, or any videos, on held-out clips"),
    "execute": ("measuring.execute:Execute", "execute trajectories by a robot arm in physics: task success"),
    "compare": ("measuring.compare:Compare", "put several evaluations into one table, with paired differences"),
    "reproduce": ("measuring.reproduce:Reproduce", "make the paper's tables: train, evaluate, compare"),
    "import": ("models.official:Import", "make a model folder from an original checkpoint"),
    "export": ("datasets.export:Export", "write clips for other programs: LeRobot, tar shards, frames, masks"),
    "export-official": ("models.official:ExportOfficial", "write a stage in the original checkpoints' layout"),
    "bundle": ("models.bundle:Bundle", "collect what a machine without network needs to train"),
    "pack": ("models.bundle:Pack", "save a run's resumable state in pieces below a chosen size"),
    "unpack": ("models.bundle:Unpack", "put the pieces of a run together again"),
}

_ALONE = ("-h", "--help", "--version")
"""Flags without a command."""
_COMPLETION = "completion"
"""The one command that knows the others: it stands here, not among them."""
# Python's names of what flags call something shorter.
_SHORTER = {"num_frames": "frames", "num_inference_steps": "steps"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Exit status: 0 done, 2 bad input or usage (with a message on standard error), 130 interrupted, 141 standard output
    was closed by its reader, 143 terminated; or the status that a command returns (``generate --jobs``: 3 when some
    jobs failed).
    """
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if _is_read():
            raise
        # The interpreter flushes its buffers at exit, which needs an open file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _is_read() -> bool:
    """Whether somebody reads standard output: not ``mask2iv --help | head -1``."""
    asked = select.poll()
    asked.register(sys.stdout, 0)
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _run(given: list[str]) -> int:
    _share_cores()
    declared: type | None = None
    try:
        name = _command_of(given)
        if name == _COMPLETION:
            print(_completion(given[1:]))
            return 0
        declared = command_class(name)
        with on_parse_error(partial(_refuse, declared)):
            command: Any = tyro.cli(
                declared,
                prog=f"mask2iv {name}",
                args=given[1:],
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
        with _warnings_on_one_line(declared), _terminable():
            status: int | None = command.run()
    except InputError as error:
        print(f"mask2iv: error: {worded(error, declared)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        print("mask2iv: interrupted", file=sys.stderr)
        return 143 if isinstance(interruption, _Terminated) else 130
    except Exception as error:
        fault = disk_fault(error)
        if fault is None:
            raise
        print(f"mask2iv: error: {fault}; {MAKE_ROOM}", file=sys.stderr)
        return 2
    return status or 0


def command_class(name: str) -> type:
    """The class of a command."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found: type = getattr(importlib.import_module(f"mask2iv.commands.{module}"), attribute)
    return found


def _completion(given: list[str]) -> str:
    """What ``mask2iv completion`` prints: the script, or after ``--help`` how to use it.

    Raises:
        InputError: no shell that is known.
    """
    from mask2iv.commands.completion import SHELLS, completion_script

    if given in (["-h"], ["--help"]):
        what = "Print a script that completes commands, flags and choices: source <(mask2iv completion bash)"
        return f"usage: mask2iv completion {{{','.join(SHELLS)}}}\n\n{what}"
    if len(given) != 1 or given[0] not in SHELLS:
        raise InputError("SHELL", f"must be one of {', '.join(SHELLS)}, found {' '.join(given)!r}")
    return completion_script({name: (command_class(name), COMMANDS[name][1]) for name in COMMANDS}, given[0])


def _command_of(given: list[str]) -> str:
    """The requested command. Ends the program after ``--help``, ``--version``, or nothing at all.

    Raises:
        InputError: there is no such command.
    """
    parser = _parser()
    if not given:
        parser.print_help()
        parser.exit()
    name = given[0]
    if name in COMMANDS or name == _COMPLETION:
        return name
    if name in _ALONE:
        parser.parse_args([name])
    what, known = ("flag", _ALONE) if name.startswith("-") else ("command", COMMANDS)
    raise InputError(name, f"there is no such {what}", _meant(name, known) or "mask2iv --help lists them")


def _refuse(command: type, event: ParseErrorEvent) -> None:
    """Rewords tyro's usage errors like all other errors. tyro prints an event that is not known here in its own words.

    Raises:
        InputError: in its place.
    """
    if isinstance(event, UnrecognizedArgs | MissingArgs):
        tokens = event.tokens if isinstance(event, UnrecognizedArgs) else event.unrecognized_tokens
        flags = [token for token in tokens if token.startswith("-")]
        help_lists = f"{event.prog} --help lists all flags"
        if flags:
            flag = flags[0].partition("=")[0].replace("_", "-")
            known = [f"--{name.replace('_', '-')}" for name in flags_of(command)]
            raise InputError(flags[0], "there is no such flag", _meant(flag, known) or help_lists)
        if tokens:
            raise InputError(repr(tokens[0]), "it belongs to no flag", help_lists)
        assert isinstance(event, MissingArgs)
        names = [one.arg.display_name() for one in event.missing_arguments]
        raise InputError(", ".join(names), "must be given", help_lists)
    if isinstance(event, InvalidChoice):
        choices = ", ".join(sorted(set(event.choices) - {"None"}))
        raise InputError(event.argument.display_name(), f"must be one of {choices}, found {event.value!r}")
    if isinstance(event, BadValue) and event.offending_value is None:
        raise InputError(event.argument.display_name(), "a value is missing", f"{event.prog} --help says which")
    if isinstance(event, InstantiationFailure) and event.argument is None:
        # A command's own checks raised it; tyro handles it as a wrong value, or wraps it in an error of its own.
        handled = sys.exception()
        for error in (handled, handled and handled.__context__):
            if isinstance(error, InputError):
                raise error
    if isinstance(event, InstantiationFailure) and event.argument is not None:
        found = re.search(r"(?:from \[|base 10: |to float: )'(.*?)'", event.message)
        kinds = {"an integer": r"\bint\b", "a number": r"\bfloat\b"}
        kind = next((kind for kind, word in kinds.items() if re.search(word, event.message, re.IGNORECASE)), "")
        problem = f"expected {kind}, found {found[1]!r}" if found and kind else " ".join(event.message.split())
        raise InputError(event.argument.display_name(), problem)


def _meant(word: str, known: Iterable[str]) -> str:
    """A question for the known word that is most like this one; "" if none is like it."""
    bare = {one.lstrip("-"): one for one in known}
    near = difflib.get_close_matches(word.lstrip("-"), bare, n=1)
    return f"did you mean {bare[near[0]]}?" if near else ""


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as an interruption from the keyboard does, so that nothing half-written stays."""


@contextmanager
def _terminable() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Terminated

    # Only the main thread may set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _share_cores() -> None:
    """Let OpenMP's threads sleep at barriers. Must run before torch is imported.

    By default they spin there, and beside one other busy process each of thousands of tiny operations waits for a
    thread that is not scheduled: ten times slower. A quiet machine loses a tenth to a third by sleeping
    (docs/performance.md).
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


@contextmanager
def _warnings_on_one_line(command: type) -> Iterator[None]:
    """Prints warnings about input like errors about input; all others as Python does."""
    with warnings.catch_warnings():
        # Each text once.
        warnings.simplefilter("default", InputWarning)
        show = warnings.showwarning

        def say(message: Warning | str, *where: Any, **options: Any) -> None:
            if isinstance(message, InputWarning):
                print(f"mask2iv: warning: {worded(message, command)}", file=sys.stderr)
            else:
                show(message, *where, **options)

        warnings.showwarning = say  # type: ignore[assignment]
        yield


def worded(error: InputError | InputWarning, command: type | None) -> str:
    """An error as the command line words it: the fields in it that are flags of the command are named as such."""
    flags = set() if command is None else flags_of(command)

    def flag(found: re.Match[str]) -> str:
        name = found["name"] if found["name"] in flags else _SHORTER.get(found["name"], "")
        return f"--{name.replace('_', '-')}" if name in flags else found[0]

    # A path may begin like a flag: "out/metrics.json".
    field = re.sub(r"^(?P<name>\w+)(?=$|[ :(])", flag, error.field)
    problem, remedy = (re.sub(r"`(?P<name>\w+)`", flag, text) for text in (error.problem, error.remedy))
    return str(type(error)(field, problem, remedy))


def flags_of(command: type) -> set[str]:
    """Names of a command's fields that are flags; groups of flags are entered."""
    found: set[str] = set()
    hints = typing.get_type_hints(command, include_extras=True)
    for field in dataclasses.fields(command):
        hint, *marks = (
            typing.get_args(hints[field.name])
            if typing.get_origin(hints[field.name]) is typing.Annotated
            else (hints[field.name],)
        )
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= flags_of(hint)
        elif not any(mark is tyro.conf.Positional for mark in marks):
            found.add(field.name)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mask2iv",
        description="Interaction videos from one picture, through mask trajectories.",
        epilog="mask2iv COMMAND --help explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"mask2iv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    commands.add_parser(_COMPLETION, help="print a script that completes commands and flags in a shell", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
