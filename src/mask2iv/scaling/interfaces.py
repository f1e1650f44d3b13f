"""What a crew is: workers that take items one by one, and whose deaths are survived."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import partial
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


class Pause(Enum):
    """What items may hold in place of one: there is none now, and may be one once another is done."""

    NOW = "now"


class Queue(Generic[Item]):
    """Items to work on, and those to be tried again, which come first."""

    def __init__(self, items: Iterable[Item | Pause]) -> None:
        self._items = iter(items)
        self._again: deque[Task[Item]] = deque()

    def take(self) -> Task[Item] | None:
        """The next item; None: there is none now."""
        if self._again:
            return self._again.popleft()
        item = next(self._items, Pause.NOW)
        return None if isinstance(item, Pause) else Task(item)

    def retry(self, task: Task[Item], result: object) -> bool:
        """Whether an item with this result is tried again; then it is queued."""
        if not isinstance(result, Failure) or task.tries + 1 >= (2 if result.expected else ATTEMPTS):
            return False
        self._again.append(Task(task.item, task.tries + 1))
        return True


class Crew(Protocol):
    """Workers.

    Attributes:
        name: "processes" or "ray".
        size: how many, as far as that is known before they begin.
    """

    name: str
    size: int

    def work(self, begin: Begin[Item, Result], items: Iterable[Item | Pause]) -> Results[Item, Result]:
        """Work on all items, in whatever order they get done.

        A worker that dies is replaced. Its item, like one that raised an exception, is tried again before its
        :class:`Failure` is given (:data:`ATTEMPTS`). Each worker has one item at a time, and items are asked for
        as workers get free, so memory does not grow with their number.

        Args:
            begin: see :data:`Begin`.
            items: what to work on; pickled. At a pause they are asked again when another item is done.

        Yields:
            Each item with its result. Closing what yields them ends the workers, whatever they are doing.

        Raises:
            InputError: ``begin`` raised one.
        """
        ...


def in_order(
    crew: Crew, begin: Begin[Item, Result], items: Iterable[Item], ahead: int | None = None
) -> Results[Item, Result]:
    """Have a crew work on items, and yield them with their results in their order.

    Args:
        crew, begin, items: see :meth:`Crew.work`.
        ahead: an item is begun only if it comes fewer than so many after the one that is yielded next, so that few
            results wait in memory while an item takes long; None: eight for each worker.

    Raises:
        InputError: as :meth:`Crew.work`.
    """
    ahead = ahead or 8 * crew.size
    given = 0
    early: dict[int, tuple[Item, Result | Failure]] = {}

    def held_back() -> Iterator[tuple[int, Item] | Pause]:
        for place, item in enumerate(items):
            while place - given >= ahead:
                yield Pause.NOW
            yield place, item

    with closing(crew.work(partial(_placed, begin), held_back())) as results:
        for (place, item), result in results:
            early[place] = (item, result)
            while given in early:
                yield early.pop(given)
                given += 1


def _placed(begin: Begin[Item, Result]) -> Callable[[tuple[int, Item]], Result]:
    work = begin()
    return lambda placed: work(placed[1])
