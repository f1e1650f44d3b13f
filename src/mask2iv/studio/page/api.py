"""The steps by name, for ``gradio_client``: one client is one user, whose work goes when the client does."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, cast

from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.studio import steps
from mask2iv.studio.drawing import Drawing, Marked, Pose
from mask2iv.studio.page.wiring import failure
from mask2iv.studio.planning import Wish
from mask2iv.studio.sessions import Session
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import Cancelled, Job


def add_endpoints(studio: Studio) -> None:
    """Adds the endpoints to the page that is being built; none of them shows.

    Errors of the input arrive as ``gradio_client.exceptions.AppError`` with the field, the problem and the remedy.
    """
    gr = require("gradio", "the studio")

    def told(act: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(act)
        def endpoint(*values: Any, **named: Any) -> Any:
            try:
                return act(*values, **named)
            except InputError as error:
                raise gr.Error(str(error), print_exception=False) from None

        endpoint.__annotations__ = {**act.__annotations__, "request": gr.Request}
        return endpoint

    ends = _Endpoints(studio)
    by_values: tuple[Callable[..., Any], ...] = (
        ends.load_sample,
        ends.select_point,
        ends.select_box,
        ends.place,
        ends.predict,
        ends.choose,
        ends.edit,
        ends.undo,
        ends.resume,
        ends.cancel,
    )
    for act in by_values:
        gr.api(told(act), api_name=act.__name__, concurrency_limit=None)
    # Files go by components, which see to it that only what was uploaded is opened.
    given, scene = gr.File(visible=False), gr.JSON(visible=False)
    results = gr.File(visible=False), gr.File(visible=False), gr.JSON(visible=False)
    by_files: tuple[tuple[Callable[..., Any], Any, Any], ...]
    by_files = (ends.load_picture, given, scene), (ends.render, None, list(results))
    for act, before, after in by_files:
        gr.Button(visible=False).click(
            told(act), before, after, api_name=act.__name__, api_description=act.__doc__, concurrency_limit=None
        )


class _Endpoints:
    """The steps, each for the user who asks."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def _of(self, request: Any) -> Session:
        return self._studio.sessions.of(request.session_hash)

    def load_sample(self, request: Any, name: str) -> dict[str, Any]:
        """Begin with a shipped sample."""
        return _scene(steps.load_sample(self._of(request), name))

    def select_point(self, request: Any, x: float, y: float, marked: str = "object") -> dict[str, Any]:
        """Select what is under a point in pixels; marked: object, or actor for a hand that the picture shows."""
        return _scene(steps.select(self._studio, self._of(request), (x, y), None, _marked(marked)))

    def select_box(
        self, request: Any, x: float, y: float, w: float, h: float, marked: str = "object"
    ) -> dict[str, Any]:
        """Select what is in a box in pixels."""
        return _scene(steps.select(self._studio, self._of(request), (x, y, w, h), None, _marked(marked)))

    def place(
        self, request: Any, right: float = 0.0, down: float = 0.0, scale: float = 1.0, rotate: float = 0.0
    ) -> dict[str, Any]:
        """Say where the object shall end: how far right and down in pixels, its size as a factor, degrees clockwise."""
        return _scene(steps.place(self._of(request), Pose(right, down, scale, rotate)))

    def predict(
        self, request: Any, prompt: str = "", actor: str = "", seed: int = 0, num_steps: int = 0, candidates: int = 4
    ) -> list[dict[str, Any]]:
        """Predict trajectories; actor: "", hand or robot; num_steps: 0 for the model's. Best first."""
        if actor not in ("", "hand", "robot"):
            raise InputError("actor", f"there is no {actor!r}", "choose hand or robot, or leave it out")
        session = self._of(request)
        said = cast(Literal["hand", "robot"] | None, actor or None)
        _finish(steps.predict(self._studio, session, Wish(prompt, said, seed, num_steps or None, candidates)))
        ranked = [] if session.plan is None else session.plan.ranked
        return [{"index": index, "seed": one.seed, "scores": one.scores.record} for index, one in ranked]

    def choose(self, request: Any, index: int) -> dict[str, Any]:
        """Choose a trajectory by its index."""
        session = self._of(request)
        steps.choose(session, index)
        return _trajectory(session)

    def edit(self, request: Any, values: dict[str, Any]) -> dict[str, Any]:
        """Change the chosen trajectory; values as an entry of a script of edits, {"op": "hold", ...}."""
        session = self._of(request)
        steps.editing(session).edit(values)
        return _trajectory(session)

    def undo(self, request: Any) -> dict[str, Any]:
        """Take the last change of the trajectory back."""
        session = self._of(request)
        steps.editing(session).undo()
        return _trajectory(session)

    def resume(self, request: Any, number: int) -> dict[str, Any]:
        """Begin the next interaction with the last frame of a result."""
        return _scene(steps.continue_from(self._of(request), number))

    def cancel(self, request: Any) -> bool:
        """Stop what runs; whether something did."""
        session = self._of(request)
        running = session.busy
        if session.job is not None:
            session.job.cancel()
        return running

    def load_picture(self, request: Any, file: str) -> dict[str, Any]:
        """Begin with a picture, or the first frame of a video."""
        path = Path(file)
        try:
            return _scene(steps.load_file(self._of(request), path))
        finally:
            path.unlink(missing_ok=True)

    def render(self, request: Any) -> list[Any]:
        """Render the chosen trajectory: the video, a zip of everything, and the command."""
        session = self._of(request)
        _finish(steps.render(self._studio, session))
        result = session.results[-1]
        info = {"number": result.number, "seed": result.take.candidate.seed, "command": result.take.command}
        return [str(result.folder / "video.mp4"), str(result.archive), info]


def _finish(job: Job) -> None:
    try:
        job.wait()
    finally:
        # Whoever no longer waits for it does not want it.
        job.cancel()
    if isinstance(job.error, Cancelled):
        raise InputError("studio", "it was cancelled", "ask again")
    if job.error is not None:
        raise failure(job.error) from job.error


def _scene(drawing: Drawing) -> dict[str, Any]:
    height, width = drawing.size
    mask = drawing.mask()
    return {
        "width": width,
        "height": height,
        "object_pixels": 0 if mask is None else int(mask.sum()),
        "has_target": drawing.target is not None,
        "prompt": drawing.prompt,
    }


def _trajectory(session: Session) -> dict[str, Any]:
    edits = steps.editing(session)
    return {
        "frames": edits.trajectory.num_frames,
        "edits": len(edits.script.edits),
        "contacts": edits.contacts,
        "findings": [str(finding) for finding in edits.findings],
    }


def _marked(name: str) -> Marked:
    if name not in ("object", "actor"):
        raise InputError("marked", f"there is no {name!r}", "choose object or actor")
    return cast(Marked, name)
