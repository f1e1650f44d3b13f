"""``mask2iv export``: clips, or generated videos, in the layouts of other programs.

Slow imports are made when the command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError

if TYPE_CHECKING:
    from mask2iv.export.clips import Exported


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Export:
    """Write clips in the layout of other programs.

        mask2iv export lerobot data/mine --out mine-lerobot      LeRobotDataset v3.0, masks as lossless pictures
        mask2iv export webdataset data/mine --out mine-shards    tar shards; train --data reads them as they are
        mask2iv export frames data/mine --out mine-frames        PNG frames and palette masks, as DAVIS has them
        mask2iv export masks data/mine --out masks --to coco     masks alone: arrays, coco, davis or sam2
        mask2iv export jobs data/mine --out jobs                 first frames, for generate --jobs jobs/jobs.jsonl
        mask2iv export lerobot generated --with-actions --out demos     with what an arm does, in physics

    CLIPS is a clip set, shards, a folder with one of them for each split, or what generate (also --jobs) wrote; its
    clips are marked as synthetic then.
    """

    to_format: Annotated[
        Literal["lerobot", "webdataset", "frames", "masks", "jobs"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FORMAT"),
    ]
    """lerobot, webdataset, frames, masks or jobs."""
    clips: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIPS")]
    """The clips."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder to write; must not exist or be empty. It appears once it is complete."""
    codec: Literal["auto", "av1", "h264"] = "auto"
    """lerobot: of the videos; auto takes AV1, the lerobot package's own choice, where it can be encoded here."""
    crf: Annotated[int | None, _optional("N")] = None
    """lerobot: quality of the videos, 1 (best) to 51; default: 30 for AV1, 18 for H.264."""
    with_actions: bool = False
    """lerobot: execute each clip by a robot arm in physics, planned from its masks; write observation.state and action,
    and keep those clips alone that keep within the arm's limits. For the robot's clips of mask2iv simulate, and for
    what was generated from their first frames (see jobs)."""
    only_successes: bool = False
    """--with-actions: keep those alone that do their action, by the criteria of docs/execution.md."""
    shard_size: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "256MB"
    """webdataset: a shard ends before it gets larger."""
    name: Annotated[str, tyro.conf.arg(metavar="NAME")] = "clips"
    """webdataset: how the shards' names begin."""
    to: Literal["arrays", "coco", "davis", "sam2"] = "davis"
    """masks: which form."""
    given: Literal["text", "target", "both"] = "text"
    """jobs: what says what shall happen: the caption, the object's last mask, or both."""
    limit: Annotated[int | None, _optional("N")] = None
    """Write only the first N clips."""

    def run(self) -> None:
        from mask2iv.config import parse_bytes
        from mask2iv.data.shards import write_shards
        from mask2iv.export.clips import listed, opened
        from mask2iv.export.frames import export_frames
        from mask2iv.export.jobs import export_jobs
        from mask2iv.export.lerobot import export_lerobot
        from mask2iv.export.masks import export_masks
        from mask2iv.files import disk_faults

        if self.limit is not None and self.limit < 1:
            raise InputError("limit", f"must be at least 1, found {self.limit}")
        if self.with_actions and self.to_format != "lerobot":
            raise InputError("with_actions", f"does not apply to {self.to_format}", "export to lerobot")
        if self.only_successes and not self.with_actions:
            raise InputError("only_successes", "says which clips with actions are kept", "add --with-actions")
        size = parse_bytes(self.shard_size, "shard_size")
        with opened(self.clips) as sets:
            clips = listed(sets)[: self.limit]
            if self.to_format == "lerobot":
                clips, told = self._with_actions(clips) if self.with_actions else (clips, None)
                export_lerobot(clips, self.out, self.codec, self.crf, told and {"rejected.json": told})
            elif self.to_format == "frames":
                export_frames(clips, self.out)
            elif self.to_format == "masks":
                export_masks(clips, self.out, self.to)
            elif self.to_format == "jobs":
                export_jobs(clips, self.out, self.given)
            else:
                chosen = {one.row["clip_id"] for one in clips}
                parts = [part for part in (one.where(chosen) for one in sets) if len(part)]
                with disk_faults(self.out):
                    write_shards(parts, self.out, self.name, size)
        synthetic = sum(one.synthetic for one in clips)
        print(f"{len(clips)} clips in {self.out}" + (f", {synthetic} of them marked as synthetic" if synthetic else ""))

    def _with_actions(self, clips: list[Exported]) -> tuple[list[Exported], dict[str, Any]]:
        """The clips that an arm can carry out, with what it does; and what becomes of all."""
        from mask2iv.extras import require

        require("mujoco", "execution", "execute")
        require("mink", "execution")

        from tqdm import tqdm

        from mask2iv.execution.demonstrations.clips import executed, report
        from mask2iv.export.lerobot import encoding_of
        from mask2iv.files import check_vacant

        encoding_of(clips, self.codec, self.crf)
        check_vacant(self.out)
        made = executed(clips, only_successes=self.only_successes)
        results = list(tqdm(made, total=len(clips), unit="clip", desc="execute"))
        told = report(results)
        reasons = ", ".join(f"{number} {reason}" for reason, number in told["reasons"].items())
        said = f"{told['kept']} of {told['of']} clips executed within the limits" + (
            f"; rejected: {reasons}" if reasons else ""
        )
        if not told["kept"]:
            raise InputError("clips", said, "docs/execution.md says what the reasons mean")
        print(said)
        return [one.clip for one in results if one.clip.motion is not None], told
