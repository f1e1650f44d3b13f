"""Clips as pictures: a folder for each, as DAVIS lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mask2iv.data.index import index_line
from mask2iv.errors import InputError
from mask2iv.export.clips import Exported
from mask2iv.export.masks import write_palette_masks
from mask2iv.files import atomic_directory, disk_faults, write_json
from mask2iv.media.images import write_png


def export_frames(clips: Sequence[Exported], out: Path) -> None:
    """Writes every frame and mask of clips as pictures.

        DIR/JPEGImages/CLIP/00000.png    frames, lossless in spite of the folder's name, which is DAVIS's
        DIR/Annotations/CLIP/00000.png   palette pictures: 0 background, 1 actor, 2 object, 3 second actor
        DIR/ImageSets/SPLIT.txt          names of the clips of each split ("all" where there are none)
        DIR/clips.jsonl                  captions and the rest of the index; DIR/clips.json rate, size, provenance

    Raises:
        InputError: no clips, a damaged one, or a folder that cannot be written.
    """
    if not clips:
        raise InputError("clips", "there are none")
    first = clips[0].clips
    with atomic_directory(out) as folder, disk_faults(out):
        names: dict[str, list[str]] = {}
        for one in tqdm(clips, unit="clip", desc="frames"):
            clip = one.read()
            names.setdefault(one.split or "all", []).append(clip.clip_id)
            for index, picture in enumerate(clip.video):
                write_png(folder / "JPEGImages" / clip.clip_id / f"{index:05d}.png", picture)
            write_palette_masks(folder / "Annotations" / clip.clip_id, clip.trajectory.labels)
        (folder / "ImageSets").mkdir()
        for split, listed in names.items():
            text = "".join(f"{name}\n" for name in listed)
            (folder / "ImageSets" / f"{split}.txt").write_text(text, encoding="utf-8")
        lines = [index_line({**one.row, "split": one.split, "synthetic": one.synthetic}) for one in clips]
        (folder / "clips.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        provenance = list({id(one.clips): one.clips.info["provenance"] for one in clips}.values())
        write_json(folder / "clips.json", {"fps": first.fps, "size": list(first.size), "provenance": provenance})
