"""Each user's work: apart from all others', in a folder of its own that goes when the work ends.

A page that is loaded again takes its work up by a ticket, which its browser made and nobody else knows.
"""

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
KEPT_SECONDS = 15 * 60
"""For which the work of a page that was left is kept, should it be loaded again."""
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
        self._tickets: dict[str, str] = {}
        self._left: dict[str, tuple[Session, threading.Timer]] = {}
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

    def take_up(self, key: str, ticket: str) -> Session | None:
        """Has a page go on with the work of the one that had its ticket; None if there is none.

        What runs for that page is cancelled, since nobody follows it.
        """
        with self._lock:
            # A page may be there again before it is seen to have been left.
            owner = next((one for one in self._open if self._tickets.get(one) == ticket), None)
            self._tickets[key] = ticket
            if ticket in self._left:
                session, timer = self._left.pop(ticket)
                timer.cancel()
            elif owner is not None:
                session = self._open.pop(owner)
            else:
                return None
            self._open[key] = session
        if session.job is not None:
            session.job.cancel()
        return session

    def leave(self, key: str) -> None:
        """A page is gone. Its work is kept for :data:`KEPT_SECONDS` if it has a ticket, and ends at once if not."""
        with self._lock:
            session, ticket = self._open.pop(key, None), self._tickets.pop(key, "")
        if session is None:
            return
        if not ticket or session.drawing is None:
            session.close()
            return
        if session.job is not None:
            session.job.cancel()
        self._forget(ticket)
        timer = threading.Timer(KEPT_SECONDS, self._forget, [ticket])
        timer.daemon = True
        with self._lock:
            self._left[ticket] = session, timer
        timer.start()

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
        for ticket in list(self._left):
            self._forget(ticket)

    def __len__(self) -> int:
        return len(self._open)

    def _forget(self, ticket: str) -> None:
        with self._lock:
            left = self._left.pop(ticket, None)
        if left is not None:
            session, timer = left
            timer.cancel()
            session.close()

    def _make_room(self) -> None:
        if len(self._open) + len(self._left) < MOST_SESSIONS:
            return
        if self._left:
            # Those who are gone give way to those who are there.
            session, timer = self._left.pop(next(iter(self._left)))
            timer.cancel()
            session.close()
            return
        key, oldest = min(self._open.items(), key=lambda item: item[1].used)
        if oldest.busy or time.monotonic() - oldest.used < IDLE_SECONDS:
            raise InputError("users", f"{MOST_SESSIONS} are at work already", "try again later")
        del self._open[key]
        oldest.close()
