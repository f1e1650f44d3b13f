"""From a step to an event of the page: the user's session found, errors shown where they arise."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import disk_fault
from mask2iv.studio.page.views import alert, progress_value, remark, told
from mask2iv.studio.sessions import Session
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import Cancelled, Job

_LOOK = 0.2
"""Seconds between two looks at a job."""

Act = Callable[..., Sequence[Any]]
"""Does a step: given the session, the event's data where it has some, and the values of the inputs; returns those of
the outputs."""


class Wiring:
    """Makes event handlers.

    Args:
        studio: whose sessions they work on.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._gradio = require("gradio", "the studio")

    def step(
        self,
        event: Any,
        act: Act,
        notice: Any,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        refused: Act | None = None,
    ) -> Any:
        """Has an event do a step at once.

        Args:
            event: a listener such as ``button.click``.
            act: see :data:`Act`.
            notice: component that says what is wrong.
            inputs, outputs: components.
            refused: values of the outputs after an error, given the session; None leaves them as they are.
        """
        skipped = [self._gradio.skip()] * len(outputs)

        def handler(request: Any, data: Any, *values: Any) -> Iterator[Any]:
            session = None
            try:
                session = self._session(request)
                yield ["", *act(session, _data(data), *values)]
            except InputError as error:
                yield [alert(error), *(skipped if refused is None or session is None else refused(session))]
                raise self._shown(error) from None

        return self._listen(event, handler, inputs, [notice, *outputs], "always_last")

    def job(
        self,
        event: Any,
        start: Callable[..., Job],
        notice: Any,
        line: Any,
        show: Act,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
    ) -> Any:
        """Has an event start a job and follow it to its end.

        Args:
            event, notice, inputs, outputs: as of :meth:`step`.
            start: starts the job: given the session and the values of the inputs.
            line: component that shows the progress.
            show: values of the outputs: given the session, and whether the job has just begun.
        """
        skipped = [self._gradio.skip()] * len(outputs)

        def handler(request: Any, data: Any, *values: Any) -> Iterator[Any]:
            try:
                session = self._session(request)
                job = start(session, *values)
                before = show(session, True)
                yield ["", progress_value(job), *before]
                while not job.wait(_LOOK):
                    now = show(session, False)
                    # Pictures are sent again only when there are others.
                    yield ["", progress_value(job), *(skipped if now == before else now)]
                    before = now
                if job.error is not None and not isinstance(job.error, Cancelled):
                    raise failure(job.error) from job.error
                yield [remark("Cancelled." if job.error is not None else ""), {}, *show(session, False)]
            except InputError as error:
                yield [alert(error), {}, *skipped]
                raise self._shown(error) from None

        return self._listen(event, handler, inputs, [notice, line, *outputs], "once")

    def _listen(
        self, event: Any, handler: Any, inputs: Sequence[Any], outputs: Sequence[Any], trigger_mode: str
    ) -> Any:
        # Written out: Gradio is loaded late, and looks at these to know what it shall hand over.
        handler.__annotations__ = {"request": self._gradio.Request, "data": self._gradio.EventData}
        return event(
            handler,
            inputs=list(inputs),
            outputs=list(outputs),
            show_progress="hidden",
            api_visibility="private",
            trigger_mode=trigger_mode,
            concurrency_limit=None,
        )

    def _session(self, request: Any) -> Session:
        return self._studio.sessions.of(request.session_hash)

    def _shown(self, error: InputError) -> Exception:
        label, text = told(error)
        shown: Exception = self._gradio.Error(text, title=label, print_exception=False)
        return shown


def _data(event: Any) -> Mapping[str, Any]:
    return event._data if isinstance(event._data, Mapping) else {}


def failure(error: BaseException) -> InputError:
    """What is said of a job's error; a defect of the program is printed on the terminal as well."""
    if isinstance(error, InputError):
        return error
    fault = disk_fault(error) if isinstance(error, Exception) else None
    if fault is not None:
        return InputError("disk", fault, "make room on the machine that runs the studio")
    traceback.print_exception(error)
    return InputError("studio", "something went wrong in the program", "the terminal says what; please report it")
