"""The table that maps everyday phrases to the words of a closed-vocabulary model's training captions.

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
    """The words of a text in lower case, without punctuation; possessives keep their apostrophe."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


@dataclass(frozen=True)
class Sense:
    """The captions' words for something, and the everyday phrases for it.

    Attributes:
        say: the captions' words; "" if they have none.
        phrases: everyday phrases, lower case. Inflected forms are derived: those of a verb's first word ("picks up",
            "picked up"), the plural of an object.
        key: its name elsewhere in the table; "" for ``say``.
    """

    say: str
    phrases: tuple[str, ...]
    key: str = ""

    @property
    def name(self) -> str:
        """``key``, or ``say`` if there is none."""
        return self.key or self.say


@dataclass(frozen=True)
class Combination:
    """A verb whose meaning changes beside another word: "put" and "down".

    Attributes:
        verbs: any of these,
        beside: together with any of these: a modifier, a join, or a second verb without an object of its own.
        becomes: the resulting verb; "" for the second verb if there is one, else the first.
        say: replaces the other word; "" removes it, None keeps it.
    """

    verbs: tuple[str, ...]
    beside: tuple[str, ...]
    becomes: str = ""
    say: str | None = None


@dataclass(frozen=True)
class ActorVerb:
    """The verb that one actor's captions use in place of another."""

    actor: str
    verb: str
    becomes: str


@dataclass(frozen=True)
class VerbObject:
    """The object that one verb's captions use in place of another: only a lidded box can be opened."""

    verb: str
    object: str
    becomes: str


@dataclass(frozen=True)
class Source:
    """The verb whose object is a source, and the join that marks it: pouring, from."""

    verb: str
    join: str


@dataclass(frozen=True)
class WordingTable:
    """The content of ``wording.json``.

    Attributes:
        default_actor: of prompts without an actor.
        actors, verbs, objects: parts of a caption, in this order.
        modifiers: follow the object ("to the left"); joins: introduce a second object ("into").
        combinations: applied one after the other; actor_verbs and verb_objects after them.
        source: see :class:`Source`.
        liquids: objects that are omitted with the verb of ``source``.
        surfaces: what objects stand on; omitted after a join, or after before_surfaces ("off", "across").
        no_article: objects without "a".
        determiners: become "a" or "an" before an object.
        pronouns: omitted if an object was named before.
        means: between the object and its actor ("with both hands").
        left_out: phrases that captions never contain.
        kept: phrases that are kept, although their words mean something elsewhere ("turn on").

    Raises:
        InputError: a phrase that occurs twice or is not in lower case, or a name that the table lacks.
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
                        field.name, f"{phrase!r} is not a phrase", "write lower-case words, one space apart"
                    )
                if phrase in taken:
                    raise InputError(
                        field.name, f"{phrase!r} stands in {taken[phrase]} already", "leave one of them out"
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
                raise InputError("combinations", "verbs and beside must name something in each of them")
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
                raise InputError(field, f"{name!r} is not in the table", "add it there, or leave it out here")


def _phrases_of(value: Any) -> Iterable[str]:
    """All phrases in a field of the table; none in fields that refer to others."""
    for one in value if isinstance(value, tuple) else ():
        if isinstance(one, str):
            yield one
        elif isinstance(one, Sense):
            yield from one.phrases


def verb_forms(phrase: str) -> list[str]:
    """The regular forms of a verb, which is the first word of `phrase`.

    Forms with a doubled consonant ("grabbing") are included for every verb, so some forms are not English.
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
