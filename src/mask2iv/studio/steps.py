"""The steps of the studio, one function each: what a button, a drag on the page and a call of the Python API do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.generation.candidates import Candidate
from mask2iv.generation.options import Sampling
from mask2iv.segmentation.interfaces import Segmenter
from mask2iv.studio.drawing import Drawing, Marked, Pose
from mask2iv.studio.editing import Editing
from mask2iv.studio.planning import Plan, Wish
from mask2iv.studio.rendering import Result, Take, with_seed, work
from mask2iv.studio.sessions import MOST_RESULTS, Session, Sessions
from mask2iv.studio.worker import Job, Worker

_MOMENT = 0.5
"""Seconds."""


@dataclass(eq=False)
class Studio:
    """What all users share.

    Attributes:
        sessions: their work.
        worker: the model.
        sampling: model, device and threads of all runs.
        segmenters: what finds objects, by name; the first one is used unless another is named.
        video_seconds: what the last video took, by its steps and size.
    """

    sessions: Sessions
    worker: Worker
    sampling: Sampling
    segmenters: Mapping[str, Segmenter]
    video_seconds: dict[tuple[object, ...], float] = field(default_factory=dict)

    def close(self) -> None:
        """Stops all work and removes all files."""
        self.sessions.close_all()
        self.worker.close()


def load_sample(session: Session, name: str) -> Drawing:
    """Begins with a shipped sample. Raises InputError for an unknown name, or while a job runs."""
    return _begin(session, Drawing.sample(name))


def load_file(session: Session, path: Path) -> Drawing:
    """Begins with a user's picture, or the first frame of a video.

    Raises:
        InputError: as :meth:`Drawing.read`, or while a job runs.
    """
    return _begin(session, Drawing.read(path))


def select(
    studio: Studio, session: Session, prompt: Sequence[float], segmenter: str | None = None, marked: Marked = "object"
) -> Drawing:
    """Selects what is in a box (x, y, w, h) or under a point (x, y).

    Raises:
        InputError: no picture, no such segmenter, or nothing is found.
    """
    name = segmenter or next(iter(studio.segmenters))
    if name not in studio.segmenters:
        raise InputError("segmenter", f"there is no {name!r}", f"choose {' or '.join(studio.segmenters)}")
    drawing = drawn(session)
    drawing.segment(prompt, studio.segmenters[name], marked)
    return drawing


def place(session: Session, pose: Pose | None) -> Drawing:
    """Sets where the object shall end. Raises InputError without picture or object, or for a place outside."""
    drawing = drawn(session)
    before = drawing.pose, drawing.given_target
    drawing.place(pose)
    try:
        drawing.target  # noqa: B018 (computed to be checked)
    except InputError:
        drawing.pose, drawing.given_target = before
        raise
    return drawing


def predict(studio: Studio, session: Session, wish: Wish) -> Job:
    """Starts stage 1.

    Raises:
        InputError: as :meth:`Plan.write`, no picture, or too many jobs.
    """
    drawing = drawn(session)
    _require_rest(session)
    sampling = Sampling(**{**vars(studio.sampling), "seed": wish.seed, "steps": wish.steps})
    plan = Plan.write(drawing, wish, session.folder / f"plan-{session.next_plan()}")
    session.job = studio.worker.submit(plan.work(sampling))
    session.plan, session.chosen, session.edits = plan, None, {}
    return session.job


def choose(session: Session, index: int) -> Candidate:
    """Chooses a candidate, counted from 0. Raises InputError if there is none."""
    candidates = () if session.plan is None else session.plan.candidates
    if not 0 <= index < len(candidates):
        raise InputError("candidate", f"there is no number {index}", "predict trajectories first")
    session.chosen = index
    session.edits.setdefault(index, Editing.of(candidates[index].trajectory))
    return candidates[index]


def editing(session: Session) -> Editing:
    """The edits of the chosen candidate. Raises InputError if none is chosen."""
    if session.chosen is None:
        raise InputError("candidate", "none is chosen", "predict trajectories, then choose one")
    return session.edits[session.chosen]


def render(studio: Studio, session: Session) -> Job:
    """Starts stage 2 of the chosen candidate, with its edits.

    Raises:
        InputError: none is chosen, a job runs, or too many wait.
    """
    _require_rest(session)
    edits = editing(session)
    assert session.plan is not None
    assert session.chosen is not None
    candidate = session.plan.candidates[session.chosen]
    sampling = with_seed(studio.sampling, session.plan, candidate)
    script = edits.script if edits.script.edits else None
    take = Take(session.next_result(), session.plan, candidate, edits.trajectory, script, sampling)
    key = (sampling.steps, candidate.trajectory.size)

    def done(result: Result, seconds: float) -> None:
        studio.video_seconds[key] = seconds
        session.results = [*session.results, result][-MOST_RESULTS:]

    session.job = studio.worker.submit(work(take, studio.video_seconds.get(key), done))
    return session.job


def continue_from(session: Session, number: int) -> Drawing:
    """Begins the next interaction with the last frame of a result. Raises InputError if there is no such result."""
    result = result_of(session, number)
    last: UInt8Array = result.frames[-1]
    drawing = Drawing.of(f"{result.number}, last frame", last)
    drawing.select_mask(result.take.trajectory.object[-1])
    drawing.select_mask(result.take.trajectory.actor[-1], "actor")
    return _begin(session, drawing)


def drawn(session: Session) -> Drawing:
    """The drawing. Raises InputError if there is no picture yet."""
    if session.drawing is None:
        raise InputError("picture", "there is none yet", "choose a sample, or upload one")
    return session.drawing


def result_of(session: Session, number: int) -> Result:
    """A result by its number. Raises InputError if there is none."""
    for result in session.results:
        if result.number == number:
            return result
    raise InputError("result", f"there is no number {number}", "render a video first")


def _begin(session: Session, drawing: Drawing) -> Drawing:
    _require_rest(session)
    session.drawing, session.plan, session.chosen, session.edits = drawing, None, None, {}
    return drawing


def _require_rest(session: Session) -> None:
    # What a job has made is seen a moment before the job has ended.
    if session.busy and session.job is not None and not session.job.wait(_MOMENT):
        raise InputError("studio", "it is still at work for you", "wait for it, or cancel it")
