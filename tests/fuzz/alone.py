"""Commands whose work other processes do, run in this one: so that what happens is seen, and none is started."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from unittest.mock import patch

from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Begin, Crew, Failure, Item, Pause, Result


class Here(Crew):
    """One worker, this process. Where a process of its own would be said to have a defect, the defect is raised."""

    name, size = "processes", 1

    def work(
        self, begin: Begin[Item, Result], items: Iterable[Item | Pause]
    ) -> Generator[tuple[Item, Result | Failure]]:
        call = begin()
        for item in items:
            if isinstance(item, Pause):
                continue
            result: Result | Failure
            try:
                result = call(item)
            except InputError as error:
                result = Failure.of(error)
            yield item, result


def run(argv: list[str]) -> int:
    """A command line."""
    with patch("mask2iv.scaling.choice.ProcessCrew", lambda _: Here()):
        return main(argv)
