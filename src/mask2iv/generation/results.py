"""What a generation writes: whole result folders, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, reason
from mask2iv.generation.options import Output
from mask2iv.media.animations import write_animation
from mask2iv.media.filmstrip import filmstrip, overlay
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.storage import save_trajectory_folder

_OURS = re.compile(
    r"(video|trajectory)\.(mp4|gif|webp)|trajectory|filmstrip\.png|object_mask\.png|(manifest|edits)\.json"
    r"|(sample|best)-\d{3,}|step-\d{2,}|scores\.json|candidates|candidates\.png"
)


def check_result_folder(output: Output, inputs: Sequence[Path]) -> Path:
    """The resolved output folder, if a result may stand there.

    Args:
        output: the flags.
        inputs: files and folders the run reads, which its result must not replace.

    Raises:
        InputError: the folder cannot be read, is filled, or holds what no run wrote or an input.
    """
    out = output.out.resolve()
    try:
        present = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    except OSError as error:
        raise InputError("out", f"cannot read the folder {out}: {reason(error)}", "choose another one") from error
    if present and not output.overwrite:
        raise InputError("out", f"the folder {out} is not empty", "choose another one, or ask to overwrite")
    foreign = [name for name in present if not _OURS.fullmatch(name)]
    if foreign:
        raise InputError(
            "overwrite", f"{out} holds {foreign[0]!r}, which no run of this command writes", "choose another folder"
        )
    for path in inputs:
        if out in (path.resolve(), *path.resolve().parents):
            raise InputError("out", f"the folder {out} holds the input {path}", "choose another one")
    return out


@contextmanager
def result_folder(output: Output, inputs: Sequence[Path]) -> Iterator[Path]:
    """Yields a temporary folder that becomes ``--out`` when the block succeeds; else nothing is left behind.

    Raises:
        InputError: as :func:`check_result_folder`, or the folder cannot be written.
    """
    out = check_result_folder(output, inputs)
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(atomic_directory(out, output.overwrite))
            except InputError as error:
                raise error.within("out") from error
            yield folder
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def write_trajectory(folder: Path, trajectory: Trajectory, comment: str | None = None) -> None:
    """Writes ``trajectory/`` and ``trajectory.mp4``, this with a comment in its metadata."""
    save_trajectory_folder(trajectory, folder / "trajectory")
    write_video(folder / "trajectory.mp4", labels_to_rgb(trajectory.labels), trajectory.fps, comment=comment)


def write_animations(folder: Path, output: Output, name: str, frames: UInt8Array, fps: float) -> None:
    """Writes ``name`` as the animated pictures that are asked for; frames uint8 [T, H, W, 3]."""
    for suffix in output.animations:
        write_animation(folder / f"{name}{suffix}", frames, fps)


def write_filmstrip(
    folder: Path, pictures: tuple[str, UInt8Array], trajectory: Trajectory, video: UInt8Array | None
) -> None:
    """Writes ``filmstrip.png``: input, trajectory and, where there is one, video.

    Args:
        folder: where to.
        pictures: caption and pictures of the input row, uint8 [N, H, W, 3].
        trajectory: T frames.
        video: uint8 [T, H, W, 3].
    """
    rows = [pictures, ("trajectory", labels_to_rgb(trajectory.labels))]
    if video is not None:
        rows.append(("video", video))
    write_png(folder / "filmstrip.png", filmstrip(rows))


def input_pictures(scene: Scene) -> tuple[str, UInt8Array]:
    """The input row of a filmstrip: the picture, then with object (and actor), then with the target where given.

    Args:
        scene: at the result's size.
    """
    painted = [np.zeros_like(scene.labels), scene.labels]
    if scene.target_labels is not None:
        painted.append(scene.target_labels)
    names = "picture, object" + (", target" if len(painted) == 3 else "")
    pictures = overlay(np.stack([scene.image] * len(painted)), np.stack(painted))
    return f"{scene.prompt or 'no prompt'} ({names})", pictures
