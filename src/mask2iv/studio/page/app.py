"""The page: what each control does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mask2iv.extras import require
from mask2iv.studio import steps
from mask2iv.studio.drawing import Drawing, Marked, Pose
from mask2iv.studio.editing import Editing
from mask2iv.studio.page.api import add_endpoints
from mask2iv.studio.page.components import STATIC
from mask2iv.studio.page.layout import ACTORS, FilmParts, SceneParts, film_parts, scene_parts
from mask2iv.studio.page.views import cards_value, remark, scene_value, trajectory_value, viewer_value
from mask2iv.studio.page.wiring import Wiring
from mask2iv.studio.planning import Wish
from mask2iv.studio.sessions import Session
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import Job
from mask2iv.trajectories.editing.script import write_script

Data = Mapping[str, Any]


def build(studio: Studio) -> Any:
    """The page of a studio, a ``gradio.Blocks``."""
    gr = require("gradio", "the studio")
    wiring = Wiring(studio)
    with gr.Blocks(title="mask2iv studio", analytics_enabled=False, fill_width=True) as page:
        gr.HTML("<h1>mask2iv studio</h1><p>Point at an object, say what happens, see its way, render the video.</p>")
        with gr.Row():
            with gr.Column(min_width=340):
                scene = scene_parts(list(studio.segmenters))
            with gr.Column(min_width=340):
                film = film_parts()
        _wire_picture(studio, wiring, scene, film)
        _wire_object(studio, wiring, scene)
        _wire_prediction(studio, wiring, scene, film)
        _wire_editing(wiring, film)
        _wire_film(studio, wiring, scene, film)
        add_endpoints(studio)
        _wire_coming_and_going(studio, page, scene, film)
    return page


def look() -> dict[str, Any]:
    """Theme and style to launch the page with. Fonts are the system's: nothing is fetched from elsewhere."""
    gr = require("gradio", "the studio")
    fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    theme = gr.themes.Soft(primary_hue="emerald", font=fonts, font_mono=["ui-monospace", "monospace"])
    # White on the theme's own green is too faint to read.
    theme.set(button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_600")
    return {"theme": theme, "css": (STATIC / "page.css").read_text(encoding="utf-8")}


def _wire_picture(studio: Studio, wiring: Wiring, scene: SceneParts, film: FilmParts) -> None:
    gr = require("gradio", "the studio")
    outputs = [scene.board, scene.prompt, film.cards, film.board]

    def shown(session: Session, drawing: Drawing) -> list[Any]:
        prompt = drawing.prompt or gr.skip()
        return [scene_value(session), prompt, cards_value(session), trajectory_value(session)]

    for name, button in scene.samples.items():

        def load(session: Session, _: Data, name: str = name) -> list[Any]:
            return shown(session, steps.load_sample(session, name))

        wiring.step(button.click, load, scene.notice, outputs=outputs)

    def upload(session: Session, _: Data, path: str) -> list[Any]:
        file = Path(path)
        try:
            return shown(session, steps.load_file(session, file))
        finally:
            # What is worked on lies in the session's own folder.
            file.unlink(missing_ok=True)

    wiring.step(scene.upload.upload, upload, scene.notice, [scene.upload], outputs)


def _wire_object(studio: Studio, wiring: Wiring, scene: SceneParts) -> None:
    def segment(session: Session, data: Data, segmenter: str) -> list[Any]:
        steps.select(studio, session, data["prompt"], segmenter, _marked(data))
        return [scene_value(session)]

    def stroke(session: Session, data: Data) -> list[Any]:
        steps.drawn(session).paint(data["points"], data["width"], bool(data["add"]), _marked(data))
        return [scene_value(session)]

    def place(session: Session, data: Data) -> list[Any]:
        steps.place(session, Pose(**{name: float(data[name]) for name in ("right", "down", "scale", "rotate")}))
        return [scene_value(session)]

    def unplace(session: Session, _: Data) -> list[Any]:
        steps.place(session, None)
        return [scene_value(session)]

    def undo(session: Session, _: Data) -> list[Any]:
        steps.drawn(session).undo()
        return [scene_value(session)]

    def clear(session: Session, data: Data) -> list[Any]:
        steps.drawn(session).clear(_marked(data))
        return [scene_value(session)]

    board = scene.board

    def shown(session: Session) -> list[Any]:
        return [scene_value(session)]

    wiring.step(board.segment, segment, scene.notice, [scene.segmenter], [board], shown)
    rest = {"stroke": stroke, "place": place, "unplace": unplace, "undo": undo, "clear": clear}
    for name, act in rest.items():
        wiring.step(getattr(board, name), act, scene.notice, outputs=[board], refused=shown)


def _wire_prediction(studio: Studio, wiring: Wiring, scene: SceneParts, film: FilmParts) -> None:
    gr = require("gradio", "the studio")

    def predict(session: Session, *words: Any) -> Job:
        prompt, actor, seed, number, count = words
        wish = Wish(prompt or "", ACTORS[actor], int(seed or 0), int(number or 0) or None, int(count))
        return steps.predict(studio, session, wish)

    def show(session: Session, begun: bool) -> list[Any]:
        reading = "" if session.plan is None else session.plan.reading
        return [cards_value(session), remark(reading), trajectory_value(session) if begun else gr.skip()]

    inputs = [scene.prompt, scene.actor, scene.seed, scene.steps, scene.candidates]
    outputs = [film.cards, film.cards_notice, film.board]
    wiring.job(scene.predict.click, predict, scene.predict_notice, scene.progress, show, inputs, outputs)
    wiring.step(scene.cancel.click, _cancel, scene.predict_notice)

    def choose(session: Session, data: Data) -> list[Any]:
        steps.choose(session, int(data["index"]))
        return [cards_value(session), trajectory_value(session, fresh=True), _saved(session)]

    wiring.step(film.cards.choose, choose, film.cards_notice, outputs=[film.cards, film.board, film.save])


def _saved(session: Session) -> str:
    """A file of the chosen trajectory's edits."""
    path = session.folder / "edits.json"
    write_script(path, steps.editing(session).script)
    return str(path)


def _wire_editing(wiring: Wiring, film: FilmParts) -> None:
    gr = require("gradio", "the studio")

    def shown(session: Session, edits: Editing) -> list[Any]:
        said = "; ".join(str(finding) for finding in edits.findings)
        return [trajectory_value(session), remark(f"Look again: {said}." if said else ""), _saved(session)]

    def edit(session: Session, data: Data) -> list[Any]:
        edits = steps.editing(session)
        edits.edit(data)
        return shown(session, edits)

    def undo(session: Session, _: Data) -> list[Any]:
        edits = steps.editing(session)
        edits.undo()
        return shown(session, edits)

    def redo(session: Session, _: Data) -> list[Any]:
        edits = steps.editing(session)
        edits.redo()
        return shown(session, edits)

    def load(session: Session, _: Data, path: str) -> list[Any]:
        try:
            edits = steps.editing(session)
            edits.load(Path(path))
        finally:
            Path(path).unlink(missing_ok=True)
        return shown(session, edits)

    def refused(session: Session) -> list[Any]:
        return [trajectory_value(session), gr.skip(), gr.skip()]

    outputs = [film.board, film.findings, film.save]
    for name, act in {"edit": edit, "undo": undo, "redo": redo}.items():
        wiring.step(getattr(film.board, name), act, film.board_notice, outputs=outputs, refused=refused)
    wiring.step(film.load.upload, load, film.board_notice, [film.load], outputs)


def _wire_film(studio: Studio, wiring: Wiring, scene: SceneParts, film: FilmParts) -> None:
    outputs = _film_outputs(film)

    def show(session: Session, data: Data) -> list[Any]:
        return _film_values(film, session, int(data["number"]))

    def resume(session: Session, _: Data) -> list[Any]:
        steps.continue_from(session, session.results[-1].number if session.results else 0)
        return [scene_value(session), "", cards_value(session), trajectory_value(session)]

    def render(session: Session) -> Job:
        return steps.render(studio, session)

    def follow(session: Session, _: bool) -> list[Any]:
        return _film_values(film, session)

    wiring.job(film.render.click, render, film.notice, film.progress, follow, outputs=outputs)
    wiring.step(film.cancel.click, _cancel, film.notice)
    wiring.step(film.viewer.show, show, film.notice, outputs=outputs)
    begun = [scene.board, scene.prompt, film.cards, film.board]
    wiring.step(film.resume.click, resume, scene.notice, outputs=begun)


def _wire_coming_and_going(studio: Studio, page: Any, scene: SceneParts, film: FilmParts) -> None:
    """A page that is loaded again shows what it showed."""
    gr = require("gradio", "the studio")
    names = {who: said for said, who in ACTORS.items()}
    words = [scene.prompt, scene.actor, scene.seed, scene.steps, scene.candidates]
    outputs = [scene.board, film.cards, film.board, film.save, *words, *_film_outputs(film)]

    def come(request: Any, ticket: str) -> list[Any]:
        session = studio.sessions.take_up(request.session_hash, ticket) if ticket else None
        if session is None or session.drawing is None:
            return [gr.skip()] * len(outputs)
        asked: list[Any] = [session.drawing.prompt, *[gr.skip()] * (len(words) - 1)]
        if session.plan is not None:
            wish = session.plan.wish
            asked = [wish.prompt, names[wish.actor], wish.seed, wish.steps or 0, wish.candidates]
        boards = [scene_value(session), cards_value(session), trajectory_value(session, fresh=True)]
        saved = gr.skip() if session.chosen is None else _saved(session)
        return [*boards, saved, *asked, *_film_values(film, session)]

    def leave(request: Any) -> None:
        studio.sessions.leave(request.session_hash)

    come.__annotations__ = leave.__annotations__ = {"request": gr.Request}
    script = (STATIC / "ticket.js").read_text(encoding="utf-8")
    page.load(
        come, gr.Textbox(visible=False), outputs, js=script, show_progress="hidden", api_visibility="private",
        concurrency_limit=None,
    )  # fmt: skip
    page.unload(leave)


def _film_outputs(film: FilmParts) -> list[Any]:
    return [film.viewer, film.done, film.command, *film.files]


def _film_values(film: FilmParts, session: Session, number: int | None = None) -> list[Any]:
    """What :func:`_film_outputs` show: a result by its number, or the newest."""
    gr = require("gradio", "the studio")
    if not session.results:
        return [viewer_value(session), *[gr.skip()] * (len(_film_outputs(film)) - 1)]
    result = session.results[-1] if number is None else steps.result_of(session, number)
    return [viewer_value(session, number), gr.update(visible=True), result.take.command, *map(str, result.files)]


def _cancel(session: Session, _: Data) -> Sequence[Any]:
    if session.job is not None:
        session.job.cancel()
    return []


def _marked(data: Data) -> Marked:
    return cast(Marked, "actor" if data.get("marked") == "actor" else "object")
