"""Which actor can do which action to which kinds of objects, and the vocabulary of captions."""

from __future__ import annotations

from collections.abc import Callable

from mask2iv.sim.choreography.tasks import ACTIONS, ACTOR_SAID, KINDS, SAID, Draw, Task
from mask2iv.sim.choreography.two_hands import TWO_HANDED, TWO_HANDED_KINDS
from mask2iv.sim.world.assets.catalogue import OBJECTS

ACTIONS_OF: dict[str, dict[str, Callable[[Draw], Task]]] = {"hand": ACTIONS, "hands": TWO_HANDED, "robot": ACTIONS}
"""Actor -> verb -> the function that draws such a task."""
_KINDS_OF = {"hand": KINDS, "hands": TWO_HANDED_KINDS, "robot": KINDS}
ACTOR_MIXES: dict[str, tuple[str, ...]] = {
    "hand": ("hand",),
    "hands": ("hands",),
    "robot": ("robot",),
    "both": ("hand", "robot"),
    "human": ("hand", "hand", "hands"),
}
"""The actor of a configuration -> the actors to draw from."""
VERBS: tuple[str, ...] = tuple({verb: None for actions in ACTIONS_OF.values() for verb in actions})


def possible_verbs(actor: str, asked: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The requested verbs (all when empty) that an actor can do to at least one of the kinds."""
    able = _KINDS_OF[actor]
    return tuple(verb for verb in asked or able if verb in able and set(able[verb]) & set(kinds))


def vocabulary() -> list[str]:
    """All words of captions, and a few more that prompts may use, sorted."""
    phrases = [*VERBS, *OBJECTS, *SAID.values(), *ACTOR_SAID.values(), "an from into on in", "toward the camera"]
    extra = "clockwise counterclockwise up down hand left right forward backward away from over front back side"
    return sorted({word for phrase in (*phrases, *extra.split()) for word in phrase.split()})
