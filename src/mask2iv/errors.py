"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user supplied cannot be used.

    It says what is wrong in Python's names. Each front door words it for its users: the command line turns ``field``
    into a flag, prints one line and exits with status 2; a page shows it beside the control. Every other exception is a
    defect of the program and keeps its traceback.

    Args:
        field: what is wrong: a parameter ("object_mask"), a dotted configuration key ("pipeline.height") or a file's
            path. It may end in the value that was given: "size 30x40".
        problem: what was expected and what was found.
        remedy: what to do about it; "" where the problem says it.
    """

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        # All three as arguments: so the exception survives the way from one process to another.
        super().__init__(field, problem, remedy)
        self.field, self.problem, self.remedy = field, problem, remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")

    def about(self, field: str) -> InputError:
        """The same, said of another field: a caller's own name for what it passed on."""
        return InputError(field, self.problem, self.remedy)

    def within(self, place: str) -> InputError:
        """The same, with the place where the field was found in front: a file, a line of it."""
        return InputError(f"{place}: {self.field}", self.problem, self.remedy)


@contextmanager
def within(place: str) -> Iterator[None]:
    """Puts a place in front of the field of errors that the block raises."""
    try:
        yield
    except InputError as error:
        raise error.within(place) from error
