"""What the components are given to show: plain values, pictures as data addresses."""

from __future__ import annotations

import base64
import io
import itertools
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from mask2iv.contract import LABEL_COLOURS, BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.images import encode_jpeg
from mask2iv.studio.sessions import Session
from mask2iv.studio.worker import Job
from mask2iv.trajectories.scoring.score import WEIGHTS

_serial = itertools.count()

LABELS = {
    "picture": "Picture",
    "selection": "Object",
    "object": "Object",
    "object_mask": "Object",
    "actor_mask": "Hand or arm in the picture",
    "target": "End position",
    "target_mask": "End position",
    "prompt": "What shall happen",
    "actor": "Who acts",
    "seed": "Seed",
    "steps": "Sampling steps",
    "candidates": "Candidates",
    "candidate": "Trajectories",
    "segmenter": "What finds the object",
    "edit": "The change",
    "edits": "Edits",
    "result": "Results",
}
"""Names of fields as the page labels its controls."""


def told(error: InputError) -> tuple[str, str]:
    """An error for people: the control's label, and what is wrong with what to do, as one sentence each."""
    label = LABELS.get(error.field, error.field)
    return label, " ".join(_sentence(part) for part in (error.problem, error.remedy) if part)


def _sentence(text: str) -> str:
    # A file's name keeps its letters.
    begins = text[0] if "." in text.split()[0] else text[0].upper()
    return begins + text[1:].rstrip(".") + "."


def alert(error: InputError) -> str:
    """An error as it stands in the step where it arose."""
    label, text = told(error)
    return f'<p role="alert"><b>{escape(label)}</b> {escape(text)}</p>'


def remark(text: str) -> str:
    """What is worth knowing; "" for nothing."""
    return f'<p role="status" class="remark">{escape(text)}</p>' if text else ""


def scene_value(session: Session) -> dict[str, Any]:
    """The value of the scene board."""
    drawing = session.drawing
    if drawing is None:
        return {"serial": next(_serial)}
    height, width = drawing.size
    return {
        "serial": next(_serial),
        "width": width,
        "height": height,
        "image": address(encode_jpeg(drawing.picture, 90), "image/jpeg"),
        "object": mask_address(drawing.mask()),
        "actor": mask_address(drawing.mask("actor")),
        "target": mask_address(drawing.given_target),
        "pose": None if drawing.pose is None else vars(drawing.pose),
    }


def cards_value(session: Session) -> dict[str, Any]:
    """The value of the cards: the best candidate first."""
    if session.plan is None:
        return {"cards": []}
    ranked = session.plan.ranked
    cards = [
        {
            "index": index,
            "seed": one.seed,
            "preview": address(one.preview, "image/webp"),
            "chosen": index == session.chosen,
            "total": f"{one.scores.total:.2f}",
            "scores": [
                {"name": name, "text": f"{value:.2f}"}
                for name, value in one.scores.record.items()
                if name in WEIGHTS and value is not None
            ],
        }
        for index, one in ranked
    ]
    return {"cards": cards, "ranked": len(ranked) > 1}


def trajectory_value(session: Session, fresh: bool = False) -> dict[str, Any]:
    """The value of the trajectory board; `fresh` for another trajectory than before, which is shown from its end."""
    plan, edits = session.plan, None if session.chosen is None else session.edits[session.chosen]
    if plan is None or plan.scene is None or edits is None:
        return {"serial": next(_serial)}
    labels = edits.trajectory.labels
    pixels = np.zeros((*labels.shape, 4), dtype=np.uint8)
    pixels[..., :3] = LABEL_COLOURS[labels]
    pixels[..., 3] = (labels > 0) * np.uint8(255)
    count, height, width = labels.shape
    return {
        "serial": next(_serial),
        "fresh": fresh,
        "width": width,
        "height": height,
        "frames": count,
        "fps": edits.trajectory.fps,
        "image": address(encode_jpeg(plan.scene.image, 92), "image/jpeg"),
        "sprite": png_address(pixels.reshape(count * height, width, 4), "RGBA"),
        "contacts": edits.contacts,
        "undoable": edits.undoable,
        "redoable": edits.redoable,
    }


def progress_value(job: Job | None) -> dict[str, Any]:
    """The value of a progress line; empty once the job is finished."""
    if job is None or job.finished:
        return {}
    progress = job.progress
    text = f"{progress.done} of {progress.total} steps" if progress.total else ""
    if progress.seconds_left is not None:
        text += f", about {max(1, round(progress.seconds_left))} s left"
    return {"doing": "Stopping" if job.cancelled else progress.doing, "text": text, "share": progress.share}


def viewer_value(session: Session, shown: int | None = None) -> dict[str, Any]:
    """The value of the viewer; it shows a result by its number, or the newest."""
    results = [
        {"number": result.number, "title": result.take.title, "video": file_address(result.folder / "video.mp4")}
        for result in session.results
    ]
    return {"results": results, "shown": shown or (results[-1]["number"] if results else None)}


def file_address(path: Path) -> str:
    """Where the browser finds a file of a session. Its folder's name is not to be guessed."""
    return f"gradio_api/file={quote(str(path))}"


def mask_address(mask: BoolArray | None) -> str | None:
    """A mask bool [H, W] as white with alpha."""
    if mask is None:
        return None
    pixels = np.full((*mask.shape, 2), 255, dtype=np.uint8)
    pixels[..., 1] = mask * np.uint8(255)
    return png_address(pixels, "LA")


def png_address(pixels: UInt8Array, mode: str) -> str:
    """Pixels uint8 [H, W, C] of a Pillow mode as PNG."""
    file = io.BytesIO()
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    image.save(file, "PNG", compress_level=3)
    return address(file.getvalue(), "image/png")


def address(content: bytes, kind: str) -> str:
    """Content as a data address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
