"""A crew of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.context import BaseContext
from typing import Any

from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Begin, Crew, Failure, Item, Pause, Queue, Result, Results, Task
from mask2iv.scaling.threads import one_thread_for_children, use_one_thread

DIED = Failure("its worker died (killed, out of memory, or a crash in a library)", expected=False)


class ProcessCrew(Crew):
    """Processes of this machine, of one thread each.

    Args:
        size: how many; 0 for one per core.

    Raises:
        InputError: a negative number.
    """

    name = "processes"

    def __init__(self, size: int = 0) -> None:
        if size < 0:
            raise InputError("workers", f"must be 0 (one per core) or more, found {size}")
        self.size = size or os.cpu_count() or 1

    def work(self, begin: Begin[Item, Result], items: Iterable[Item | Pause]) -> Results[Item, Result]:
        queue = Queue(items)
        busy: dict[Future[Any], tuple[_Lane, Task[Item]]] = {}
        free = [_Lane(begin) for _ in range(self.size)]
        lanes = list(free)
        try:
            while True:
                while free and (task := queue.take()) is not None:
                    lane = free.pop()
                    busy[lane.submit(task.item)] = lane, task
                if not busy:
                    return
                done, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    lane, task = busy.pop(future)
                    free.append(lane)
                    result = lane.result(future)
                    if not queue.retry(task, result):
                        yield task.item, result
        finally:
            for lane in lanes:
                lane.close()


class _Lane:
    """One worker process, replaced when it dies. One pool for each: a shared one cannot tell whose item killed it."""

    def __init__(self, begin: Begin[Any, Any]) -> None:
        self._begin = begin
        self._open()

    def _open(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=_context(), initializer=_start, initargs=(dict(os.environ),))

    def submit(self, item: Any) -> Future[Any]:
        # It starts the process when there is something to do.
        with one_thread_for_children():
            return self._pool.submit(_work, self._begin, item)

    def result(self, future: Future[Any]) -> Any:
        """The result of an item, or why there is none."""
        try:
            result = future.result()
        except BrokenProcessPool:
            self._pool.shutdown()
            self._open()
            return DIED
        if isinstance(result, _NotBegun):
            raise result.error
        return result

    def close(self) -> None:
        """End the process, whatever it is doing."""
        processes = list((self._pool._processes or {}).values())
        for process in processes:
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _NotBegun:
    error: Exception


def _context() -> BaseContext:
    """How workers start: forked from a server that imports once what this process has loaded of the package.

    Importing PyTorch and the pipelines takes seconds, which each worker, and each that replaces one, would take again.
    """
    if sys.platform == "darwin":  # its system libraries do not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted(name for name in sys.modules if name.partition(".")[0] == "mask2iv"))
    return context


def _start(environment: dict[str, str]) -> None:
    """In a worker: take over the parent's environment (the server has that of its own start) and compute with one
    thread; leave Ctrl-C to the parent, and end with it however it ends."""
    os.environ.clear()
    os.environ.update(environment)
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


_call: Callable[[Any], Any] | None = None


def _work(begin: Begin[Any, Any], item: Any) -> Any:
    global _call
    if _call is None:
        try:
            _call = begin()
        except Exception as error:  # noqa: BLE001 - it is raised again in the parent
            return _NotBegun(error)
    try:
        return _call(item)
    except Exception as error:  # noqa: BLE001 - whatever one item raises must not end the work on the others
        return Failure.of(error)
