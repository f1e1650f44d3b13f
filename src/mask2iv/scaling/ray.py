"""A crew of Ray actors: on a cluster, or on this machine by the name "local"."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import reason
from mask2iv.scaling.interfaces import ATTEMPTS, Begin, Crew, Failure, Item, Pause, Queue, Result, Results, Task
from mask2iv.scaling.processes import DIED
from mask2iv.scaling.threads import use_one_thread

LOCAL = "local"
_LOOPBACK = "127.0.0.1"
_CLUSTERS = "ENABLE_RAY_CLUSTER"
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
_STORE = 200 * 1024 * 1024
"""Bytes of shared memory of a local Ray: an item and its result are small."""


class RayCrew(Crew):
    """Actors that hold what they have loaded; where one dies, or its node goes, another takes its place.

    An actor gets items once it has begun. So the work goes on with those that are left, where a lost node leaves no
    room for another.

    Args:
        address: of a cluster ("auto", "HOST:6379", "ray://HOST:10001"), whose nodes need this package; or "local" for
            a Ray of this process alone, which listens on the loopback interface only.
        size: number of actors; 0 for one per core of the cluster (per GPU, where they use some).
        gpus: share of a GPU that each actor needs.

    Raises:
        InputError: ray is not installed, no cluster answers at the address, or it lacks what the actors need.
    """

    name = "ray"

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
        try:
            if address == LOCAL:
                self._start_local()
            else:
                self._ray.init(address=address, **_QUIET)
        except (ConnectionError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "ray", f"no cluster answers at {address}: {reason(error)}", "start it: ray start"
            ) from error

    def _start_local(self) -> None:
        """Start a Ray that no other machine reaches.

        Ray replaces a loopback address that it is given by one that others reach, and then listens on all interfaces,
        except where it was told that there are no clusters.
        """
        constants = require("ray._private.ray_constants", "ray")
        before = getattr(constants, _CLUSTERS, None)
        setattr(constants, _CLUSTERS, False)
        try:
            self._ray.init(
                address="local",
                _node_ip_address=_LOOPBACK,
                object_store_memory=_STORE,
                include_dashboard=False,
                **_QUIET,
            )
        finally:
            setattr(constants, _CLUSTERS, before)
        found = self._ray.util.get_node_ip_address()
        if found != _LOOPBACK:
            self._ray.shutdown()
            raise InputError("ray", f"a local Ray would listen on {found}", "install the version in constraints.txt")

    def work(self, begin: Begin[Item, Result], items: Iterable[Item | Pause]) -> Results[Item, Result]:
        queue, busy = Queue(items), dict[Any, tuple[Any, Task[Item]]]()
        task: Task[Item] | None = None
        staff = _Staff(self._ray, begin, self.size, self._gpus)
        try:
            while True:
                while (task := task or queue.take()) is not None and staff.free:
                    worker = staff.free.pop()
                    busy[worker.work.remote(task.item)] = worker, task
                    task = None
                waited = [*busy, *(staff.beginning if task is not None else ())]
                if not waited:
                    return
                [done], _ = self._ray.wait(waited, num_returns=1)
                if done not in busy:
                    staff.note_begun(done)
                    continue
                worker, tried = busy.pop(done)
                try:
                    result = self._ray.get(done)
                    staff.free.append(worker)
                except staff.deaths:
                    result = DIED
                    staff.replace(worker)
                if not queue.retry(tried, result):
                    yield tried.item, result
        finally:
            staff.end()


class _Staff:
    """The actors of one piece of work.

    Attributes:
        free: actors without an item.
        beginning: what an actor answers when it has begun -> the actor, and how many died in its place before.
        deaths: exceptions by which an actor's death shows.
    """

    def __init__(self, ray: Any, begin: Begin[Any, Any], size: int, gpus: float) -> None:
        self._ray = ray
        self._begin = ray.put(begin)
        self._actor = ray.remote(_Worker).options(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)
        self._all: set[Any] = set()
        self.free: list[Any] = []
        self.beginning: dict[Any, tuple[Any, int]] = {}
        names = ("RayActorError", "WorkerCrashedError", "ObjectLostError")
        self.deaths = tuple(getattr(ray.exceptions, name) for name in names)
        for _ in range(size):
            self._hire(0)

    def _hire(self, deaths: int) -> None:
        actor = self._actor.remote(self._begin)
        self._all.add(actor)
        self.beginning[actor.begun.remote()] = actor, deaths

    def note_begun(self, answer: Any) -> None:
        """An actor has begun, or died before.

        Raises:
            InputError: ``begin`` raised one, or actors die one after another before they have begun.
        """
        actor, deaths = self.beginning.pop(answer)
        try:
            error = self._ray.get(answer)
        except self.deaths as death:
            if deaths + 1 == ATTEMPTS:
                raise InputError("ray", f"workers die before they begin: {reason(death)}") from death
            self._all.discard(actor)
            self._hire(deaths + 1)
            return
        if error is not None:
            raise error
        self.free.append(actor)

    def replace(self, actor: Any) -> None:
        """Another actor for one that died at work."""
        self._all.discard(actor)
        self._hire(0)

    def end(self) -> None:
        for actor in self._all:
            with suppress(ValueError, *self.deaths):
                self._ray.kill(actor)


class _Worker:
    """What an actor holds."""

    def __init__(self, begin: Begin[Any, Any]) -> None:
        use_one_thread()
        # An exception here would count as a death.
        self._error: Exception | None = None
        try:
            self._call = begin()
        except Exception as error:  # noqa: BLE001 - it is raised again in the driver
            self._error = error

    def begun(self) -> Exception | None:
        """Answers once ``begin`` is done; what it raised."""
        return self._error

    def work(self, item: Any) -> Any:
        try:
            return self._call(item)
        except Exception as error:  # noqa: BLE001 - whatever one item raises must not end the work on the others
            return Failure.of(error)
