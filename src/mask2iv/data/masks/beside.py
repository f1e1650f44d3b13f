"""Masks beside a video, found by their names.

NAME_masks/00000.png ...       pictures in the label colours, or of numbers (DAVIS, SAM 2): palette or grey
NAME_masks/00000.npy ...       arrays [H, W], bool or integers; also .npz, with arrays named actor and object
NAME_masks/001/00000.png ...   a folder for each instance, as SAM 2's scripts write; also .npy
NAME_masks.npy, .npz           the same as one array [T, H, W]
NAME_masks.json                run lengths in COCO's forms
NAME_labels.mp4, .npz          label colours as a video; labels as an array
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.data.masks.arrays import array_frames, arrays_of_folder, instances_of_folder
from mask2iv.data.masks.coco import coco_frames
from mask2iv.data.masks.frames import FIELD, MaskFrames, Numbers, is_number, labelled, read_masks
from mask2iv.errors import InputError
from mask2iv.files import numbered_files
from mask2iv.media.images import open_image
from mask2iv.media.streams import VIDEO_SUFFIXES
from mask2iv.media.videos import VideoInfo, scan_video, stored_frames
from mask2iv.trajectories.archives import open_labels
from mask2iv.trajectories.labels import painted_labels
from mask2iv.trajectories.storage import load_label_image

_DAVIS = ("JPEGImages", "Annotations")


def name_of(text: str) -> str:
    """A name as it is compared: composed characters, where macOS writes decomposed ones."""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class MasksBeside:
    """The masks of a recording, found when they are read.

    Attributes:
        video: the recording's file or folder.
        numbers: see :func:`find_masks`.
    """

    video: Path
    numbers: Numbers = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold masks of it."""
        found = masks_beside(self.video, name_of(self.video.stem))
        return tuple(file for one in found for file in (sorted(one.rglob("*")) if one.is_dir() else [one]))

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        """Labels of some frames; see :func:`find_masks` and :func:`~mask2iv.data.masks.frames.read_masks`."""
        masks = find_masks(self.video, name_of(self.video.stem), self.numbers)
        return read_masks(masks, indices, info, size)


def find_masks(video: Path, name: str, numbers: Numbers) -> MaskFrames:
    """The masks beside a video.

    Args:
        video: its file, or a folder of its frames; beside one below DAVIS's ``JPEGImages``, also the folder of the same
            name below ``Annotations``.
        name: the file's name without its ending, by :func:`name_of`.
        numbers: what actor and object are in masks that hold numbers in place of label colours.

    Raises:
        InputError: none, several, or damaged ones.
    """
    found = masks_beside(video, name)
    if not found:
        raise InputError(
            FIELD,
            f"none beside it; expected {name}_masks/, {name}_labels.mp4 or {name}_labels.npz with a mask for every "
            "frame",
            "mask2iv curate makes them",
        )
    if len(found) > 1:
        raise InputError(FIELD, f"found both {found[0].name} and {found[1].name}", "keep one")
    return open_masks(found[0], numbers)


def masks_beside(video: Path, name: str) -> list[Path]:
    """Files and folders that hold masks of a video, by name; none is opened. Arguments: see :func:`find_masks`."""
    found = sorted(path for path in video.parent.iterdir() if _holds_masks(path, name))
    if _DAVIS[0] in video.parts:
        twin = Path(*(_DAVIS[1] if part == _DAVIS[0] else part for part in video.parts))
        found += [twin] if twin.is_dir() else []
    return found


def open_masks(path: Path, numbers: Numbers) -> MaskFrames:
    """Masks in a file or folder, by its form.

    Raises:
        InputError: missing, damaged, or of no known form.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _of_folder(path, numbers)
    if suffix == ".json":
        return coco_frames(path, numbers)
    if suffix == ".npy" or (suffix == ".npz" and not path.stem.endswith("_labels")):
        return array_frames(path, numbers)
    if suffix == ".npz":
        with open_labels(path, FIELD) as archive:
            return MaskFrames(archive.shape[0], lambda indices: _of_archive(path, indices))
    return MaskFrames(len(scan_video(path, FIELD).times), lambda indices: _of_video(path, indices))


def _of_folder(path: Path, numbers: Numbers) -> MaskFrames:
    inner = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    if inner and all(one.is_dir() and is_number(one.name) for one in inner):
        return instances_of_folder(inner, numbers)
    if any(one.suffix.lower() in (".npy", ".npz") for one in inner):
        return arrays_of_folder(path, numbers)
    pictures = numbered_files(path, {".png"})
    if numbers is None:
        return MaskFrames(len(pictures), lambda indices: (load_label_image(pictures[i]) for i in indices))
    return MaskFrames(len(pictures), lambda indices: (_numbered(pictures[i], numbers) for i in indices))


def _holds_masks(path: Path, name: str) -> bool:
    """Whether a file or folder holds the masks of the video of this name."""
    if path.is_dir():
        return name_of(path.name) == f"{name}_masks"
    suffix, stem = path.suffix.lower(), name_of(path.stem)
    return (suffix in (*VIDEO_SUFFIXES, ".npz", ".npy") and stem == f"{name}_labels") or (
        suffix in (".npy", ".npz", ".json") and stem == f"{name}_masks"
    )


def _of_archive(path: Path, indices: Sequence[int]) -> Iterator[UInt8Array]:
    wanted = set(indices)
    with open_labels(path, FIELD) as archive:
        yield from (labels for index, labels in enumerate(archive.frames()) if index in wanted)


def _of_video(path: Path, indices: Sequence[int]) -> Iterator[UInt8Array]:
    for index, frame in zip(indices, stored_frames(path, indices, FIELD), strict=True):
        yield painted_labels(frame, f"frame {index} of {path.name}", FIELD)


def _numbered(path: Path, numbers: tuple[int, int]) -> UInt8Array:
    """Labels of a picture of numbers."""
    image = open_image(path, FIELD)
    if image.mode not in ("P", "L"):
        raise InputError(
            FIELD,
            f"{path} is an image of mode {image.mode}",
            "with actor_index and object_index, masks must be palette or grey images",
        )
    return labelled(np.asarray(image), numbers, str(path))
