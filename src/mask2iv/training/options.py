"""The options of a training run. Folders and numbers are checked here, before PyTorch loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.data.splits import open_clips
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError, within
from mask2iv.pipelines.folder import model_folder, read_index


def held_out_count(clips: int) -> int:
    """Number of a set's clips held out for validation if no other set is given: 5 %, between 1 and 64."""
    return min(64, max(1, clips // 20))


def held_out_start(clips: ClipSet) -> int:
    """Index of the first clip held out if no other set is given; see :func:`held_out_count`.

    Raises:
        InputError: there is only one clip.
    """
    if len(clips) < 2:
        raise InputError(
            "data",
            f"{clips.directory} holds one clip; at least 2 are needed, one is held out for validation",
            "add clips, or give another set for validation",
        )
    return len(clips) - held_out_count(len(clips))


@dataclass
class TrainingOptions:
    """What to train, on which clips, and from which weights."""

    component: Annotated[
        Literal["vae", "encoders", "painter", "planner", "trajectory", "video", "reference"], tyro.conf.Positional
    ]
    """What to train. Later components need the earlier ones in --out."""
    data: Path
    """Clip set to train on, or shards of one (export webdataset)."""
    out: Path
    """Model folder; components trained before are read from it, the new one is written into it."""
    held_out: Path | None = None
    """Clip set for validation; default: the last 5 % of --data (1 to 64 clips), which are then not trained on."""
    limit: int | None = None
    """Train on this many clips only, the first ones."""
    resume_from_checkpoint: str | None = None
    """Checkpoint folder to resume from; "latest" resumes where the run stopped, or starts it."""
    initial_weights: str | None = None
    """Start painter, planner, a stage or the reference decoder from the networks of this model (a folder, or
    "embedded") instead of random ones."""
    complete: bool = False
    """Also take everything else that --out lacks from --initial-weights, untrained, so that it is a whole model."""
    image_to_video: Path | None = None
    """Start stage 1 or 2 from the image-to-video network of this folder (variant dynamicrafter) instead, as the paper
    starts from DynamiCrafter; its weights stay with the first input channels, those of further ones start at zero."""
    add_words: bool = False
    """Add the captions' unknown words to a text encoder with a closed vocabulary; without this, only warn of them."""
    cache: Path | None = None
    """Folder for cached latents, which models with the same encoders may share; default: one in --out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto uses a GPU if there is one."""
    threads: int = 0
    """CPU threads; 0 for PyTorch's default."""

    def clips(self) -> tuple[ClipSet, ClipSet]:
        """Clips to train on, and clips for validation.

        Raises:
            InputError: a set that cannot be read, or a limit that it does not have.
        """
        with within("data"):
            every = open_clips(self.data)
        if self.held_out is not None:
            with within("held_out"):
                count, held_out = len(every), open_clips(self.held_out)
        else:
            count = held_out_start(every)
            held_out = every.subset(count, len(every))
        if self.limit is not None and not 1 <= self.limit <= count:
            raise InputError("limit", f"must be 1 to {count}, the number of training clips, found {self.limit}")
        return every.subset(0, self.limit or count), held_out

    def starting_folder(self) -> Path | None:
        """The model folder whose networks training starts from; None for random ones.

        Raises:
            InputError: two are given, the component does not start from one, or it is no model folder or `out` itself.
        """
        given = {"initial_weights": self.initial_weights, "image_to_video": self.image_to_video}
        given = {field: value for field, value in given.items() if value is not None}
        if not given:
            return None
        if len(given) > 1:
            raise InputError(
                "initial_weights", "image_to_video is given too; training starts from one of them", "leave one out"
            )
        [(field, value)] = given.items()
        stages = ("trajectory", "video")
        allowed = stages if field == "image_to_video" else ("painter", "planner", *stages, "reference")
        if self.component not in allowed:
            raise InputError(field, f"is for {', '.join(allowed)}, not for {self.component}", "leave it out")
        folder = model_folder(str(value), field)
        read_index(folder, field)
        if folder.resolve() == self.out.resolve():
            # The run would replace what it started from, and could not be resumed.
            raise InputError(field, f"{folder} is the output folder too", "choose another output folder")
        return folder
