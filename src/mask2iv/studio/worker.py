"""One thread that has the model, and the jobs that wait for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mask2iv.errors import InputError

if TYPE_CHECKING:
    from mask2iv.generation.loaded import LoadedModel

MOST_WAITING = 8
"""Jobs that wait for the model, of all users; one more is refused."""


class Cancelled(Exception):
    """The job was cancelled; raised in the midst of its work."""


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        doing: what it does, for people.
        done, total: steps.
        seconds_left: an estimate; None while there is none.
    """

    doing: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.done / self.total if self.total else 0.0


@dataclass(eq=False)
class Job:
    """Work for the model. Its owner watches it; the worker does it.

    Attributes:
        work: is given the model and this job, on whose :meth:`step` it reports.
        progress: see there.
        error: what it raised, if it did.
    """

    work: Callable[[LoadedModel, Job], Any]
    progress: Progress = field(default_factory=lambda: Progress("Waiting for the model"))
    error: BaseException | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _finished: threading.Event = field(default_factory=threading.Event)
    _phase: tuple[str, float, float | None] = ("", 0.0, None)

    @property
    def finished(self) -> bool:
        """Whether it is done, has failed or has stopped after it was cancelled."""
        return self._finished.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Asks it to stop: at the next layer of a network where it computes, at once where it waits."""
        self._cancelled.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is finished; False if it is not after `timeout` seconds."""
        return self._finished.wait(timeout)

    def check(self) -> None:
        """Raises Cancelled if it was cancelled."""
        if self.cancelled:
            raise Cancelled

    def begin(self, doing: str, total: int, expected: float | None = None) -> None:
        """Begins a phase.

        Args:
            doing: for people.
            total: of its steps; 0 if unknown.
            expected: seconds that such a phase took before; None if there was none.
        """
        self.check()
        self._phase = (doing, time.monotonic(), expected)
        self.progress = Progress(doing, 0, total, expected)

    def step(self, done: int, total: int) -> None:
        """Reports a step of the phase; time left is by what such a phase took before, else by the steps so far."""
        self.check()
        doing, started, expected = self._phase
        passed = time.monotonic() - started
        whole = passed * total / done if expected is None and done else expected
        self.progress = Progress(doing, done, total, None if whole is None else max(0.0, whole - passed))

    def _run(self, model: LoadedModel) -> None:
        try:
            self.check()
            with _interruptible(model, self.check):
                self.work(model, self)
        except Cancelled as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 (its owner is told; the thread must live on)
            self.error = error
        finally:
            self._finished.set()


class Worker:
    """The model's thread. One job runs at a time, in the order of their arrival.

    Args:
        load: makes the model, in that thread.
    """

    def __init__(self, load: Callable[[], LoadedModel]) -> None:
        self._load = load
        self._jobs: queue.Queue[Job | None] = queue.Queue(MOST_WAITING)
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Waits for the model to be loaded. Raises what loading it raised."""
        self._ready.wait()
        if self._fault is not None:
            raise self._fault

    def submit(self, work: Callable[[LoadedModel, Job], Any]) -> Job:
        """Appends a job.

        Raises:
            InputError: too many are waiting.
        """
        job = Job(work)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise InputError("queue", f"{MOST_WAITING} jobs are waiting already", "try again in a minute") from None
        return job

    def close(self) -> None:
        """Ends the thread once the job that runs has ended; jobs that wait are cancelled."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.cancel()
                job._finished.set()
        self._jobs.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        try:
            model = self._load()
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            self._fault = error
            return
        finally:
            self._ready.set()
        while (job := self._jobs.get()) is not None:
            job._run(model)


@contextmanager
def _interruptible(model: LoadedModel, check: Callable[[], None]) -> Iterator[None]:
    """Calls `check`, which may raise, before each layer of the model's networks: decoding has no steps to stop at."""
    import torch

    def before(*_: Any) -> None:
        check()

    parts = [part for part in model.pipeline.components.values() if isinstance(part, torch.nn.Module)]
    hooks = [layer.register_forward_pre_hook(before) for part in parts for layer in part.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
