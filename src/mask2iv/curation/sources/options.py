"""What can be said of a source; light, so that flags are made of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mask2iv.errors import InputError

Kind = Literal["hoi4d", "bridge", "lerobot", "clipset", "folder", "video"]


@dataclass(frozen=True)
class SourceOptions:
    """What can be said of a source; each option belongs to some kinds of sources.

    Raises:
        InputError: only one of the two indices.
    """

    kind: Kind | None = None
    """Which data set it is. By default that is recognised by its files."""
    sequences: Path | None = None
    """HOI4D: a list of sequences, one a line, such as its release.txt. By default all that are there."""
    test_list: Path | None = None
    """HOI4D: its testset.txt, which gives the splits. By default that of the folder, if it has one."""
    find_masks: bool = False
    """HOI4D: take sequences without masks too; they must be found."""
    cameras: tuple[str, ...] = ()
    """BridgeData V2, LeRobot: names of cameras. By default images0, or the only one."""
    min_confidence: float | None = None
    """BridgeData V2: instructions of a lower stated confidence are left out; 0.4 by default."""
    caption: str = ""
    """Own videos: the caption of each that has no other."""
    object_phrase: str = ""
    """Own videos: the object that is handled, as a detector is asked for it: "red mug"."""
    actor: Literal["hand", "robot"] | None = None
    """Own videos, LeRobot: who handles it. A hand by default, of LeRobot a robot."""
    actor_index: int | None = None
    """Own videos whose masks hold numbers in place of colours: the actor's number."""
    object_index: int | None = None
    """The object's number."""
    object_box: str | None = None
    """A single video: X,Y,W,H around the object in its first frame, in pixels. Of a folder's videos the captions file
    says it, in columns of these names."""
    object_point: str | None = None
    """The same by a point X,Y on it."""
    actor_box: str | None = None
    """The same around the actor, if it is in the first frame."""
    actor_point: str | None = None
    """The same by a point X,Y on it."""

    def __post_init__(self) -> None:
        if (self.actor_index is None) != (self.object_index is None):
            raise InputError(
                "actor_index",
                f"must be given together with object_index, found {self.actor_index}, {self.object_index}",
            )
