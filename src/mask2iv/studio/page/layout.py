"""Where everything stands on the page; nothing happens yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mask2iv.extras import require
from mask2iv.samples import sample_names
from mask2iv.studio.drawing import SUFFIXES
from mask2iv.studio.page.components import cards, notice, progress_line, scene_board, trajectory_board, viewer
from mask2iv.studio.planning import MOST_CANDIDATES, MOST_INFERENCE_STEPS, Actor

ACTORS: dict[str, Actor | None] = {"as the words say": None, "a hand": "hand", "a robot arm": "robot"}
"""Who acts, as the page says it."""


@dataclass(frozen=True)
class SceneParts:
    """Picture, object and instruction."""

    samples: dict[str, Any]
    upload: Any
    segmenter: Any
    board: Any
    notice: Any
    prompt: Any
    actor: Any
    seed: Any
    steps: Any
    candidates: Any
    predict: Any
    cancel: Any
    predict_notice: Any
    progress: Any


@dataclass(frozen=True)
class FilmParts:
    """Candidates and videos."""

    cards: Any
    cards_notice: Any
    board: Any
    board_notice: Any
    findings: Any
    load: Any
    save: Any
    render: Any
    cancel: Any
    notice: Any
    progress: Any
    viewer: Any
    files: list[Any]
    done: Any
    command: Any
    resume: Any


def scene_parts(segmenters: Sequence[str]) -> SceneParts:
    """The first column."""
    gr = require("gradio", "the studio")
    _heading(1, "Picture")
    with gr.Row():
        samples = {name: gr.Button(f"Sample: {name}", size="sm", min_width=110) for name in sample_names()}
        upload = gr.UploadButton("Upload a picture or video", file_types=list(SUFFIXES), size="sm", min_width=180)
    _heading(2, "Object")
    board = scene_board()
    segmenter = gr.Radio(
        list(segmenters), value=segmenters[0], label="What finds the object", visible=len(segmenters) > 1
    )
    scene_notice = notice("scene-notice")
    _heading(3, "What shall happen")
    prompt = gr.Textbox(
        label="Instruction",
        placeholder="a hand picking up a cup",
        info="In words; or drag the object to its end with “Place the end” above; or both.",
        max_length=1000,
    )
    with gr.Row():
        actor = gr.Radio(list(ACTORS), value="as the words say", label="Who acts", min_width=300)
        candidates = gr.Slider(1, MOST_CANDIDATES, 4, step=1, label="Candidates", min_width=160)
    with gr.Accordion("Seed and steps", open=False), gr.Row():
        seed = gr.Number(0, precision=0, minimum=0, label="Seed", info="Of the first candidate.", min_width=140)
        steps = gr.Number(
            0,
            precision=0,
            minimum=0,
            maximum=MOST_INFERENCE_STEPS,
            label="Sampling steps",
            info="Of each stage; 0 for the model's own.",
            min_width=140,
        )
    with gr.Row():
        predict = gr.Button("Predict trajectories", variant="primary", elem_id="predict")
        cancel = gr.Button("Cancel", elem_id="cancel-predict", min_width=90, scale=0)
    progress = progress_line("predict-progress")
    predict_notice = notice("predict-notice")
    return SceneParts(
        samples, upload, segmenter, board, scene_notice, prompt, actor, seed, steps, candidates, predict, cancel,
        predict_notice, progress,
    )  # fmt: skip


def film_parts() -> FilmParts:
    """The second column."""
    gr = require("gradio", "the studio")
    _heading(4, "Choose a trajectory")
    previews = cards()
    cards_notice = notice("cards-notice")
    _heading(5, "Look and change")
    board = trajectory_board()
    board_notice = notice("trajectory-notice")
    findings = notice("findings")
    with gr.Row(elem_id="edits-files"):
        save = gr.DownloadButton("Save the edits", size="sm", min_width=120, elem_id="save-edits")
        load = gr.UploadButton("Load edits", file_types=[".json"], size="sm", min_width=120)
    _heading(6, "Video")
    with gr.Row():
        render = gr.Button("Render the video", variant="primary", elem_id="render")
        cancel = gr.Button("Cancel", elem_id="cancel-render", min_width=90, scale=0)
    progress = progress_line("render-progress")
    film_notice = notice("film-notice")
    film = viewer()
    with gr.Column(visible=False, elem_id="done") as done:
        with gr.Row():
            names = ("Video (mp4)", "Trajectory (npz)", "Manifest (json)", "Everything (zip)")
            files = [gr.DownloadButton(name, size="sm", min_width=130) for name in names]
        command = gr.Textbox(
            label="The command that makes this video again",
            info="Run it in the folder that the zip unpacks to.",
            buttons=["copy"],
            interactive=False,
            lines=3,
            elem_id="command",
        )
        resume = gr.Button("Continue from the last frame", elem_id="resume")
    return FilmParts(
        cards=previews,
        cards_notice=cards_notice,
        board=board,
        board_notice=board_notice,
        findings=findings,
        load=load,
        save=save,
        render=render,
        cancel=cancel,
        notice=film_notice,
        progress=progress,
        viewer=film,
        files=files,
        done=done,
        command=command,
        resume=resume,
    )


def _heading(number: int, text: str) -> None:
    require("gradio", "the studio").HTML(f"<h2><span>{number}</span> {text}</h2>", elem_classes=["heading"])
