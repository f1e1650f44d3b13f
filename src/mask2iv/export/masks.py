"""Masks of clips in the forms of other tools; :mod:`mask2iv.data.masks` reads them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from mask2iv.contract import LABEL_COLOURS, BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.export.clips import Exported
from mask2iv.files import atomic_directory, disk_faults, write_json
from mask2iv.trajectories.runlength import rle_compress

MaskForm = Literal["arrays", "coco", "davis", "sam2"]
NAMES = {Label.ACTOR: "actor", Label.OBJECT: "object", Label.SECOND_ACTOR: "second actor"}


def export_masks(clips: Sequence[Exported], out: Path, form: MaskForm) -> None:
    """Writes the masks of clips under the names that are looked for beside a video CLIP.mp4.

        arrays   DIR/CLIP_masks/00000.npy       uint8 [H, W], values of Label
        coco     DIR/CLIP_masks.json            run lengths as of pycocotools, one annotation for each thing
        davis    DIR/CLIP_masks/00000.png       palette pictures, values of Label
        sam2     DIR/CLIP_masks/001/00000.png   a folder for each thing, its mask as 0 and 1, as SAM 2's scripts write

    In all of them the actor is 1, the object 2 and a second actor 3.

    Raises:
        InputError: no clips, a damaged one, or a folder that cannot be written.
    """
    if not clips:
        raise InputError("clips", "there are none")
    with atomic_directory(out) as folder, disk_faults(out):
        for one in tqdm(clips, unit="clip", desc="masks"):
            clip = one.read()
            labels, place = clip.trajectory.labels, folder / f"{clip.clip_id}_masks"
            if form == "coco":
                write_json(place.with_suffix(".json"), coco(labels, clip.clip_id, clip.fps))
            elif form == "davis":
                write_palette_masks(place, labels)
            elif form == "sam2":
                for label, masks in things(labels).items():
                    write_palette_masks(place / f"{label:03d}", masks.astype(np.uint8))
            else:
                place.mkdir(parents=True)
                for index, frame in enumerate(labels):
                    np.save(place / f"{index:05d}.npy", frame, allow_pickle=False)


def things(labels: UInt8Array) -> Mapping[int, BoolArray]:
    """Masks, bool [T, H, W], by the labels that occur in uint8 [T, H, W], but for the background."""
    return {int(label): labels == label for label in NAMES if (labels == label).any()}


def write_palette_masks(folder: Path, labels: UInt8Array) -> None:
    """Writes labels uint8 [T, H, W] as palette pictures 00000.png and on, in the label colours."""
    folder.mkdir(parents=True)
    for index, frame in enumerate(labels):
        image = Image.fromarray(frame, mode="L")
        image.putpalette(LABEL_COLOURS.tobytes())
        image.save(folder / f"{index:05d}.png", optimize=False)


def coco(labels: UInt8Array, name: str, fps: float) -> dict[str, object]:
    """Labels uint8 [T, H, W] as a video's COCO annotations (YouTube-VIS): ids and categories are labels."""
    count, height, width = labels.shape
    annotations = []
    for label, masks in things(labels).items():
        runs = [{"size": [height, width], "counts": rle_compress(mask)} if mask.any() else None for mask in masks]
        areas = [int(mask.sum()) or None for mask in masks]
        annotations.append(
            {"id": label, "video_id": 1, "category_id": label, "iscrowd": 0, "segmentations": runs, "areas": areas}
        )
    files = [f"{name}/{index:05d}.png" for index in range(count)]
    video = {"id": 1, "file_names": files, "height": height, "width": width, "length": count, "fps": fps}
    categories = [{"id": int(label), "name": word} for label, word in NAMES.items()]
    return {"videos": [video], "categories": categories, "annotations": annotations}
