"""Runs in this process, as `mask2iv train` starts them, and in real ones of their own."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.processes import start_processes
from mask2iv.training.engine.run import Run

MakeRun = Callable[..., Run]
Start = Callable[..., list[BaseProcess]]

COMMAND = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(240, exit=True)
os.environ.update({environment!r})
output = os.open({output!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(output, 1), os.dup2(output, 2)
from mask2iv.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.fixture
def make_run() -> Iterator[MakeRun]:
    """Makes a run of the given folder and settings."""
    with ExitStack() as stack:

        def make(folder: Path, config: TrainingConfig, resume: str | None = None, identity: str = "a") -> Run:
            accelerator = stack.enter_context(start_processes(config, "cpu", folder))
            return Run(folder, accelerator, resume, {"run": identity})

        yield make


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts the command line in one process, or in several that know of each other as launchers arrange it.

    They are forked from a server that has imported everything once, which saves each its start-up time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mask2iv.commands.models.train", "peft"])

    def begin(arguments: Sequence[str], output: Path, count: int = 1, **environment: str) -> list[BaseProcess]:
        if count > 1:
            with socket.socket() as found:
                found.bind(("127.0.0.1", 0))
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1])}
            environment |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        started = []
        for rank in range(count):
            own = environment | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {})
            code = COMMAND.format(environment=own, output=str(output), arguments=list(arguments))
            process = context.Process(target=exec, args=(code, {}))
            process.start()
            started.append(process)
        return started

    return begin
