"""What a crew is: workers that take items one by one, and whose deaths are survived."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from mask2iv.errors import InputError

ATTEMPTS = 3
"""How often an item is tried whose worker dies. One that cannot be used is tried twice: a disk may have been away."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Begin = Callable[[], Callable[[Item], Result]]
"""Called once in each worker; it loads what the worker keeps (models, a renderer) and returns what is called for each
item. It is pickled: a function of a module, or a ``functools.partial`` of one."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result for an item.

    Attributes:
        problem: on one line.
        expected: something is wrong with the item (an InputError); otherwise its worker died, or the program has a
            defect.
        details: the traceback of a defect.
    """

    problem: str
    expected: bool
    details: str = ""

    @staticmethod
    def of(error: Exception) -> Failure:
        """An exception that work on an item raised."""
        if isinstance(error, InputError):
            return Failure(str(error), expected=True)
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = f" ({last[0].name}, line {last[0].lineno})" if last else ""
        text = " ".join(str(error).split())
        return Failure(f"{type(error).__name__}: {text}{place}", False, "".join(traceback.format_exception(error)))


Results: TypeAlias = Generator[tuple[Item, Result | Failure], None, None]
"""Items with their results. Closing it ends the workers."""


@dataclass(frozen=True)
class Task(Generic[Item]):
    """An item on its way, tried so many times before."""

    item: Item
    tries: int = 0


class Queue(Generic[Item]):
    """Items to work on, and those to be tried again, which come first."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._again: deque[Task[Item]] = deque()

    def take(self) -> Task[Item] | None:
        """The next item; None: there is none now."""
        if self._again:
            return self._again.popleft()
        for item in self._items:
            return Task(item)
        return None

    def retry(self, task: Task[Item], result: object) -> bool:
        """Whether an item with this result is tried again; then it is queued."""
        if not isinstance(result, Failure) or task.tries + 1 >= (2 if result.expected else ATTEMPTS):
            return False
        self._again.append(Task(task.item, task.tries + 1))
        return True


class Crew(Protocol):
    """Workers.

    Attributes:
        size: how many, as far as that is known before they begin.
    """

    size: int

    def work(self, begin: Begin[Item, Result], items: Iterable[Item]) -> Results[Item, Result]:
        """Work on all items, in whatever order they get done.

        A worker that dies is replaced. Its item, like one that raised an exception, is tried again before its
        :class:`Failure` is given (:data:`ATTEMPTS`). Each worker has one item at a time, and items are asked for
        as workers get free, so memory does not grow with their number.

        Args:
            begin: see :data:`Begin`.
            items: what to work on; pickled.

        Yields:
            Each item with its result. Closing what yields them ends the workers, whatever they are doing.

        Raises:
            InputError: ``begin`` raised one.
        """
        ...


def in_order(
    results: Iterator[tuple[Item, Result | Failure]], place: Callable[[Item], int], first: int = 0
) -> Iterator[tuple[Item, Result | Failure]]:
    """Results in the order of their items. What is ready early waits in memory.

    Args:
        results: of a crew.
        place: an item's place: first, first + 1, ... without gaps.
        first: the first place.
    """
    early: dict[int, tuple[Item, Result | Failure]] = {}
    for item, result in results:
        early[place(item)] = (item, result)
        while first in early:
            yield early.pop(first)
            first += 1
