"""One's own videos: a folder of them with or without captions and masks, or a single file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mask2iv.curation.sources.footage import VideoFootage
from mask2iv.curation.sources.interfaces import Habits, Problem, Recording, Segment
from mask2iv.curation.sources.wording import noun_phrases, verb_of
from mask2iv.data.captions import Description, describe, read_captions
from mask2iv.data.masks import MasksBeside, masks_beside, name_of
from mask2iv.errors import InputError
from mask2iv.files import require_file
from mask2iv.media.streams import VIDEO_SUFFIXES, is_video_name
from mask2iv.segmentation.prompts import Prompts, parse_prompts

Actor = Literal["hand", "robot"]
_PHRASES = {"hand": ("hand",), "robot": ("robot gripper", "robot arm")}
_CAPTION_FILES = ("captions.csv", "captions.jsonl")


@dataclass(frozen=True)
class Defaults:
    """What is said of videos that nothing else describes.

    Attributes:
        caption: of each; "" for none.
        object_phrase: what a detector is asked for: "red mug"; "" for what the caption names.
        actor: "hand" or "robot".
        mask_numbers: what actor and object are in mask pictures that hold numbers in place of label colours.
    """

    caption: str = ""
    object_phrase: str = ""
    actor: Actor = "hand"
    mask_numbers: tuple[int, int] | None = None

    @property
    def habits(self) -> Habits:
        return Habits(self.actor, actor_phrases=_PHRASES[self.actor])

    def description(self) -> Description | None:
        """Of a video without its own; None where neither a caption nor an object is given."""
        if not (self.caption or self.object_phrase):
            return None
        nouns = noun_phrases(self.caption)
        noun = self.object_phrase or (nouns[0] if nouns else "")
        return Description(" ".join(self.caption.split()), verb_of(self.caption), noun, self.actor)


@dataclass(frozen=True)
class _OwnVideos:
    root: Path
    defaults: Defaults = Defaults()

    version = ""

    @property
    def habits(self) -> Habits:
        return self.defaults.habits


@dataclass(frozen=True)
class FolderSource(_OwnVideos):
    """A folder of videos. Implements :class:`~mask2iv.curation.sources.interfaces.Source`.

        NAME.mp4                       a video (also mov, mkv, webm, avi, m4v)
        NAME_masks/, NAME_labels.mp4   its masks, if there are any: see mask2iv.data.folder
        captions.csv, captions.jsonl   clip, caption, verb, object, actor; without it, `defaults` describe all videos;
                                       object_box, object_point, actor_box, actor_point: see Prompts

    Attributes:
        root: the folder.
        defaults: for all videos where there is no captions file, and for those that it does not name.
    """

    kind = "folder"

    def entries(self) -> Iterator[Recording | Problem]:
        """Videos by name.

        Raises:
            InputError: no folder, no video in it, or a captions file that cannot be read.
        """
        if not self.root.is_dir():
            raise InputError("source", f"{self.root} is not a folder")
        videos = sorted(path for path in self.root.iterdir() if _is_recording(path))
        if not videos:
            raise InputError("source", f"{self.root} holds no videos; expected NAME{', NAME'.join(VIDEO_SUFFIXES)}")
        captioned = any((self.root / name).is_file() for name in _CAPTION_FILES)
        rows = dict(read_captions(self.root)) if captioned else {}
        for video in videos:
            yield self._entry(video, rows.pop(name_of(video.stem), None), captioned)
        for name in rows:
            yield Problem(name, "video missing", "the captions file names it, but there is no such video")

    def _entry(self, video: Path, row: Mapping[str, str] | None, captioned: bool) -> Recording | Problem:
        default = self.defaults.description()
        if row is None and default is None:
            return Problem(video.name, "no caption", _NO_LINE if captioned else _NO_CAPTIONS)
        row = row or {}
        try:
            prompts = parse_prompts(row)
            # A row may say no more than where things are.
            described = any((row.get(name) or "").strip() for name in _DESCRIBING)
            description = default if default is not None and not described else describe(row)
        except InputError as error:
            return Problem(video.name, "caption unreadable", str(error))
        return _recording(video, description, self.defaults, prompts)


_DESCRIBING = ("caption", "verb", "object", "actor")
_NO_LINE = "the captions file has no line for it, and no caption or object is given for all videos"
_NO_CAPTIONS = "there is no captions.csv or captions.jsonl, and no caption or object is given for all videos"


@dataclass(frozen=True)
class VideoSource(_OwnVideos):
    """A single video file. Implements :class:`~mask2iv.curation.sources.interfaces.Source`.

    Attributes:
        root: the file.
        defaults: describe it.
        prompts: where things are in its first frame.
    """

    prompts: Prompts | None = None

    kind = "video"

    def entries(self) -> Iterator[Recording | Problem]:
        """The video, or that it has no caption.

        Raises:
            InputError: no such file.
        """
        require_file(self.root, "source")
        description = self.defaults.description()
        if description is None:
            yield Problem(self.root.name, "no caption", "give a caption, or the name of the object that is handled")
        else:
            yield _recording(self.root, description, self.defaults, self.prompts)


def _is_recording(path: Path) -> bool:
    return is_video_name(path) and not path.stem.endswith("_labels") and path.is_file()


def _recording(video: Path, description: Description, defaults: Defaults, prompts: Prompts | None) -> Recording:
    name = name_of(video.stem)
    masks = MasksBeside(video, defaults.mask_numbers) if masks_beside(video, name) else None
    noun = defaults.object_phrase or description.object_name
    phrases = (noun,) if noun else noun_phrases(description.caption)
    segment = Segment("", description, masks=masks, phrases=phrases, prompts=prompts)
    return Recording(video.name, VideoFootage(video), (segment,), video.name)
