"""The configuration of simulated clips."""

from __future__ import annotations

from dataclasses import dataclass

from mask2iv.errors import InputError
from mask2iv.sim.choreography.actions import ACTOR_MIXES, VERBS, possible_verbs
from mask2iv.sim.choreography.tasks import ACTOR_SAID
from mask2iv.sim.world.assets.catalogue import HOUSEHOLD, OBJECTS, Props
from mask2iv.sim.world.assets.pools import SPLITS
from mask2iv.sim.world.domains import DOMAINS


@dataclass(frozen=True)
class SimConfig:
    """The configuration of simulated clips.

    Attributes:
        height, width: picture size in pixels, 32 to 1024.
        num_frames: frames per clip, at least 8.
        fps: frames per second, > 0; only recorded in the clip, the action always fills num_frames.
        actor: "hand", "hands" (two at once), "robot", "both" (half hand, half robot) or "human" (two thirds one hand,
            one third two).
        verbs: actions to draw from, see ``VERBS``; empty means all.
        objects: categories to handle and to place as distractors, see ``OBJECTS``.
        domains: kinds of room to draw from, see ``DOMAINS``.
        distractors: largest number of other objects on the table, 1 to 12.
        occlusion, blur, noise: share of clips, 0 to 1, with an occluder, motion blur or sensor noise.
        split: "train", "validation" or "test": draws objects and rooms from that part of the pools; "" generates new
            objects and rooms.

    Raises:
        InputError: a value out of range, or no action that the actor can do to any of the objects.
    """

    height: int = 160
    width: int = 256
    num_frames: int = 16
    fps: float = 8.0
    actor: str = "both"
    verbs: tuple[str, ...] = ()
    objects: tuple[str, ...] = HOUSEHOLD
    domains: tuple[str, ...] = ("studio",)
    distractors: int = 4
    occlusion: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    split: str = ""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 32 <= getattr(self, name) <= 1024:
                raise InputError(name, f"must be 32 to 1024 pixels, found {getattr(self, name)}")
        if self.num_frames < 8:
            raise InputError("num_frames", f"must be at least 8 to show an action, found {self.num_frames}")
        if not self.fps > 0:
            raise InputError("fps", f"must be positive, found {self.fps}")
        if not 1 <= self.distractors <= 12:
            raise InputError("distractors", f"must be 1 to 12, found {self.distractors}")
        for name in ("occlusion", "blur", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(name, f"must be a share from 0 to 1, found {getattr(self, name)}")
        if self.split not in ("", *SPLITS):
            raise InputError("split", f"must be {', '.join(SPLITS)} or empty, found {self.split!r}")
        self._check_names()

    def _check_names(self) -> None:
        if self.actor not in ACTOR_MIXES:
            raise InputError("actor", f"must be one of {', '.join(ACTOR_MIXES)}, found {self.actor!r}")
        for field, known in (("verbs", VERBS), ("objects", OBJECTS), ("domains", tuple(DOMAINS))):
            for name in getattr(self, field):
                if name not in known:
                    raise InputError(field, f"must be among {', '.join(known)}, found {name!r}")
        for field in ("objects", "domains"):
            if not getattr(self, field):
                raise InputError(field, "must not be empty", "name at least one")
        for actor in dict.fromkeys(ACTOR_MIXES[self.actor]):
            possible = possible_verbs(actor, self.verbs, self.objects)
            missing = [verb for verb in self.verbs if verb not in possible]
            if not possible or (missing and len(set(ACTOR_MIXES[self.actor])) == 1):
                raise InputError(
                    "verbs",
                    f"{ACTOR_SAID[actor]} cannot do {', '.join(missing) or 'anything'} to any of the objects "
                    f"({', '.join(self.objects)})",
                    "name other actions or objects",
                )

    @property
    def props(self) -> Props:
        """The source of objects."""
        return Props(self.objects, SPLITS[self.split].instances if self.split else None)
