"""Clips as jobs: what ``mask2iv generate --jobs`` needs to make a video of its own from each clip's first frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from mask2iv.errors import InputError
from mask2iv.export.clips import Exported
from mask2iv.files import atomic_directory, disk_faults
from mask2iv.media.images import write_png

Given = Literal["text", "target", "both"]


def export_jobs(clips: Sequence[Exported], out: Path, given: Given = "text") -> None:
    """Writes a job for each clip, which has the clip's name.

        DIR/jobs.jsonl             one line for each clip
        DIR/CLIP/image.png         its first frame
        DIR/CLIP/object_mask.png   its object there; actor_mask.png where the actor is seen
        DIR/CLIP/target_mask.png   where the object ends, if that is given

    Args:
        clips: of any kind.
        out: a folder that does not exist or is empty.
        given: whether the caption, the object's last mask, or both say what shall happen.

    Raises:
        InputError: no clips, a damaged one, or a folder that cannot be written.
    """
    if not clips:
        raise InputError("clips", "there are none")
    with atomic_directory(out) as folder, disk_faults(out):
        lines = []
        for one in tqdm(clips, unit="clip", desc="jobs"):
            clip = one.read()
            place = folder / clip.clip_id
            pictures = {"image": clip.image, "object_mask": clip.object_mask}
            actor = clip.trajectory.actor[0]
            if actor.any():
                pictures["actor_mask"] = actor
            if given != "text":
                pictures["target_mask"] = clip.target_mask
            place.mkdir()
            job = {"id": clip.clip_id}
            for name, picture in pictures.items():
                write_png(place / f"{name}.png", picture)
                job[name] = f"{clip.clip_id}/{name}.png"
            if given != "target":
                job["prompt"] = clip.caption
            lines.append(json.dumps(job) + "\n")
        (folder / "jobs.jsonl").write_text("".join(lines), encoding="utf-8")
