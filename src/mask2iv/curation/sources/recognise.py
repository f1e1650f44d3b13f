"""Which data set a folder or file is, and that data set as a source."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mask2iv.curation.sources.bridge import CAMERA, MIN_CONFIDENCE, BridgeSource
from mask2iv.curation.sources.clipset import ClipSetSource, clip_sets
from mask2iv.curation.sources.folder import Defaults, FolderSource, VideoSource
from mask2iv.curation.sources.hoi4d.source import Hoi4dSource
from mask2iv.curation.sources.interfaces import Source
from mask2iv.curation.sources.options import Kind, SourceOptions
from mask2iv.errors import InputError
from mask2iv.media.streams import VIDEO_SUFFIXES, is_video_name
from mask2iv.segmentation.prompts import COLUMNS, parse_prompts

_SEARCHED = 2000
"""Most folders that are looked at before nothing counts as recognised."""


_HOI4D, _BRIDGE, _LEROBOT, _OWN = ("hoi4d",), ("bridge",), ("lerobot",), ("folder", "video")
_BELONGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("sequences", "test_list", "find_masks"), _HOI4D),
    "cameras": (*_BRIDGE, *_LEROBOT),
    "min_confidence": _BRIDGE,
    **dict.fromkeys(("caption", "object_phrase", "actor_index", "object_index"), _OWN),
    "actor": (*_OWN, *_LEROBOT),
    **dict.fromkeys(COLUMNS, ("video",)),
}
"""Option -> kinds of sources that it says something of."""


def open_source(path: str | os.PathLike[str], options: SourceOptions | None = None, **changes: Any) -> Source:
    """The source at a path.

    Args:
        path: a folder or a file.
        options: what is known of it.
        changes: single options that differ from these: ``open_source(path, cameras=("images1",))``.

    Raises:
        InputError: nothing is recognised, or an option that its kind of source does not have.
    """
    chosen = dataclasses.replace(options or SourceOptions(), **changes)
    root = Path(path)
    kind = chosen.kind or recognise(root)
    for field in dataclasses.fields(chosen):
        given = getattr(chosen, field.name) != field.default
        if given and kind not in _BELONGS.get(field.name, (kind,)):
            raise InputError(field.name, f"says nothing of a source of kind {kind}", "leave it out")
    if not os.path.exists(root):
        raise InputError("source", f"{root} does not exist")
    return _OPENERS[kind](root, chosen)


def recognise(path: Path) -> Kind:
    """Which kind of source a folder or file is, by names of files alone.

    Raises:
        InputError: it does not exist, or is none that is known.
    """
    if os.path.isfile(path):
        if is_video_name(path):
            return "video"
        raise InputError("source", f"{path} is no video; known are {', '.join(VIDEO_SUFFIXES)}", "give a folder")
    if not os.path.isdir(path):
        raise InputError("source", f"{path} does not exist")
    if clip_sets(path):
        return "clipset"
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    found = _by_folders(path)
    if found:
        return found
    if any(is_video_name(file) for file in path.iterdir()):
        return "folder"
    raise InputError(
        "source",
        f"{path} is no data set that is known",
        "expected HOI4D (ZY.../H.../C.../.../align_rgb), BridgeData V2 (.../traj0/images0), LeRobot (meta/info.json), "
        "a clip set (clipset.json), or videos; give the folder above, or its kind",
    )


def _by_folders(root: Path) -> Kind | None:
    """HOI4D or BridgeData V2 by the folders below; the first that tells decides."""
    for place, folders, _ in itertools.islice(os.walk(root), _SEARCHED):
        folders.sort()
        if {"align_rgb", "2Dseg"} & set(folders) or re.fullmatch(r"ZY\d{8,}", os.path.basename(place)):
            return "hoi4d"
        if any(re.fullmatch(r"images\d+", name) for name in folders):
            return "bridge"
    return None


def _defaults(given: SourceOptions) -> Defaults:
    """For one's own videos."""
    numbers = None
    if given.actor_index is not None and given.object_index is not None:
        numbers = (given.actor_index, given.object_index)
    return Defaults(given.caption, given.object_phrase, given.actor or "hand", numbers)


def _lerobot(root: Path, given: SourceOptions) -> Source:
    # Imported here: it needs pyarrow, which is optional.
    from mask2iv.curation.sources.lerobot import LeRobotSource

    if len(given.cameras) > 1:
        raise InputError("cameras", f"one is taken of a LeRobot data set, found {', '.join(given.cameras)}")
    return LeRobotSource(root, given.cameras[0] if given.cameras else None, given.actor or "robot")


_OPENERS: Mapping[str, Callable[[Path, SourceOptions], Source]] = {
    "hoi4d": lambda root, given: Hoi4dSource(root, given.sequences, given.test_list, given.find_masks),
    "bridge": lambda root, given: BridgeSource(
        root,
        given.cameras or (CAMERA,),
        MIN_CONFIDENCE if given.min_confidence is None else given.min_confidence,
    ),
    "lerobot": _lerobot,
    "clipset": lambda root, _: ClipSetSource(root),
    "folder": lambda root, given: FolderSource(root, _defaults(given)),
    "video": lambda root, given: VideoSource(root, _defaults(given), parse_prompts(vars(given))),
}
