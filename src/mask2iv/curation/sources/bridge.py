"""BridgeData V2 (Walke et al., CoRL 2023) in its raw release: folders of pictures with an instruction."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mask2iv.curation.sources.footage import PictureFootage
from mask2iv.curation.sources.interfaces import Habits, Problem, Recording, Segment
from mask2iv.curation.sources.names import natural
from mask2iv.curation.sources.wording import noun_phrases, verb_of
from mask2iv.data.captions import Description
from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.parsing import read_text_bytes

FPS = 5.0
MIN_CONFIDENCE = 0.4
MAX_FRAMES = 50
ACTOR = "a robot gripper"
CAMERA = "images0"
_CAMERA = re.compile(r"images\d+")
_TRAJECTORY = re.compile(r"traj\d+")
_CONFIDENCE = re.compile(r"confidence\s*:?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """What ``lang.txt`` holds.

    Attributes:
        text: the first instruction: lower case, one space between words, no full stop at the end; "" if there is none.
        others: further ones.
        confidence: of the language annotation, 0 to 1; None where the file states none.
    """

    text: str
    others: tuple[str, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class BridgeSource:
    """BridgeData V2, raw. Implements :class:`~mask2iv.curation.sources.interfaces.Source`.

    Only pictures and ``lang.txt`` are opened; the pickles beside them never are.

    Attributes:
        root: folder with ``.../traj_group0/traj0/{images0/im_0.jpg, ..., lang.txt}`` at any depth.
        cameras: names of picture folders; each trajectory gives a recording of each, in one group.
        min_confidence: instructions of a lower stated confidence are left out.
    """

    root: Path
    cameras: tuple[str, ...] = (CAMERA,)
    min_confidence: float = MIN_CONFIDENCE

    kind = "bridge"
    version = "raw"
    habits = Habits(
        actor="robot", fit="centre", fit_scale=1.0, max_frames=MAX_FRAMES, actor_phrases=("robot gripper", "robot arm")
    )

    def __post_init__(self) -> None:
        wrong = [camera for camera in self.cameras if not _CAMERA.fullmatch(camera)]
        if wrong or not self.cameras:
            raise InputError("cameras", f"must be images0, images1, ..., found {', '.join(wrong) or 'none'}")

    def entries(self) -> Iterator[Recording | Problem]:
        """Trajectories by name, numbers counted as numbers.

        Raises:
            InputError: no trajectory at all.
        """
        found = False
        for folder, cameras in _trajectories(self.root):
            found = True
            name = folder.relative_to(self.root).as_posix() if folder != self.root else folder.name
            yield from self._entries_of(name, folder, cameras)
        if not found:
            raise InputError(str(self.root), "holds no BridgeData V2 trajectory (.../traj0/images0/im_0.jpg)")

    def _entries_of(self, name: str, folder: Path, cameras: list[str]) -> Iterator[Recording | Problem]:
        if not cameras:
            yield Problem(name, "pictures missing", f"{folder} has no folder images0, images1, ...")
            return
        if not (folder / "lang.txt").is_file():
            yield Problem(name, "no caption", f"{folder / 'lang.txt'} does not exist")
            return
        try:
            instruction = read_instruction(folder / "lang.txt")
        except InputError as error:
            yield Problem(name, "caption unreadable", str(error))
            return
        if not instruction.text:
            yield Problem(name, "no caption", f"{folder / 'lang.txt'} holds no instruction")
            return
        confidence = instruction.confidence
        if confidence is not None and confidence < self.min_confidence:
            yield Problem(
                name, f"caption confidence below {self.min_confidence:g}", f"{confidence:g}: {instruction.text}"
            )
            return
        phrases = noun_phrases(instruction.text)
        description = Description(
            f"{ACTOR} {instruction.text}", verb_of(instruction.text), phrases[0] if phrases else "", "robot"
        )
        facts = {"instruction": instruction.text}
        stated = {} if confidence is None else {"confidence": confidence}
        others = {"other_instructions": list(instruction.others)} if instruction.others else {}
        for camera in self.cameras:
            if camera not in cameras:
                yield Problem(f"{name}/{camera}", "camera missing", f"{folder} has {', '.join(cameras)}")
                continue
            yield Recording(
                name=f"{name}/{camera}",
                footage=PictureFootage(folder / camera, FPS),
                segments=(Segment("", description, phrases=phrases, facts=facts),),
                group=name,
                facts={"trajectory": name, "camera": camera, **stated, **others},
            )


def read_instruction(path: Path) -> Instruction:
    """The instruction of a ``lang.txt``: lines of text, and maybe a line "confidence: 0.87".

    Raises:
        InputError: not UTF-8 text, or a confidence that is no number from 0 to 1.
    """
    texts: list[str] = []
    confidence: float | None = None
    for line in read_text_bytes(path).decode("utf-8").splitlines():
        stated = _CONFIDENCE.fullmatch(line.strip())
        if stated is None:
            text = " ".join(line.lower().replace("\u2019", "'").split()).rstrip(" .!?,;:")
            if re.search(r"[a-z]", text) and text not in texts:
                texts.append(text)
            continue
        try:
            confidence = float(stated[1])
        except ValueError:
            confidence = -1.0
        if not 0 <= confidence <= 1:
            raise InputError(str(path), f"confidence must be a number from 0 to 1, found {stated[1][:40]!r}")
    return Instruction(texts[0] if texts else "", tuple(texts[1:]), confidence)


def _trajectories(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Trajectory folders in natural order, each with its cameras; what lies below a trajectory is not looked at."""
    try:
        folders = sorted((one.name for one in os.scandir(root) if one.is_dir()), key=natural)
    except OSError as error:
        raise InputError(str(root), f"cannot be read as a folder: {reason(error)}") from error
    cameras = [name for name in folders if _CAMERA.fullmatch(name)]
    if cameras or _TRAJECTORY.fullmatch(root.name):
        yield root, cameras
        return
    for name in folders:
        yield from _trajectories(root / name)
