"""A clip set of this project, or a folder of them by split, as a source: its masks are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mask2iv.contract import UInt8Array
from mask2iv.curation.sources.footage import VideoFootage
from mask2iv.curation.sources.interfaces import Habits, Problem, Recording, Segment, Split
from mask2iv.data.captions import Description
from mask2iv.data.index import VERSION, read_header, read_index
from mask2iv.errors import InputError
from mask2iv.media.images import resize_mask
from mask2iv.media.videos import VideoInfo
from mask2iv.trajectories.storage import load_trajectory

_ACTORS = {"hand": "hand", "hands": "hand", "robot": "robot"}


@dataclass(frozen=True)
class TrajectoryMasks:
    """A trajectory file. Implements :class:`~mask2iv.curation.sources.interfaces.GivenMasks`."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def read(self, indices: Sequence[int], info: VideoInfo, size: tuple[int, int]) -> UInt8Array:
        trajectory = load_trajectory(self.path)
        if (trajectory.num_frames, trajectory.size) != (len(info.times), info.size):
            raise InputError(
                "masks",
                f"{self.path} has {trajectory.num_frames} frames of {list(trajectory.size)}, its video "
                f"{len(info.times)} of {list(info.size)}",
            )
        labels: UInt8Array = resize_mask(trajectory.labels[list(indices)], size)
        return labels


@dataclass(frozen=True)
class ClipSetSource:
    """A clip set. Implements :class:`~mask2iv.curation.sources.interfaces.Source`.

    Attributes:
        root: folder of a set, or one whose subfolders are sets, named by their splits.
    """

    root: Path

    kind = "clipset"
    version = str(VERSION)
    habits = Habits(actor="hand", actor_phrases=("hand", "robot gripper"))

    def entries(self) -> Iterator[Recording | Problem]:
        """Clips by set and id.

        Raises:
            InputError: a set that is unfinished, or whose index is damaged.
        """
        for folder in clip_sets(self.root):
            read_header(folder)
            for row in read_index(folder / "index.jsonl"):
                yield self._entry(folder, row)

    def _entry(self, folder: Path, row: dict[str, Any]) -> Recording | Problem:
        clip_id, metadata = row["clip_id"], row["metadata"]
        place = folder / "clips" / clip_id
        name = clip_id if folder == self.root else f"{folder.name}/{clip_id}"
        for file in ("video.mp4", "labels.npz"):
            if not (place / file).is_file():
                return Problem(name, "file missing", f"{place / file} does not exist")
        named = metadata.get("split", None if folder == self.root else folder.name)
        split: Split | None = next((one for one in get_args(Split) if one == named), None)
        description = Description(row["caption"], row["verb"], row["object_name"], _ACTORS.get(row["actor"], "hand"))
        segment = Segment(
            "",
            description,
            split=split,
            masks=TrajectoryMasks(place / "labels.npz"),
            phrases=(row["object_name"],) if row["object_name"] else (),
            facts={"metadata": metadata},
        )
        group = metadata.get("group")
        return Recording(
            name, VideoFootage(place / "video.mp4"), (segment,), group if isinstance(group, str) and group else name
        )


def clip_sets(root: Path) -> list[Path]:
    """The folder itself, or those of its subfolders that are clip sets."""
    if (root / "clipset.json").is_file():
        return [root]
    return sorted(path.parent for path in root.glob("*/clipset.json"))
