"""What HOI4D's categories, mask colours and action names mean.

The meanings of the mask indices are those of the data set's own definitions (motion_segmentation_labels.csv and
task_definitions.csv of HOI4D-Instructions; MIT License, Copyright (c) 2022 Yun Liu), written as a table of our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mask2iv.contract import Label, UInt8Array
from mask2iv.curation.sources.wording import gerund, word_set

FPS = 15.0
FRAMES = 300
SECONDS = FRAMES / FPS
"""Of every recording; the action annotations may count otherwise."""
UNKNOWN = 255
"""In the tables of :meth:`Category.meanings`: an index without a meaning."""


@dataclass(frozen=True)
class Category:
    """A category of HOI4D.

    Attributes:
        name: of the object, in the words of a caption.
        parts: mask indices of the object that is handled; several where it has moving parts.
        others: indices of other things: a second mug, the apple that is cut. They are background.
        left_hand: index of the left hand; None where the category has none. The right hand is 2 everywhere.
        exceptions: by task, the thing that is handled there and its index.
        used: whether the paper's code uses the category.
    """

    name: str
    parts: tuple[int, ...] = (1,)
    others: tuple[int, ...] = ()
    left_hand: int | None = None
    exceptions: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    used: bool = True

    def moved(self, task: str) -> str:
        """Name of what is handled in a task ("T1")."""
        return self.exceptions[task][0] if task in self.exceptions else self.name

    def meanings(self, task: str) -> UInt8Array:
        """Label of each mask index in a task, uint8 [256]; :data:`UNKNOWN` where the category has no such index."""
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        parts = (self.exceptions[task][1],) if task in self.exceptions else self.parts
        table[[0, *self.others, *self.parts]] = Label.BACKGROUND
        table[list(parts)] = Label.OBJECT
        table[_RIGHT_HAND] = Label.ACTOR
        if self.left_hand is not None:
            table[self.left_hand] = Label.SECOND_ACTOR
        return table


_RIGHT_HAND = 2
_BALL = {"T4": ("ball", 3), "T5": ("ball", 3)}
"""Of the bowl's tasks, those in which the ball is taken out and put in: the bowl stays where it is."""

CATEGORIES: Mapping[str, Category] = {
    "C1": Category("toy car"),
    "C2": Category("mug", others=(3,)),
    "C3": Category("laptop", (1, 3)),
    "C4": Category("cabinet", (1, 3, 4), (5,), used=False),
    "C5": Category("bottle", others=(3,)),
    "C6": Category("safe", (1, 3), (4,), used=False),
    "C7": Category("bowl", (1, 3), exceptions=_BALL),
    "C8": Category("bucket", (1, 3), (4, 5), 6),
    "C9": Category("scissors", (1, 3)),
    "C11": Category("pliers", (1, 3)),
    "C12": Category("kettle", others=(3,)),
    "C13": Category("knife", others=(3,)),
    "C14": Category("trash can", (1, 3), (4,)),
    "C17": Category("lamp", (1, 3, 4, 5), left_hand=6, used=False),
    "C18": Category("stapler", (1, 3, 4), (5,), used=False),
    "C20": Category("chair", left_hand=3),
}

LEFT_OUT = frozenset({"rest", "stop", "reachout", "carry", "go", "press", "dump", "cut", "papercut"})
"""Action names that the paper's code leaves out, by :func:`plain_name`."""
REACHOUT, GRASP = "reachout", "grasp"

_ACTIONS = {
    "pickup": "pick up",
    "putdown": "put down",
    "putin": "put in",
    "putout": "put out",
    "takeout": "take out",
    "pour": "pour from",
    "clamp": "clamp with",
    "turnon": "turn on",
    "turnoff": "turn off",
    "throwaway": "throw away",
    "layup": "lay up",
}
_ONE_WORD = word_set(
    """
    grasp push pull open close fill bind fold unfold turn rotate lift lower move place put take drag slide throw insert
    reposition stir shake tilt flip fetch hold release drop spread
    """
)


def plain_name(event: str) -> str:
    """An action's name without case, spaces and hyphens: "paper-cut" and "PaperCut" are one."""
    return re.sub(r"[^a-z0-9]", "", event.lower())


def verbing(event: str) -> str:
    """The -ing form of an action's name: "Pickup" -> "picking up"; "" for a name that is not known."""
    name = plain_name(event)
    return gerund(_ACTIONS[name]) if name in _ACTIONS else gerund(name) if name in _ONE_WORD else ""
