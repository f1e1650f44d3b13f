"""Each user's work: apart from all others', in a folder of its own that goes when the work ends."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from mask2iv.errors import InputError
from mask2iv.studio.drawing import Drawing
from mask2iv.studio.editing import Editing
from mask2iv.studio.planning import Plan
from mask2iv.studio.rendering import Result
from mask2iv.studio.worker import Job

MOST_SESSIONS = 16
"""Users at once."""
IDLE_SECONDS = 6 * 3600
"""After which the work of a user who does nothing may go where another one needs the place."""
MOST_RESULTS = 12
"""Results that a session keeps; the oldest goes."""


@dataclass(eq=False)
class Session:
    """One user's work.

    Attributes:
        folder: of this session alone; nobody can guess its name.
        drawing, plan: the first steps; None before they are done.
        chosen: index of the plan's candidate to render; None for none yet.
        edits: those of the plan's candidates that were chosen, by their indices.
        results: videos, oldest first.
        job: what runs or ran last.
        used: when something was last done, in seconds of :func:`time.monotonic`.
    """

    folder: Path
    drawing: Drawing | None = None
    plan: Plan | None = None
    chosen: int | None = None
    edits: dict[int, Editing] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    job: Job | None = None
    used: float = field(default_factory=time.monotonic)
    _plans: int = 0
    _takes: int = 0

    def next_plan(self) -> int:
        """The number of a new plan."""
        self._plans += 1
        return self._plans

    def next_result(self) -> int:
        """The number of a new result."""
        self._takes += 1
        return self._takes

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self.job is not None and not self.job.finished

    def close(self) -> None:
        """Stops what runs and removes the folder."""
        if self.job is not None:
            self.job.cancel()
            # It may be writing.
            self.job.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """The sessions of all users, by a key that only their browser knows.

    Args:
        root: folder for their folders.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """The session of a key, a new one if there is none.

        Raises:
            InputError: too many users.
        """
        with self._lock:
            session = self._open.get(key)
            if session is None:
                self._make_room()
                folder = self._root / f"session-{secrets.token_urlsafe(24)}"
                folder.mkdir(parents=True, mode=0o700)
                session = self._open[key] = Session(folder)
            session.used = time.monotonic()
            return session

    def close(self, key: str) -> None:
        """Ends a session; without one, nothing happens."""
        with self._lock:
            session = self._open.pop(key, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """Ends all sessions."""
        for key in list(self._open):
            self.close(key)

    def __len__(self) -> int:
        return len(self._open)

    def _make_room(self) -> None:
        if len(self._open) < MOST_SESSIONS:
            return
        key, oldest = min(self._open.items(), key=lambda item: item[1].used)
        if oldest.busy or time.monotonic() - oldest.used < IDLE_SECONDS:
            raise InputError("users", f"{MOST_SESSIONS} are at work already", "try again later")
        del self._open[key]
        oldest.close()
