"""Videos made by any other program, paired with a clip set by clip id.

DIR/<clip_id>.mp4                one video per clip (or DIR/<clip_id>/video.mp4); webm, mov, mkv, avi and m4v as well
DIR/<clip_id>/labels.npz         the trajectory it was asked to follow, if not the clip's
DIR/<clip_id>/trajectory/*.png   the same as palette images
DIR/seed-0/..., DIR/seed-1/...   several outputs per clip: one such folder per seed
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.per_clip.outputs import PREDICTIONS, Outputs
from mask2iv.files import sha256_file
from mask2iv.media.streams import is_video_name
from mask2iv.media.videos import read_video
from mask2iv.trajectories.storage import load_trajectory

_SHOWN = 5


class PredictedOutputs:
    """Outputs read from a folder, laid out as the module describes.

    Args:
        folder: of the videos.
        clip_ids: clips to score.
        all_ids: of the whole clip set; videos of clips that are not scored are allowed.
        allow_missing: score the clips that have a video; otherwise each must have one.

    Attributes:
        clip_ids: clips that have a video.
        missing: clips that have none.

    Raises:
        InputError: clips without a video, videos without a clip, or a clip with two videos.
    """

    systems = (PREDICTIONS,)
    conditions = ()

    def __init__(
        self, folder: Path, clip_ids: Sequence[str], all_ids: Sequence[str], allow_missing: bool = False
    ) -> None:
        if not folder.is_dir():
            raise InputError("predictions", f"{folder} is not a folder")
        numbered = sorted(path for path in folder.glob("seed-*") if path.is_dir())
        if numbered and _videos(folder):
            raise InputError("predictions", f"{folder} holds videos beside {numbered[0].name}", "keep one of both")
        self.folders = numbered or [folder]
        found = [_videos(path) for path in self.folders]
        present = {name for names in found for name in names}
        extra = sorted(present - set(all_ids))
        if extra:
            raise InputError("predictions", f"{_some(extra)} in {folder} belong to no clip of the data", "remove them")
        lacking = [name for name in clip_ids if not all(name in names for names in found)]
        if lacking and not allow_missing:
            raise InputError(
                "predictions",
                f"{folder} has no video for {_some(lacking)}",
                "make DIR/CLIP_ID.mp4 for each clip, or allow missing ones and score the others",
            )
        self.missing = lacking
        self.clip_ids = [name for name in clip_ids if name not in set(lacking)]
        if not self.clip_ids:
            raise InputError("predictions", f"{folder} has no video for any clip of the data")
        self._videos = found

    def digest_lines(self) -> list[str]:
        """SHA-256 and name of each video and of its trajectory's files, which identify the predictions."""
        several = len(self.folders) > 1
        return [
            f"{sha256_file(path)}  {folder.name if several else ''}/{clip_id}{_suffix(path, source)}"
            for folder, names in self._pairs()
            for clip_id in self.clip_ids
            for source in [_trajectory_of(folder, clip_id)]
            for path in [names[clip_id], *([] if source is None else _files(source))]
        ]

    def outputs(self, clips: Sequence[Clip]) -> list[Outputs]:
        """The videos of some clips, and the trajectories they were asked to follow: the clip's where there is no other.

        Raises:
            InputError: a video or a trajectory does not have the clip's frames and size.
        """
        return [
            Outputs(videos={PREDICTIONS: [self._read(folder, names, clip) for folder, names in self._pairs()]})
            for clip in clips
        ]

    def _pairs(self) -> list[tuple[Path, dict[str, Path]]]:
        return list(zip(self.folders, self._videos, strict=True))

    def _read(self, folder: Path, names: dict[str, Path], clip: Clip) -> tuple[UInt8Array, Trajectory]:
        path, wanted = names[clip.clip_id], clip.trajectory.labels.shape
        video = read_video(path).frames
        if video.shape[:3] != wanted:
            raise InputError(
                "predictions",
                f"{path} is {_shape(video.shape)}, and clip {clip.clip_id} is scored at {_shape(wanted)}",
                "write it like that, or choose other frames and another size for all",
            )
        source = _trajectory_of(folder, clip.clip_id)
        trajectory = clip.trajectory if source is None else load_trajectory(source)
        if trajectory.labels.shape != wanted:
            raise InputError("predictions", f"{source} is {_shape(trajectory.labels.shape)}, not {_shape(wanted)}")
        return video, trajectory


def _videos(folder: Path) -> dict[str, Path]:
    """Videos by clip id."""
    found: dict[str, Path] = {}
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inner = [path for place in paths if place.is_dir() for path in sorted(place.iterdir()) if path.stem == "video"]
    for path in (*paths, *inner):
        if path.is_file() and is_video_name(path):
            clip_id = path.stem if path.parent == folder else path.parent.name
            if clip_id in found:
                raise InputError("predictions", f"{found[clip_id]} and {path} are of one clip", "keep one")
            found[clip_id] = path
    return found


def _trajectory_of(folder: Path, clip_id: str) -> Path | None:
    """The file or folder of the trajectory a video was asked to follow; None for the clip's own."""
    places = (folder / clip_id / name for name in ("labels.npz", "trajectory"))
    return next((place for place in places if place.exists()), None)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))


def _suffix(path: Path, source: Path | None) -> str:
    """Distinguishes the files of a trajectory from the video beside them."""
    return f"/{path.name}" if source is not None and (path == source or path.parent == source) else ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _shape(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} frames of {shape[1]}x{shape[2]}"
