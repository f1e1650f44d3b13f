"""Masks as run lengths in JSON, in the forms that COCO's tools, YouTube-VIS and SA-V use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from mask2iv.config import from_dict
from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.data.masks.frames import FIELD, MaskFrames, Numbers, combined, is_number
from mask2iv.errors import InputError, within
from mask2iv.parsing import read_json
from mask2iv.trajectories.runlength import rle_decode, rle_expand

_Tracks = dict[int, dict[int, Any]]
"""Run lengths by instance, then by frame; a frame in which an instance is not in view is absent."""


class _Runs(TypedDict):
    size: tuple[int, int]
    counts: str | list[int]


def coco_frames(path: Path, numbers: Numbers) -> MaskFrames:
    """Masks of a video in a JSON file, one of

        {"annotations": [{"id": 1, "segmentations": [RLE or null, ...]}, ...]}        YouTube-VIS, one video
        {"images": [...], "annotations": [{"image_id": 7, "segmentation": RLE}, ...]}  COCO; frames by image id
        {"masklet": [[RLE, ...], ...]}                                                 SA-V: by frame, then by instance
        {"1": [RLE or null, ...], "2": ...}                                            by instance
        [RLE or null, ...]                                                             the object alone

    with RLE {"size": [H, W], "counts": text as of pycocotools, or numbers}. An instance's number is its ``id``
    (YouTube-VIS), its ``track_id``, or else ``category_id`` (COCO), or its place, from 1 on (SA-V).

    Raises:
        InputError: missing, of another form, or without masks; when reading, run lengths that do not fit.
    """
    with within(FIELD):
        value = read_json(path)
    total, tracks = _tracks(value, path)
    sizes = [run.get("size") for track in tracks.values() for run in track.values() if isinstance(run, dict)]
    if not sizes:
        raise InputError(FIELD, f"{path} holds no masks")

    def read(indices: Sequence[int]) -> Iterator[UInt8Array]:
        for index in indices:
            place = f"frame {index} of {path}"
            there = {instance: _mask(track[index], place) for instance, track in tracks.items() if index in track}
            if not there:
                # Nothing is in view: the size is that of any other frame.
                there = {numbers[1] if numbers else int(Label.OBJECT): _nothing(sizes[0], place)}
            yield combined(there, numbers, place)

    return MaskFrames(total, read)


def _tracks(value: Any, path: Path) -> tuple[int, _Tracks]:
    """Number of frames, and the run lengths."""
    if isinstance(value, list):
        return len(value), {int(Label.OBJECT): _present(value)}
    if isinstance(value, dict):
        annotations = value.get("annotations")
        if isinstance(annotations, list) and all(isinstance(one, dict) for one in annotations):
            if any("segmentations" in one for one in annotations):
                return _of_videos(annotations, value.get("videos"), path)
            images = value.get("images")
            if isinstance(images, list) and all(isinstance(one, dict) for one in images):
                return _of_images(annotations, images, path)
        masklet = value.get("masklet")
        if isinstance(masklet, list) and all(isinstance(frame, list) for frame in masklet):
            found: _Tracks = {}
            for index, frame in enumerate(masklet):
                for instance, run in _present(frame).items():
                    found.setdefault(instance + 1, {})[index] = run
            return len(masklet), found
        if value and all(is_number(key) and isinstance(runs, list) for key, runs in value.items()):
            return max(map(len, value.values())), {int(key): _present(runs) for key, runs in value.items()}
    raise InputError(FIELD, f"{path} is of no known form", "write run lengths as COCO, YouTube-VIS or SA-V do")


def _present(runs: Sequence[Any]) -> dict[int, Any]:
    return {index: run for index, run in enumerate(runs) if run is not None}


def _of_videos(annotations: Sequence[Mapping[str, Any]], videos: Any, path: Path) -> tuple[int, _Tracks]:
    if isinstance(videos, list) and len(videos) > 1:
        raise InputError(FIELD, f"{path} describes {len(videos)} videos", "write a file for each")
    found: _Tracks = {}
    total = 0
    for one in annotations:
        runs, number = one.get("segmentations"), one.get("id")
        if not isinstance(runs, list) or not isinstance(number, int) or number in found:
            raise InputError(FIELD, f"{path}: each annotation needs segmentations and an id of its own")
        found[number] = _present(runs)
        total = max(total, len(runs))
    return total, found


def _of_images(
    annotations: Sequence[Mapping[str, Any]], images: Sequence[Mapping[str, Any]], path: Path
) -> tuple[int, _Tracks]:
    ids = [one.get("id") for one in images]
    if not all(isinstance(one, int) for one in ids) or len(set(ids)) != len(ids):
        raise InputError(FIELD, f"{path}: each image needs an id of its own")
    frames = {one: index for index, one in enumerate(sorted(ids))}  # type: ignore[type-var]
    found: _Tracks = {}
    for one in annotations:
        number = one.get("track_id", one.get("category_id"))
        image = one.get("image_id")
        if not isinstance(number, int) or not isinstance(image, int) or image not in frames:
            raise InputError(FIELD, f"{path}: each annotation needs an image_id and a track_id or category_id")
        track = found.setdefault(number, {})
        if frames[image] in track:
            raise InputError(FIELD, f"{path} has two masks of {number} in image {image}", "tell them apart by track_id")
        track[frames[image]] = one.get("segmentation")
    return len(ids), found


def _mask(runs: Any, place: str) -> BoolArray:
    """A mask of run lengths, bool [H, W]."""
    if isinstance(runs, list):
        raise InputError(FIELD, f"{place} holds polygons", "write run lengths (annToRLE of pycocotools)")
    if not isinstance(runs, dict):
        raise InputError(FIELD, f"{place} holds no run lengths: {str(runs)[:80]}")
    with within(f"{FIELD}: {place}"):
        known = from_dict(_Runs, runs, unknown="ignore")  # type: ignore[type-var]
        if isinstance(known["counts"], str):
            return rle_expand(known["counts"], known["size"])
        return rle_decode({"size": list(known["size"]), "counts": known["counts"]})


def _nothing(size: Any, place: str) -> BoolArray:
    """The empty mask of a size as it is written."""
    sides = size if isinstance(size, list) and all(isinstance(side, int) for side in size) else [0]
    return _mask({"size": size, "counts": [math.prod(sides)]}, place)
