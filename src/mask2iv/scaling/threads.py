"""One thread for each worker: with a worker per core, more would only wait for each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOWED = "OMP_NUM_THREADS"
_OTHERS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Where numerical libraries look, as they are loaded, for how many threads they shall start."""


def _missing() -> dict[str, str]:
    """Variables that are not set, with what they shall be: what the user says in ``OMP_NUM_THREADS``, else 1."""
    allowed = os.environ.get(_ALLOWED, "1")
    return {name: allowed for name in (_ALLOWED, *_OTHERS) if name not in os.environ}


@contextmanager
def one_thread_for_children() -> Iterator[None]:
    """Processes started within the block compute with one thread, unless the user's environment says otherwise."""
    missing = _missing()
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def use_one_thread() -> None:
    """The same for this process, whose libraries may be loaded already."""
    os.environ.update(_missing())
    allowed = os.environ[_ALLOWED]
    for library, setter in (("cv2", "setNumThreads"), ("torch", "set_num_threads")):
        if library in sys.modules and allowed.isdecimal():
            getattr(sys.modules[library], setter)(int(allowed))
