"""Masks and mask trajectories: colours, measures, run lengths, and their files.

A trajectory lives as labels (uint8, values of :class:`~mask2iv.contract.Label`) everywhere but in the autoencoder,
which takes three channels and so sees the label colours (paper, section 3.2). Coordinates are (y, x) in pixels, with
the centre of the top left pixel at (0, 0).
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mask2iv.contract import LABEL_COLOURS, BoolArray, Label, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import (
    MAX_IMAGE_PIXELS,
    atomic_directory,
    atomic_write,
    numbered_files,
    open_image,
    read_json,
    reason,
    write_json,
)
from mask2iv.morphology import contact_map, contact_map_tensor, dilate, erode, perturb_labels

__all__ = [
    "area",
    "areas",
    "centroid",
    "centroids",
    "contact_map",
    "contact_map_tensor",
    "dilate",
    "erode",
    "iou",
    "labels_to_rgb",
    "labels_to_tensor",
    "load_mask",
    "load_trajectory",
    "perturb_labels",
    "rgb_to_labels",
    "rle_decode",
    "rle_encode",
    "save_trajectory_file",
    "save_trajectory_folder",
    "tensor_to_labels",
    "trajectory_iou",
]

DEFAULT_FPS = 8.0
"""Frame rate of a folder of frames that does not state one (the contract's default)."""
MAX_TRAJECTORY_PIXELS = 1_000_000_000
COLOUR_TOLERANCE = 32
"""How far, per channel of 255, a stored colour may lie from a label colour and still mean it."""
_LABELS_MEMBER = "labels.npy"
_PREDICTED_LABELS = (int(Label.BACKGROUND), int(Label.ACTOR), int(Label.OBJECT))


# --- labels and colours


def labels_to_rgb(labels: UInt8Array) -> UInt8Array:
    """Paints labels, uint8 [..., H, W] -> uint8 [..., H, W, 3] in the label colours."""
    painted: UInt8Array = LABEL_COLOURS[labels]
    return painted


def rgb_to_labels(rgb: UInt8Array, labels: Sequence[int] = _PREDICTED_LABELS) -> UInt8Array:
    """Snaps each pixel to the nearest label colour, uint8 [..., 3] -> uint8 [...].

    Args:
        rgb: colours.
        labels: the labels to choose from; of equally near ones the first wins.
    """
    pixels = rgb.astype(np.int32)
    nearest = np.full(rgb.shape[:-1], labels[0], dtype=np.uint8)
    best = np.full(rgb.shape[:-1], np.iinfo(np.int32).max, dtype=np.int32)
    for label in labels:
        distance = np.square(pixels - LABEL_COLOURS[label].astype(np.int32)).sum(axis=-1)
        closer = distance < best
        nearest[closer] = label
        best[closer] = distance[closer]
    return nearest


def labels_to_tensor(labels: torch.Tensor) -> torch.Tensor:
    """Paints labels for the autoencoder, uint8 [B, T, H, W] -> float32 [B, 3, T, H, W] in [-1, 1]."""
    colours = torch.from_numpy(LABEL_COLOURS).to(labels.device, torch.float32) / 127.5 - 1.0
    return colours[labels.long()].permute(0, 4, 1, 2, 3).contiguous()


def tensor_to_labels(x: torch.Tensor, labels: Sequence[int] = _PREDICTED_LABELS) -> torch.Tensor:
    """Snaps a decoded trajectory to labels, float [B, 3, T, H, W] in [-1, 1] -> uint8 [B, T, H, W]."""
    colours = torch.from_numpy(LABEL_COLOURS[list(labels)]).to(x.device, torch.float32) / 127.5 - 1.0
    distances = [(x.float() - colour.view(1, 3, 1, 1, 1)).square().sum(dim=1) for colour in colours]
    choice = torch.stack(distances).argmin(dim=0)
    return torch.tensor(list(labels), dtype=torch.uint8, device=x.device)[choice]


# --- measures


def area(mask: BoolArray) -> int:
    """Number of pixels in a mask, bool [H, W]."""
    return int(np.count_nonzero(mask))


def centroid(mask: BoolArray) -> tuple[float, float] | None:
    """Mean (y, x) of a mask's pixels, bool [H, W]; None when it is empty."""
    rows, columns = np.nonzero(mask)
    return (float(rows.mean()), float(columns.mean())) if len(rows) else None


def iou(a: BoolArray, b: BoolArray) -> float:
    """Intersection over union of two masks of one shape, in [0, 1]; two empty masks agree fully, 1.0."""
    if a.shape != b.shape:
        raise InputError(f"masks to compare must have one shape, found {list(a.shape)} and {list(b.shape)}")
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def trajectory_iou(a: Trajectory, b: Trajectory, label: int) -> float:
    """:func:`iou` of one label's masks, frame by frame, averaged over the frames."""
    if a.labels.shape != b.labels.shape:
        raise InputError(
            f"trajectories to compare must share T, H, W, found {list(a.labels.shape)} and {list(b.labels.shape)}"
        )
    return float(np.mean([iou(x == label, y == label) for x, y in zip(a.labels, b.labels, strict=True)]))


def centroids(trajectory: Trajectory, label: int) -> NDArray[np.float64]:
    """Centre (y, x) of a label in each frame, float64 [T, 2] in pixels; NaN where it is absent."""
    found = [centroid(frame == label) or (np.nan, np.nan) for frame in trajectory.labels]
    return np.array(found, dtype=np.float64)


def areas(trajectory: Trajectory, label: int) -> NDArray[np.int64]:
    """Pixels of a label in each frame, int64 [T]."""
    return np.array([area(frame == label) for frame in trajectory.labels], dtype=np.int64)


# --- run lengths


def rle_encode(mask: BoolArray) -> dict[str, list[int]]:
    """Run lengths of a mask, bool [H, W], as COCO's uncompressed form: ``{"size": [H, W], "counts": [...]}``.

    Pixels are read down the columns, first column first; the counts alternate between off and on and begin with off
    (zero when the first pixel is on).
    """
    pixels = np.asarray(mask, dtype=np.bool_).ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    starts_on = bool(pixels.size and pixels[0])
    return {"size": [int(side) for side in mask.shape], "counts": [0, *counts] if starts_on else counts}


def rle_decode(rle: dict[str, list[int]]) -> BoolArray:
    """The mask, bool [H, W], of what :func:`rle_encode` returns. Raises InputError when the counts do not fit."""
    try:
        height, width = (int(side) for side in rle["size"])
        counts = np.array(rle["counts"], dtype=np.int64).reshape(-1)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError('run lengths must be {"size": [H, W], "counts": [integers]}') from error
    if not 0 < height * width <= MAX_IMAGE_PIXELS or (counts < 0).any() or counts.sum() != height * width:
        raise InputError(f"run lengths do not add up to the {height}x{width} pixels of their size")
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return pixels.reshape((height, width), order="F")


# --- trajectory files


def save_trajectory_file(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Writes one compressed ``.npz`` holding ``labels`` (uint8 [T, H, W]) and ``fps``; same trajectory, same bytes."""
    if Path(path).suffix != ".npz":
        raise InputError(f"a trajectory file must be named .npz, found {path}")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, labels=trajectory.labels, fps=np.float64(trajectory.fps))


def save_trajectory_folder(trajectory: Trajectory, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes palette images ``0000.png``, ``0001.png``, ... (index = label) and ``trajectory.json`` with the fps.

    Raises:
        InputError: the folder is filled and ``overwrite`` is not set, or cannot be written.
    """
    legend = {str(int(label)): label.name.lower() for label in Label}
    with atomic_directory(directory, overwrite) as folder:
        for index, labels in enumerate(trajectory.labels):
            image = Image.fromarray(labels, mode="L")
            image.putpalette(LABEL_COLOURS.tobytes())
            image.save(folder / f"{index:04d}.png", optimize=False)
        write_json(folder / "trajectory.json", {"fps": trajectory.fps, "labels": legend})


def load_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Reads a trajectory: a ``.npz`` file, or a folder of numbered PNGs in the label colours.

    A folder's frame rate is that of its ``trajectory.json``, or :data:`DEFAULT_FPS` where it has none. Colours within
    :data:`COLOUR_TOLERANCE` of a label colour are snapped to it.

    Raises:
        InputError: missing, damaged or empty; frames of different sizes; a gap in the numbering; a colour or value that
            is no label.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _load_folder(path)
    if path.suffix != ".npz" or not os.path.isfile(path):
        raise InputError(f"trajectory: {path} is neither a folder of PNG frames nor an .npz file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if archive.zip.getinfo(_LABELS_MEMBER).file_size > MAX_TRAJECTORY_PIXELS:
                raise InputError(f"trajectory: {path} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
            labels, fps = archive["labels"], float(archive["fps"])
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"trajectory: {path} is not a trajectory file or is damaged: {reason(error)}") from error
    return _named(path, labels, fps)


def _named(path: Path, labels: UInt8Array, fps: float) -> Trajectory:
    try:
        return Trajectory(labels, fps)
    except InputError as error:
        raise InputError(f"trajectory: {path}: {error}") from error


def _load_folder(folder: Path) -> Trajectory:
    paths = numbered_files(folder, {".png"})
    frames: list[UInt8Array] = []
    for path in paths:
        frames.append(_load_frame(path))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                f"trajectory: {path} is {_wh(frames[-1].shape)} but {paths[0].name} is {_wh(frames[0].shape)}; "
                "all frames must have one size"
            )
        if frames[0].size * len(paths) > MAX_TRAJECTORY_PIXELS:
            raise InputError(f"trajectory: {folder} holds more than {MAX_TRAJECTORY_PIXELS:,} pixels")
    fps: Any = DEFAULT_FPS
    if (folder / "trajectory.json").exists():
        header = read_json(folder / "trajectory.json")
        fps = header.get("fps") if isinstance(header, dict) else None
        if isinstance(fps, bool) or not isinstance(fps, int | float):
            raise InputError(f"trajectory: {folder / 'trajectory.json'} must hold a number named fps, found {fps!r}")
    return _named(folder, np.stack(frames), float(fps))


def _load_frame(path: Path) -> UInt8Array:
    """Labels of one frame, uint8 [H, W]; a transparent pixel is background."""
    image = open_image(path, "trajectory")
    if image.mode not in ("P", "RGB", "RGBA"):
        raise InputError(
            f"trajectory: {path} is an image of mode {image.mode}; frames must be palette or RGB images, actor green, "
            "object red, background black"
        )
    rgba = np.asarray(image.convert("RGBA"))
    rgb = np.where(rgba[..., 3:] == 0, 0, rgba[..., :3]).astype(np.uint8)
    labels = rgb_to_labels(rgb, labels=tuple(int(label) for label in Label))
    off = np.abs(rgb.astype(np.int16) - LABEL_COLOURS[labels]).max(axis=-1) > COLOUR_TOLERANCE
    if off.any():
        y, x = (int(value) for value in np.argwhere(off)[0])
        raise InputError(
            f"trajectory: {path} has the colour {tuple(rgb[y, x].tolist())} at x={x}, y={y}, which is no label; use "
            "black (0, 0, 0), actor green (0, 255, 0), object red (255, 0, 0), second actor blue (0, 0, 255)"
        )
    return labels


def _wh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels"


# --- masks given by users


def load_mask(
    source: str | os.PathLike[str] | NDArray[Any] | Image.Image, size: tuple[int, int], field: str = "mask"
) -> BoolArray:
    """A user's mask of one thing, bool [H, W].

    Black-and-white images count where brighter than half of their range (1, 255 or 65535, judged by the brightest
    pixel); coloured ones where any channel is; palettes with colours where the index is not 0; images with varying
    transparency where they are more than half opaque, whatever their colours.

    Args:
        source: a file, a Pillow image, or an array (bool, integer or float in [0, 1]; [H, W] or [H, W, 1, 3 or 4]).
        size: (H, W) of the image the mask belongs to.
        field: name of the input in messages.

    Raises:
        InputError: unreadable, of another size, empty, or covering the whole image.
    """
    if isinstance(source, Image.Image):
        mask = _mask_from_image(ImageOps.exif_transpose(source))
    elif isinstance(source, str | os.PathLike):
        mask = _mask_from_image(open_image(source, field))
    else:
        mask = _mask_from_array(np.asarray(source), field)
    if mask.shape != tuple(size):
        raise InputError(
            f"{field}: the mask is {_wh(mask.shape)} but the image is {_wh(tuple(size))}; both must have one size"
        )
    if not mask.any():
        raise InputError(f"{field}: the mask is empty; paint what it shall mark in white on black")
    if mask.all():
        raise InputError(f"{field}: the mask covers the whole image; paint what it shall mark in white on black")
    return mask


def _mask_from_image(image: Image.Image) -> BoolArray:
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() != alpha.max():
            return _bright(alpha)
    if image.mode == "P":
        indices = np.asarray(image)
        palette = np.asarray(image.convert("RGB"))
        coloured = (palette.min(axis=-1) != palette.max(axis=-1)).any()
        return indices != 0 if coloured else _bright(palette[..., 0])
    if image.mode in ("RGB", "RGBA", "L", "LA", "1", "F") or image.mode.startswith("I"):
        return _mask_from_array(np.asarray(image), "mask")
    return _mask_from_array(np.asarray(image.convert("RGB")), "mask")


def _mask_from_array(array: NDArray[Any], field: str) -> BoolArray:
    if array.size == 0:
        raise InputError(f"{field}: the mask has no pixels, its shape is {list(array.shape)}")
    if array.ndim == 3 and array.shape[-1] in (2, 4) and array[..., -1].min() != array[..., -1].max():
        array = array[..., -1]
    elif array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4):
        array = array[..., : 3 if array.shape[-1] >= 3 else 1].max(axis=-1)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise InputError(f"{field}: the mask must be [H, W], found {array.dtype} {list(array.shape)}")
    return _bright(array)


def _bright(values: NDArray[Any]) -> BoolArray:
    """Above half of the range that the brightest value, [H, W], belongs to."""
    brightest = values.max()
    full = next((top for top in (1, 255) if brightest <= top), 65535)
    bright: BoolArray = values > full / 2
    return bright
