"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user supplied cannot be used.

    The message names the field, what was found there and what to do about it. The command line prints it on one line
    and exits with status 2; every other exception is a defect of the program and keeps its traceback.
    """
