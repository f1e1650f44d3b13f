"""The recordings of a HOI4D folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.curation.sources.footage import VideoFootage
from mask2iv.curation.sources.hoi4d.actions import MIN_FRAMES, Action, Annotation, LeftOut, choose_actions, read_actions
from mask2iv.curation.sources.hoi4d.definitions import CATEGORIES, FPS, Category
from mask2iv.curation.sources.hoi4d.masks import FOLDERS, PaletteMasks
from mask2iv.curation.sources.interfaces import Habits, ListedSplit, Problem, Recording, Segment
from mask2iv.curation.sources.names import natural
from mask2iv.curation.sources.wording import article
from mask2iv.data.captions import Description
from mask2iv.errors import InputError
from mask2iv.parsing import read_text_bytes

SEQUENCE = re.compile(r"ZY\d+/H\d+/C\d+/N\d+/S\d+/s\d+/T\d+")
"""Camera, person, category, object, room, layout, task."""
TEST_LIST = "testset.txt"
_LEVELS = ("ZY", "H", "C", "N", "S", "s", "T")
_VIDEOS, _ANNOTATIONS = "HOI4D_release", "HOI4D_annotations"
"""The two folders into which the data set's archives unpack."""


@dataclass(frozen=True)
class Hoi4dSource:
    """HOI4D. Implements :class:`~mask2iv.curation.sources.interfaces.Source`.

    Attributes:
        root: folder with ``ZY.../H.../.../T.../{align_rgb, action, 2Dseg}`` at any depth below or above it, or with
            the folders HOI4D_release and HOI4D_annotations.
        sequences: a list of sequences, one a line, as the official ``release.txt``; None: all that are there.
        test_list: the official ``testset.txt``; None: that of the root, if it has one. Recordings of a listed one's
            object in the same room and layout are test too, so that nothing leaks.
        find_masks: take recordings without masks too; they must be found.
    """

    root: Path
    sequences: Path | None = None
    test_list: Path | None = None
    find_masks: bool = False

    kind = "hoi4d"
    version = ""
    habits = Habits(actor="hand", fit="centre", fit_scale=1.2, min_frames=MIN_FRAMES, actor_phrases=("hand",))

    def entries(self) -> Iterator[Recording | Problem]:
        """Recordings by name.

        Raises:
            InputError: a list that cannot be read, or no sequence at all.
        """
        there = find_sequences(self._videos)
        names = sorted(there, key=natural) if self.sequences is None else read_list(self.sequences)
        if not names:
            raise InputError(str(self.root), "holds no HOI4D sequence (ZY.../H.../C.../N.../S.../s.../T...)")
        tested = self._tested()
        for name in names:
            if name in there:
                yield from self._entries_of(name, there[name], tested)
            else:
                yield Problem(name, "sequence not on disk", f"it is listed in {self.sequences}")

    @property
    def _videos(self) -> Path:
        return self.root / _VIDEOS if (self.root / _VIDEOS).is_dir() else self.root

    def _annotations(self, name: str, folder: Path) -> Path:
        return self.root / _ANNOTATIONS / name if (self.root / _ANNOTATIONS).is_dir() else folder

    def _tested(self) -> frozenset[str] | None:
        """Groups of the official test list; None without one."""
        path = self.test_list or self.root / TEST_LIST
        if self.test_list is None and not path.is_file():
            return None
        return frozenset(group_of(name) for name in read_list(path))

    def _entries_of(self, name: str, folder: Path, tested: frozenset[str] | None) -> Iterator[Recording | Problem]:
        place = dict(zip(_LEVELS, name.split("/"), strict=True))
        category = CATEGORIES.get(place["C"])
        if category is None or not category.used:
            yield Problem(name, "category left out", place["C"] if category is None else category.name)
            return
        annotations = self._annotations(name, folder)
        footage = VideoFootage(folder / "align_rgb" / "image.mp4")
        masks = next((path for path in _mask_folders(annotations) if path.is_dir()), None)
        if not footage.path.is_file():
            yield Problem(name, "video missing", f"{footage.path} does not exist")
            return
        if masks is None and not self.find_masks:
            yield Problem(name, "masks missing", f"neither {' nor '.join(map(str, _mask_folders(annotations)))} exists")
            return
        actions = annotations / "action" / "color.json"
        if not actions.is_file():
            yield Problem(name, "actions missing", f"{actions} does not exist")
            return
        try:
            annotation = read_actions(actions)
        except InputError as error:
            yield Problem(name, "actions unreadable", str(error))
            return
        split = _split(name, tested)
        given = None if masks is None else PaletteMasks(masks, place["C"], place["T"])
        segments = []
        for one in choose_actions(annotation.events):
            if isinstance(one, LeftOut):
                yield Problem(f"{name}/{one.number:02d}", one.reason, one.details)
            else:
                segments.append(_segment(one, category, place["T"], split, given))
        if segments:
            yield Recording(name, footage, tuple(segments), group_of(name), _facts(name, annotation))


def _segment(
    action: Action, category: Category, task: str, split: ListedSplit | None, masks: PaletteMasks | None
) -> Segment:
    noun = category.moved(task)
    return Segment(
        key=f"{action.number:02d}-{action.verb.replace(' ', '-')}",
        description=Description(f"a hand {action.verb} {article(noun)}", action.verb, noun, "hand"),
        start=action.start / FPS,
        stop=action.stop / FPS,
        split=split,
        masks=masks,
        phrases=(noun,),
        facts={"event": action.name, "frames": [action.start, action.stop]},
    )


def _facts(name: str, annotation: Annotation) -> dict[str, Any]:
    stated = {} if annotation.stated else {"duration_stated": False}
    return {"sequence": name, "annotation_duration": annotation.duration, **stated}


def _mask_folders(annotations: Path) -> list[Path]:
    return [annotations / "2Dseg" / folder for folder in FOLDERS]


def group_of(name: str) -> str:
    """A sequence's name without its camera and task: the same person, object, room and layout."""
    return "/".join(name.split("/")[1:-1])


def _split(name: str, tested: frozenset[str] | None) -> ListedSplit | None:
    if tested is None:
        return None
    return "test" if group_of(name) in tested else "not test"


def read_list(path: Path) -> list[str]:
    """The sequences of a list, each once, in its order.

    Raises:
        InputError: it cannot be read, or a line is no sequence's name.
    """
    names: dict[str, None] = {}
    for number, line in enumerate(read_text_bytes(path).decode("utf-8").splitlines(), 1):
        name = line.strip().strip("/")
        if name and not SEQUENCE.fullmatch(name):
            raise InputError(f"{path}: line {number}", f"{name[:80]!r} is not a HOI4D sequence", "ZY.../H.../.../T...")
        if name:
            names[name] = None
    return list(names)


def find_sequences(root: Path) -> dict[str, Path]:
    """Sequence folders below (or at) a folder, by name. A root within a sequence's path counts its own last names."""
    found: dict[str, Path] = {}
    waiting: list[Path] = [Path(os.path.abspath(root))]
    while waiting:
        folder = waiting.pop()
        name = "/".join(folder.parts[-7:])
        if SEQUENCE.fullmatch(name):
            found[name] = folder
        elif folder.is_dir():
            waiting += [one for one in folder.iterdir() if re.fullmatch(r"(ZY|[HCNSsT])\d+", one.name)]
    return found
