"""The table of what people say for the words of the captions that a closed-vocabulary model was trained with.

:mod:`mask2iv.prompts.reading` reads prompts by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from mask2iv.errors import InputError

_WORD = re.compile(r"\w+(?:'\w+)*")


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; what belongs to somebody keeps its apostrophe."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


@dataclass(frozen=True)
class Sense:
    """What captions say, and what people say for it.

    Attributes:
        say: the captions' words; "" where they have none.
        phrases: other words for it, lower case. Forms follow: those of a verb's first word ("picks up", "picked up"),
            the plural of an object.
        key: what the table calls it elsewhere; "" for ``say``.
    """

    say: str
    phrases: tuple[str, ...]
    key: str = ""

    @property
    def name(self) -> str:
        """``key``, or where there is none ``say``."""
        return self.key or self.say


@dataclass(frozen=True)
class Combination:
    """A verb that means something else beside another word: "put" and "down".

    Attributes:
        verbs: any of these,
        beside: together with any of these: a modifier, a join, or a second verb without an object of its own.
        becomes: the verb that both make; "" for the second verb, or else the first.
        say: what is said for the other word from then on; "" for nothing, None for what it says anyway.
    """

    verbs: tuple[str, ...]
    beside: tuple[str, ...]
    becomes: str = ""
    say: str | None = None


@dataclass(frozen=True)
class ActorVerb:
    """The verb that one actor's captions have in place of another."""

    actor: str
    verb: str
    becomes: str


@dataclass(frozen=True)
class VerbObject:
    """The object that one verb's captions have in place of another: only a lidded box can be opened."""

    verb: str
    object: str
    becomes: str


@dataclass(frozen=True)
class Source:
    """The verb that handles where something comes from, and the join that says so: pouring, from."""

    verb: str
    join: str


@dataclass(frozen=True)
class WordingTable:
    """The content of ``wording.json``.

    Attributes:
        default_actor: of prompts that name none.
        actors, verbs, objects: parts of a caption, in this order.
        modifiers: what follows the object ("to the left"); joins: what brings a second object with it ("into").
        combinations: applied one after the other; actor_verbs and verb_objects after them.
        source: see :class:`Source`.
        liquids: objects that are left out beside the verb of ``source``.
        surfaces: what things stand on; left out behind a join, or behind before_surfaces ("off", "across").
        no_article: objects without "a".
        determiners: become "a" or "an" before an object.
        pronouns: left out where an object was named before.
        means: between the object and its actor ("with both hands").
        left_out: what captions never say.
        kept: phrases that are left as they are, although their words mean something elsewhere ("turn on").

    Raises:
        InputError: a phrase that stands in two places or is not in lower case, or a name that the table lacks.
    """

    default_actor: str
    actors: tuple[Sense, ...]
    verbs: tuple[Sense, ...]
    objects: tuple[Sense, ...]
    modifiers: tuple[Sense, ...] = ()
    joins: tuple[Sense, ...] = ()
    combinations: tuple[Combination, ...] = ()
    actor_verbs: tuple[ActorVerb, ...] = ()
    verb_objects: tuple[VerbObject, ...] = ()
    source: Source | None = None
    liquids: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    before_surfaces: tuple[str, ...] = ()
    no_article: tuple[str, ...] = ()
    determiners: tuple[str, ...] = ()
    pronouns: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for field in fields(self):
            if field.name in ("liquids", "no_article"):
                continue
            for phrase in _phrases_of(getattr(self, field.name)):
                if not phrase or " ".join(split_words(phrase)) != phrase:
                    raise InputError(
                        f"{field.name}: {phrase!r} is not a phrase; write lower-case words, one space apart"
                    )
                if phrase in taken:
                    raise InputError(
                        f"{field.name}: {phrase!r} stands in {taken[phrase]} already; leave one of them out"
                    )
                taken[phrase] = field.name
        self._check_names()

    def _check_names(self) -> None:
        actors, verbs, objects, modifiers, joins = (
            {sense.name for sense in senses}
            for senses in (self.actors, self.verbs, self.objects, self.modifiers, self.joins)
        )
        used: list[tuple[str, str, set[str]]] = [("default_actor", self.default_actor, actors)]
        for one in self.combinations:
            if not one.verbs or not one.beside:
                raise InputError("combinations: verbs and beside must name something in each of them")
            used += [("combinations", verb, verbs) for verb in (*one.verbs, one.becomes or one.verbs[0])]
            used += [("combinations", beside, verbs | modifiers | joins) for beside in one.beside]
        for change in self.actor_verbs:
            used += [("actor_verbs", change.actor, actors)]
            used += [("actor_verbs", verb, verbs) for verb in (change.verb, change.becomes)]
        for other in self.verb_objects:
            used += [("verb_objects", other.verb, verbs)]
            used += [("verb_objects", name, objects) for name in (other.object, other.becomes)]
        if self.source is not None:
            used += [("source", self.source.verb, verbs), ("source", self.source.join, joins)]
        for field, name, known in used:
            if name not in known:
                raise InputError(f"{field}: {name!r} is not in the table; add it there, or leave it out here")


def _phrases_of(value: Any) -> Iterable[str]:
    """All phrases in a field of the table; none in what refers to others."""
    for one in value if isinstance(value, tuple) else ():
        if isinstance(one, str):
            yield one
        elif isinstance(one, Sense):
            yield from one.phrases


def verb_forms(phrase: str) -> list[str]:
    """The regular forms of a verb, which is the first word of `phrase`; some of them nobody uses.

    Those with a doubled consonant ("grabbing") stand beside those without, whatever the verb.
    """
    verb, _, rest = phrase.partition(" ")
    stem = verb.removesuffix("e")
    doubled = verb + verb[-1]
    found = [verb, f"to {verb}", f"{verb}s", f"{verb}es", f"{stem}ing", f"{doubled}ing", f"{stem}ed", f"{doubled}ed"]
    if verb.endswith("y"):
        found += [f"{verb[:-1]}ies", f"{verb[:-1]}ied"]
    return [f"{form} {rest}".rstrip() for form in found]


def plurals(phrase: str) -> list[str]:
    """An object and its regular plurals."""
    return [phrase, f"{phrase}s", f"{phrase}es", *([f"{phrase[:-1]}ies"] if phrase.endswith("y") else [])]
