"""Errors and warnings about user input, as opposed to defects of the program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class _InputMessage(Exception):
    """Something about the user's input.

    The names in it are Python's; in ``problem`` and ``remedy`` they stand in backquotes. Each user interface rewords
    them: the command line turns them into flags; a page shows ``field`` beside the control.

    Args:
        field: what is wrong: a parameter ("object_mask"), a dotted configuration key ("pipeline.height") or a file's
            path. It may end in the value that was given: "size 30x40".
        problem: what was expected and what was found.
        remedy: what to do about it; "" where the problem implies it.
    """

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        # All three are passed on as arguments, so that the exception can be pickled from one process to another.
        super().__init__(field, problem, remedy)
        self.field, self.problem, self.remedy = field, problem, remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")

    def about(self, field: str) -> Self:
        """The same about another field: the caller's own name for what it passed on."""
        return type(self)(field, self.problem, self.remedy)

    def within(self, place: str) -> Self:
        """The same, with the place where the field was found in front: a file, a line of it."""
        return self.about(f"{place}: {self.field}")


class InputError(_InputMessage, ValueError):
    """Something the user supplied cannot be used; its parts are those of :class:`_InputMessage`.

    The command line prints one line and exits with status 2. Every other exception is a defect of the program and keeps
    its traceback.
    """


class InputWarning(_InputMessage, UserWarning):
    """Something the user supplied is used, but is probably not what was meant. Parts as in :class:`InputError`."""


def warn(field: str, problem: str, remedy: str = "") -> None:
    """Warns with an :class:`InputWarning`; the command line prints it on one line of standard error."""
    warnings.warn(InputWarning(field, problem, remedy), stacklevel=3)


@contextmanager
def within(place: str) -> Iterator[None]:
    """Puts ``place`` in front of the field of each InputError that the block raises."""
    try:
        yield
    except InputError as error:
        raise error.within(place) from error
