"""One process on the CPU, as `mask2iv train` starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mask2iv.training.config import TrainingConfig
from mask2iv.training.loop import Run
from mask2iv.training.processes import start_processes

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run() -> Iterator[MakeRun]:
    """Makes a run of the given folder and settings."""
    with ExitStack() as stack:

        def make(folder: Path, config: TrainingConfig, resume: str | None = None, identity: str = "a") -> Run:
            accelerator = stack.enter_context(start_processes(config, "cpu", folder))
            return Run(folder, accelerator, resume, {"run": identity})

        yield make
