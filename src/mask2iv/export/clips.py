"""What is exported: clip sets, shards, their splits, and the results of generations."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.config import read_config
from mask2iv.contract import Clip, Trajectory
from mask2iv.data.folder import clip_id_of
from mask2iv.data.join import check_alike
from mask2iv.data.splits import open_clips, split_folders
from mask2iv.data.store import SIMULATOR, ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.export.motions import Motion
from mask2iv.media.videos import read_video
from mask2iv.trajectories.storage import load_trajectory

GENERATOR = "mask2iv generate"
"""The generator in the provenance of clips that a model made."""
_MANIFEST = "manifest.json"
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Exported:
    """A clip to be exported.

    Attributes:
        clips: the set that holds it.
        index: its place there.
        split: its split; None where there are none.
        synthetic: whether a simulator or a model made it.
        motion: what the arm does in it; None where that is not known.
    """

    clips: ClipSet
    index: int
    split: str | None
    synthetic: bool
    motion: Motion | None = None

    @property
    def row(self) -> Mapping[str, Any]:
        """Its entry of the set's index."""
        return self.clips.rows[self.index]

    def read(self) -> Clip:
        """The clip. Raises InputError where it is damaged."""
        clip: Clip = self.clips[self.index]
        return clip


@dataclass(frozen=True)
class _Result:
    """What is read of a result's manifest."""

    settings: dict[str, Any]
    command: str = ""


@contextmanager
def opened(folder: Path) -> Iterator[list[ClipSet]]:
    """The clip sets of a folder: the one it is, one for each split, or one made of the results of generations.

    Raises:
        InputError: none of these, damaged, or sets of different size, length or rate.
    """
    splits = split_folders(folder)
    found = {} if splits else _results(folder)
    if found:
        with tempfile.TemporaryDirectory(prefix="mask2iv-") as temporary:
            yield [_as_set(found, Path(temporary) / "clips")]
        return
    sets = [open_clips(folder / name) for name in splits] if splits else [open_clips(folder)]
    for other in sets[1:]:
        check_alike(sets[0], other)
    yield sets


def listed(sets: Sequence[ClipSet]) -> list[Exported]:
    """All clips, by split (train, validation, test, others), then by id.

    Raises:
        InputError: a clip id in two sets.
    """
    found: dict[str, Exported] = {}
    for clips in sets:
        made = made_by_program(clips.info["provenance"])
        for index, row in enumerate(clips.rows):
            split = row["metadata"].get("split", clips.directory.name if len(sets) > 1 else None)
            if row["clip_id"] in found:
                other = found[row["clip_id"]].clips.directory
                raise InputError("clips", f"{other} and {clips.directory} both hold a clip {row['clip_id']}")
            synthetic = made or row["metadata"].get("synthetic") is True
            found[row["clip_id"]] = Exported(clips, index, None if split is None else str(split), synthetic)
    return sorted(found.values(), key=lambda one: (_rank(one.split), one.row["clip_id"]))


def _rank(split: str | None) -> tuple[int, str]:
    return (_SPLITS.index(split), "") if split in _SPLITS else (len(_SPLITS), split or "")


def made_by_program(provenance: Mapping[str, Any]) -> bool:
    """Whether a simulator or a model made all clips of a set."""
    joined = provenance.get("joined")
    if isinstance(joined, list):
        return all(isinstance(part, dict) and made_by_program(part) for part in joined)
    return provenance.get("generator") in (SIMULATOR, GENERATOR)


# --- results of generations


def _results(folder: Path) -> dict[str, Path]:
    """Folders with a result, by clip id: the folder itself, its samples, or those of its jobs.

    Raises:
        InputError: two results that would have one clip id.
    """
    if _holds_result(folder):
        return {clip_id_of(folder.resolve().name): folder}
    found: dict[str, Path] = {}
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for path in inner:
        samples = sorted(one for one in path.glob("sample-*") if _holds_result(one))
        named = {path.name: path} if _holds_result(path) else {f"{path.name}-{one.name}": one for one in samples}
        for name, place in named.items():
            clip_id = clip_id_of(name)
            if clip_id in found:
                raise InputError("clips", f"{found[clip_id]} and {place} would both be clip {clip_id}", "rename one")
            found[clip_id] = place
    return found


def _holds_result(folder: Path) -> bool:
    return (folder / _MANIFEST).is_file() and (folder / "video.mp4").is_file() and (folder / "trajectory").is_dir()


def _as_set(results: Mapping[str, Path], folder: Path) -> ClipSet:
    """A clip set of results.

    Raises:
        InputError: a result that is damaged, or of another size, length or rate than the others.
    """
    writer: ClipSetWriter | None = None
    for clip_id, place in results.items():
        clip = _clip(clip_id, place)
        if writer is None:
            size, count = clip.trajectory.size, clip.trajectory.num_frames
            writer = ClipSetWriter(folder, size, count, clip.fps, {"generator": GENERATOR})
            writer.__enter__()
        writer.add(clip)
    assert writer is not None
    writer.__exit__(None, None, None)
    return ClipSet(folder)


def _clip(clip_id: str, folder: Path) -> Clip:
    manifest = read_config(folder / _MANIFEST, _Result, "ignore")
    trajectory = load_trajectory(folder / "trajectory")
    height, width = trajectory.size
    # A video of an odd side has one row or column more.
    video = read_video(folder / "video.mp4").frames[:, :height, :width]
    caption = manifest.settings.get("prompt") or ""
    made = {name: manifest.settings[name] for name in ("model", "seed", "steps") if name in manifest.settings}
    return Clip(
        clip_id=clip_id,
        video=video,
        trajectory=Trajectory(trajectory.labels, trajectory.fps),
        caption=str(caption),
        verb="",
        object_name="",
        actor="robot" if "robot" in str(caption).lower() else "hand",
        metadata={"synthetic": True, "generated": made},
    )
