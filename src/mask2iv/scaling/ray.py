"""A crew of Ray actors: on a cluster, or on this machine by the name "local"."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import reason
from mask2iv.scaling.interfaces import Begin, Crew, Failure, Item, Queue, Result, Task
from mask2iv.scaling.processes import DIED

LOCAL = "local"
_STORE = 200 * 1024 * 1024
"""Bytes of shared memory of a local Ray: an item and its result are small."""


class RayCrew(Crew):
    """Actors that hold what they have loaded; where one dies, or its node goes, another takes its place.

    Args:
        address: of a cluster ("auto", "HOST:6379", "ray://HOST:10001"), whose nodes need this package; or "local" for
            a Ray of this process alone, which listens on the loopback interface.
        size: number of actors; 0 for one per core of the cluster (per GPU, where they use some).
        gpus: share of a GPU that each actor needs.

    Raises:
        InputError: ray is not installed, no cluster answers at the address, or it lacks what the actors need.
    """

    def __init__(self, address: str, size: int = 0, gpus: float = 0.0) -> None:
        if size < 0:
            raise InputError("workers", f"must be 0 (one per core) or more, found {size}")
        self._ray = require("ray", "ray")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._connect(address)
        self._gpus = gpus
        there = self._ray.cluster_resources()
        room = int(there.get("GPU", 0) / gpus) if gpus else int(there.get("CPU", 0))
        if room < max(size, 1):
            what = f"{gpus:g} GPU each" if gpus else "a core each"
            raise InputError("ray", f"{address} has room for {room} workers with {what}, {max(size, 1)} were wanted")
        self.size = size or room

    def _connect(self, address: str) -> None:
        if self._ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
        try:
            if address == LOCAL:
                own = {"_node_ip_address": "127.0.0.1", "object_store_memory": _STORE, "include_dashboard": False}
                self._ray.init(address="local", **own, **quiet)
            else:
                self._ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                "ray", f"no cluster answers at {address}: {reason(error)}", "start it: ray start"
            ) from error

    def work(self, begin: Begin[Item, Result], items: Iterable[Item]) -> Generator[tuple[Item, Result | Failure]]:
        ray = self._ray
        actor = ray.remote(_Worker).options(num_cpus=1, num_gpus=self._gpus, max_restarts=-1, max_task_retries=0)
        queue = Queue(items)
        begin_once = ray.put(begin)
        free = [actor.remote(begin_once) for _ in range(self.size)]
        actors = list(free)
        busy: dict[Any, tuple[Any, Task[Item]]] = {}
        try:
            while True:
                while free and (task := queue.take()) is not None:
                    worker = free.pop()
                    busy[worker.work.remote(task.item)] = worker, task
                if not busy:
                    return
                done, _ = ray.wait(list(busy), num_returns=1)
                worker, task = busy.pop(done[0])
                free.append(worker)
                result = self._result(done[0])
                if not queue.retry(task, result):
                    yield task.item, result
        finally:
            for worker in actors:
                ray.kill(worker)

    def _result(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.ObjectLostError):
            return DIED
        if isinstance(result, Exception):
            raise result
        return result


class _Worker:
    """What an actor holds."""

    def __init__(self, begin: Begin[Any, Any]) -> None:
        # An exception here would count as a death, and the actor would be begun again and again.
        self._error: Exception | None = None
        try:
            self._call = begin()
        except Exception as error:  # noqa: BLE001 - it is raised again in the driver
            self._error = error

    def work(self, item: Any) -> Any:
        if self._error is not None:
            return self._error
        try:
            return self._call(item)
        except Exception as error:  # noqa: BLE001 - whatever one item raises must not end the work on the others
            return Failure.of(error)
