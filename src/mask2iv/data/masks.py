"""Masks beside a video of one's own: pictures, a label video or an array, of which only the frames needed are read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mask2iv.contract import Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import numbered_files
from mask2iv.media.images import open_image, resize_mask
from mask2iv.media.streams import VIDEO_SUFFIXES
from mask2iv.media.videos import VideoInfo, scan_video, stored_frames
from mask2iv.trajectories.archives import open_labels
from mask2iv.trajectories.labels import painted_labels
from mask2iv.trajectories.storage import load_label_image

_FIELD = "masks"


@dataclass(frozen=True)
class MaskFrames:
    """Masks of a video.

    Attributes:
        total: number of frames.
        read: gives the labels, uint8 [H, W], of the frames with the given rising indices, one by one.
    """

    total: int
    read: Callable[[Sequence[int]], Iterator[UInt8Array]]


def name_of(text: str) -> str:
    """A name as it is compared: composed characters, where macOS writes decomposed ones."""
    return unicodedata.normalize("NFC", text)


def find_masks(video: Path, name: str, numbers: tuple[int, int] | None) -> MaskFrames:
    """The masks beside a video.

    Args:
        video: its file.
        name: the file's name without its ending, by :func:`name_of`.
        numbers: what actor and object are in mask pictures that hold numbers in place of label colours.

    Raises:
        InputError: none, several, or damaged ones.
    """
    found = masks_beside(video, name)
    if not found:
        raise InputError(
            _FIELD,
            f"none beside it; expected {name}_masks/, {name}_labels.mp4 or {name}_labels.npz with a mask for every "
            "frame",
            "make them with a video segmenter (this program does not segment videos yet)",
        )
    if len(found) > 1:
        raise InputError(_FIELD, f"found both {found[0].name} and {found[1].name}", "keep one")
    path = found[0]
    if path.is_dir():
        pictures = numbered_files(path, {".png"})
        if numbers is None:
            return MaskFrames(len(pictures), lambda indices: (load_label_image(pictures[i]) for i in indices))
        return MaskFrames(len(pictures), lambda indices: (_numbered(pictures[i], *numbers) for i in indices))
    if path.suffix.lower() == ".npz":
        with open_labels(path, _FIELD) as archive:
            return MaskFrames(archive.shape[0], lambda indices: _of_archive(path, indices))
    return MaskFrames(len(scan_video(path, _FIELD).times), lambda indices: _of_video(path, indices))


def masks_beside(video: Path, name: str) -> list[Path]:
    """Files and folders that hold masks of a video, by name; none is opened. Arguments: see :func:`find_masks`."""
    return sorted(path for path in video.parent.iterdir() if _holds_masks(path, name))


def read_masks(masks: MaskFrames, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
    """Labels of some frames of a video, resized as they are read.

    Args:
        masks: of the video.
        indices: of the frames, rising.
        info: the video's.
        size: (H, W) of the result.

    Returns:
        uint8 [len(indices), H, W].

    Raises:
        InputError: another number of masks than frames, or masks that have neither the video's size in square pixels
            nor that of its stored ones.
    """
    if not masks.total:
        raise InputError(_FIELD, "there are none in the file", "give one for each frame of the video")
    kept = np.empty((len(indices), *size), dtype=np.uint8)
    for row, labels in enumerate(masks.read(indices)):
        if masks.total != len(info.times) or labels.shape not in (info.size, info.stored_size):
            raise InputError(
                _FIELD,
                f"found {_extent(masks.total, labels.shape)} for a video of {_extent(len(info.times), info.size)}",
                "give one mask of the video's size for each of its frames",
            )
        if int(labels.max()) > max(Label):
            raise InputError(_FIELD, f"frame {indices[row]} holds the value {labels.max()}, which is no label")
        kept[row] = resize_mask(labels, size)
    return kept


def _holds_masks(path: Path, name: str) -> bool:
    """Whether a file or folder holds the masks of the video of this name."""
    if path.is_dir():
        return name_of(path.name) == f"{name}_masks"
    return path.suffix.lower() in (*VIDEO_SUFFIXES, ".npz") and name_of(path.stem) == f"{name}_labels"


def _extent(total: int, size: tuple[int, ...]) -> str:
    """Number and size (H, W) of frames, in words."""
    return f"{total} frames of {size[1]}x{size[0]} pixels"


def _of_archive(path: Path, indices: Sequence[int]) -> Iterator[UInt8Array]:
    wanted = set(indices)
    with open_labels(path, _FIELD) as archive:
        yield from (labels for index, labels in enumerate(archive.frames()) if index in wanted)


def _of_video(path: Path, indices: Sequence[int]) -> Iterator[UInt8Array]:
    for index, frame in zip(indices, stored_frames(path, indices, _FIELD), strict=True):
        yield painted_labels(frame, f"frame {index} of {path.name}", _FIELD)


def _numbered(path: Path, actor: int, target: int) -> UInt8Array:
    """Labels of a picture of numbers."""
    image = open_image(path, _FIELD)
    if image.mode not in ("P", "L"):
        raise InputError(
            _FIELD,
            f"{path} is an image of mode {image.mode}",
            "with actor_index and object_index, masks must be palette or grey images",
        )
    numbers = np.asarray(image)
    labels = np.zeros(numbers.shape, dtype=np.uint8)
    labels[numbers == actor] = Label.ACTOR
    labels[numbers == target] = Label.OBJECT
    return labels
