"""``mask2iv export``: clips, or generated videos, in the layouts of other programs.

Slow imports are made when the command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Export:
    """Write clips in the layout of other programs.

        mask2iv export lerobot data/mine --out mine-lerobot      LeRobotDataset v3.0, masks as lossless pictures
        mask2iv export webdataset data/mine --out mine-shards    tar shards; train --data reads them as they are
        mask2iv export frames data/mine --out mine-frames        PNG frames and palette masks, as DAVIS has them
        mask2iv export masks data/mine --out masks --to coco     masks alone: arrays, coco, davis or sam2

    CLIPS is a clip set, shards, a folder with one of them for each split, or what generate (also --jobs) wrote; its
    clips are marked as synthetic then.
    """

    to_format: Annotated[
        Literal["lerobot", "webdataset", "frames", "masks"], tyro.conf.Positional, tyro.conf.arg(metavar="FORMAT")
    ]
    """lerobot, webdataset, frames or masks."""
    clips: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIPS")]
    """The clips."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder to write; must not exist or be empty. It appears once it is complete."""
    codec: Literal["auto", "av1", "h264"] = "auto"
    """lerobot: of the videos; auto takes AV1, the lerobot package's own choice, where it can be encoded here."""
    crf: Annotated[int | None, _optional("N")] = None
    """lerobot: quality of the videos, 1 (best) to 51; default: 30 for AV1, 18 for H.264."""
    shard_size: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "256MB"
    """webdataset: a shard ends before it gets larger."""
    name: Annotated[str, tyro.conf.arg(metavar="NAME")] = "clips"
    """webdataset: how the shards' names begin."""
    to: Literal["arrays", "coco", "davis", "sam2"] = "davis"
    """masks: which form."""
    limit: Annotated[int | None, _optional("N")] = None
    """Write only the first N clips."""

    def run(self) -> None:
        from mask2iv.config import parse_bytes
        from mask2iv.data.shards import write_shards
        from mask2iv.export.clips import listed, opened
        from mask2iv.export.frames import export_frames
        from mask2iv.export.lerobot import export_lerobot
        from mask2iv.export.masks import export_masks
        from mask2iv.files import disk_faults

        if self.limit is not None and self.limit < 1:
            raise InputError("limit", f"must be at least 1, found {self.limit}")
        size = parse_bytes(self.shard_size, "shard_size")
        with opened(self.clips) as sets:
            clips = listed(sets)[: self.limit]
            if self.to_format == "lerobot":
                export_lerobot(clips, self.out, self.codec, self.crf)
            elif self.to_format == "frames":
                export_frames(clips, self.out)
            elif self.to_format == "masks":
                export_masks(clips, self.out, self.to)
            else:
                chosen = {one.row["clip_id"] for one in clips}
                parts = [part for part in (one.where(chosen) for one in sets) if len(part)]
                with disk_faults(self.out):
                    write_shards(parts, self.out, self.name, size)
        synthetic = sum(one.synthetic for one in clips)
        print(f"{len(clips)} clips in {self.out}" + (f", {synthetic} of them marked as synthetic" if synthetic else ""))
