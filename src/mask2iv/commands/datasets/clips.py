"""``mask2iv clips``: a clip set to train on, from a folder of your own videos, masks and captions.

Slow imports are made when the command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mask2iv.contract import Fit
from mask2iv.errors import InputError

if TYPE_CHECKING:
    from mask2iv.data.folder import FolderConfig, Source

SKIPPED = "skipped.json"
_SHOWN = 5


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Clips:
    """Make a clip set from a folder of your own videos.

        FOLDER/NAME.mp4             the video (also mov, mkv, webm, avi, m4v)
        FOLDER/NAME_masks/0000.png  a mask for every frame: actor green, object red, background black
        FOLDER/captions.csv         clip, caption, verb, object, actor (hand or robot); clip is NAME

    In place of NAME_masks/ there may be NAME_labels.mp4 or NAME_labels.npz. Exit status 3: some clips were skipped.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """The videos, masks and captions."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the clip set; must not exist or be empty. It appears once everything is done."""
    size: Annotated[str, tyro.conf.arg(metavar="HxW")] = "160x256"
    """Picture size, HEIGHTxWIDTH in pixels: the model's (embedded: 160x256, DynamiCrafter-512: 320x512)."""
    frames: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    """Frames of a clip: the model's."""
    fps: Annotated[float, tyro.conf.arg(metavar="RATE")] = 8.0
    """Frame rate of the clips."""
    take: Literal["whole", "start", "windows"] = "whole"
    """Which frames, by their time stamps: spread over the whole video, so that the clip shows all of the action
    whatever its speed; from the start at --fps; or as many clips at --fps as fit into the video."""
    fit: Fit = "crop"
    """How a video of another aspect ratio gets the size: crop it (around what the masks show), pad it with black
    borders, stretch it, or as the original code does: centre, the middle of the video at --fit-scale."""
    fit_scale: Annotated[float | None, _optional("S")] = None
    """With --fit centre: the shorter side becomes S times the height. The original's: 1.2 for HOI4D, 1 for Bridge."""
    actor_index: Annotated[int | None, _optional("N")] = None
    """For masks of numbers (palette index or grey value) in place of colours: the actor's number."""
    object_index: Annotated[int | None, _optional("N")] = None
    """The object's number."""
    skip_bad: bool = False
    """Leave out unusable clips and list them in skipped.json. Otherwise one of them stops everything."""

    def run(self) -> int:
        from mask2iv.data.folder import FolderConfig, find_sources
        from mask2iv.generation.values import parse_size

        size = parse_size(self.size)
        config = FolderConfig(
            size=size,
            num_frames=self.frames,
            fps=self.fps,
            take=self.take,
            fit=self.fit,
            fit_scale=self.fit_scale,
            actor_index=self.actor_index,
            object_index=self.object_index,
        )
        sources, problems = find_sources(self.folder)
        return self._write(sources, problems, config)

    def _write(self, sources: list[Source], problems: dict[str, str], config: FolderConfig) -> int:
        from tqdm import tqdm

        from mask2iv import __version__
        from mask2iv.config import to_dict
        from mask2iv.data.folder import read_clips
        from mask2iv.data.store import ClipSetWriter
        from mask2iv.files import atomic_directory, disk_faults, write_json
        from mask2iv.generation.jobs.run import SOME_FAILED

        provenance = {"generator": "mask2iv clips", "version": __version__, **to_dict(config)}
        made = without_target = 0
        total = len(sources) + len(problems)
        with (
            atomic_directory(self.out) as folder,
            disk_faults(self.out),
            ClipSetWriter(folder, config.size, config.num_frames, config.fps, provenance) as writer,
        ):
            for source in tqdm(sources, unit="video", desc="clips"):
                try:
                    clips = read_clips(source, config)
                except InputError as error:
                    problems[source.video.name] = str(_in_flags(error))
                    continue
                made += len(clips)
                if problems and not self.skip_bad:
                    continue  # Nothing will be written, but all problems are reported together.
                for clip in clips:
                    writer.add(clip)
                    without_target += not clip.target_mask.any()
            if problems and (not self.skip_bad or not made):
                raise _unusable(problems, total, bool(made))
            if problems:
                write_json(folder / SKIPPED, problems)
        print(f"{made} clips in {self.out}")
        if without_target:
            print(
                f"{without_target} of them end without the object in view: no target position can be learnt from them"
            )
        for name, why in problems.items():
            print(f"mask2iv: skipped {name}: {why}", file=sys.stderr)
        return SOME_FAILED if problems else 0


def _in_flags(error: InputError) -> InputError:
    flags = {"num_frames": "--frames", "fps": "--fps"}
    return error.about(flags.get(error.field, error.field))


def _unusable(problems: dict[str, str], total: int, some_left: bool) -> InputError:
    """One error that lists all problems."""
    listed = [f"{name}: {why}" for name, why in list(problems.items())[:_SHOWN]]
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    remedy = "mend them, or leave them out with --skip-bad" if some_left else "mend them"
    return InputError("folder", f"{len(problems)} of {total} videos cannot be used: {'; '.join(listed)}{more}", remedy)
