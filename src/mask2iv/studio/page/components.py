"""Components that Gradio has not: HTML with a script of its own each, from the files in ``static/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mask2iv.extras import require

STATIC = Path(__file__).parent / "static"
_BOARD = ("boards/board.js", "boards/pose.js")


def scene_board() -> Any:
    """The picture, to mark the object on and to drag it to its end.

    Events: ``segment``, ``stroke``, ``place``, ``unplace``, ``undo``, ``clear``.
    """
    return _html("boards/scene", "boards/board.css", [*_BOARD, "boards/scene.js"], {}, elem_id="scene")


def trajectory_board() -> Any:
    """The chosen trajectory, to scrub through and to change. Events: ``edit``, ``undo``, ``redo``."""
    return _html("boards/trajectory", "boards/board.css", [*_BOARD, "boards/trajectory.js"], {}, elem_id="trajectory")


def cards() -> Any:
    """Candidates as moving previews. Event: ``choose``."""
    return _html("cards", "cards.css", ["cards.js"], {}, elem_id="candidates")


def progress_line(name: str) -> Any:
    """How far a job is."""
    return _html("progress", "progress.css", [], {}, elem_id=name)


def viewer() -> Any:
    """Videos, two of them under a slider if that is wanted. Event: ``show``."""
    return _html("viewer", "viewer.css", ["viewer.js"], {}, elem_id="viewer")


def notice(name: str) -> Any:
    """Where a step says what is wrong, or what is worth knowing."""
    return require("gradio", "the studio").HTML("", elem_id=name, elem_classes=["notice"])


def _html(template: str, style: str, scripts: list[str], value: dict[str, Any], elem_id: str) -> Any:
    gradio = require("gradio", "the studio")
    return gradio.HTML(
        value,
        html_template=_text(f"{template}.html"),
        css_template=_text(style),
        js_on_load="\n".join(map(_text, scripts)) or None,
        apply_default_css=False,
        elem_id=elem_id,
    )


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
