"""Rewrites everyday prompts in the words of the captions with which a closed-vocabulary model was trained.

"lift the mug" is read as "a hand picking up a mug", by the table in the model's folder
(:mod:`mask2iv.prompts.wording`). Unknown words are kept, and a caption is read as itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from mask2iv.prompts.wording import Sense, WordingTable, plurals, split_words, verb_forms

_SENSES = ("actor", "verb", "object", "modifier", "join")
_OF = "of"
_READINGS = 8
"""Passes over a prompt. One with several verbs may need more than two to settle."""


@dataclass(frozen=True)
class Item:
    """A part of a prompt.

    Attributes:
        kind: a field of the table in the singular ("verb", "left_out"); "word" for an unknown word, "other" for one
            whose role in the sentence is not the one in the table.
        name: of its sense in the table; "" without one.
        say: the captions' words for it, or its own if they have none.
        liquid: whether it is a liquid, or is named by one.
    """

    kind: str
    name: str
    say: str
    liquid: bool = False


class Wording:
    """Reads prompts by a table, using only words that the model knows.

    Args:
        table: maps everyday phrases to the captions' words.
        knows: whether the model knows a lower-case word.
    """

    def __init__(self, table: WordingTable, knows: Callable[[str], bool]) -> None:
        self.table = table
        self._says = {sense.name: sense.say for sense in (*table.actors, *table.verbs, *table.objects, *table.joins)}
        self._knows = cache(knows)
        self._index: dict[tuple[str, ...], Item] = {}
        # The table's own phrases take precedence over forms derived from them.
        for phrase, item in (*_written(table), *_derived(table)):
            if not item.name or self._known(item.say):
                self._index.setdefault(tuple(phrase.split()), item)
            elif item.kind in ("modifier", "join"):
                # Its own words are kept, but it still combines with the verb.
                self._index.setdefault(tuple(phrase.split()), replace(item, say=phrase))
        self._longest = max(map(len, self._index), default=0)

    def __call__(self, prompt: str) -> str:
        """The prompt in the captions' words, lower case without punctuation; unchanged if they are its own."""
        words = result = split_words(prompt)
        for _ in range(_READINGS):
            before, result = result, " ".join(self._read(result)).split()
            if result == before:
                break
        return " ".join(result) if result and result != words else prompt

    def _known(self, words: str) -> bool:
        return all(map(self._knows, words.split()))

    def _read(self, words: Sequence[str]) -> list[str]:
        items = [item for item in _heads(self._match(words)) if item.kind != "left_out"]
        actor, items = self._actor(_without_adjectives(_without_surfaces(items)))
        at = next((index for index, item in enumerate(items) if item.kind == "verb"), None)
        if at is None:
            return [self._says.get(actor, ""), *self._render(items)]
        if not actor and self._known(self._says[self.table.default_actor]):
            actor = self.table.default_actor
        return self._sentence(actor, items[:at], items[at].name, items[at + 1 :])

    def _match(self, words: Sequence[str]) -> list[Item]:
        """The longest phrase of the table at each position; other words one by one."""
        items, at = [], 0
        while at < len(words):
            lengths = range(min(self._longest, len(words) - at), 0, -1)
            length = next((n for n in lengths if tuple(words[at : at + n]) in self._index), 0)
            own = " ".join(words[at : at + max(length, 1)])
            item = self._index[tuple(words[at : at + length])] if length else Item("word", "", own)
            # An actor's word may turn out not to be the actor ("a hand drill").
            items.append(replace(item, say=own) if item.kind == "actor" else item)
            at += max(length, 1)
        return items

    def _actor(self, items: Sequence[Item]) -> tuple[str, list[Item]]:
        """The actor's name ("" for none), from in front of the verb or after "with", and the other items."""
        verb = next((index for index, item in enumerate(items) if item.kind == "verb"), len(items))
        actor, rest = "", list[Item]()
        for index, item in enumerate(items):
            if item.kind != "actor":
                rest.append(item)
                continue
            before = list(rest)
            while before and before[-1].kind == "determiner":
                before.pop()
            by_means = bool(before) and before[-1].kind == "means"
            if by_means or index < verb:
                actor = item.name if by_means or not actor else actor
                rest = before[:-1] if by_means else before
            else:
                rest.append(Item("word", "", item.say))
        return actor, rest

    def _sentence(self, actor: str, before: list[Item], verb: str, after: list[Item]) -> list[str]:
        """Actor, verb, object and the rest, in the captions' order."""
        items = [*(item for item in before if item.kind == "modifier"), *_second_verbs(after)]
        before = [item for item in before if item.kind != "modifier"]
        verb, items = self._combine(verb, items)
        verb = next((c.becomes for c in self.table.actor_verbs if (c.actor, c.verb) == (actor, verb)), verb)
        direct, tail = _grouped(items)
        if any(item.kind == "object" for item in (*before, *direct)):
            direct = [item for item in direct if item.kind != "pronoun"]
        if _has_head(before) and not _has_head(direct):
            direct, before = before, []  # "the drawer is opened"
        before = [item for item in before if item.kind != "object"]
        direct, tail = self._from_source(verb, direct, tail)
        changed = {one.object: one.becomes for one in self.table.verb_objects if one.verb == verb}
        direct = [
            replace(item, name=changed[item.name], say=self._says[changed[item.name]])
            if item.name in changed and item.kind == "object" and self._known(self._says[changed[item.name]])
            else item
            for item in direct
        ]
        words = [self._says.get(actor, ""), *self._render(before), self._says[verb], *self._render(direct)]
        for lead, objects in tail:
            words += [lead.say, *self._render(objects)]
        return words

    def _combine(self, verb: str, items: list[Item]) -> tuple[str, list[Item]]:
        """The verb that the first one and the other items combine to, and the items that are left."""
        first = verb
        for combination in self.table.combinations:
            if verb not in combination.verbs:
                continue
            for index, item in enumerate(items):
                if item.kind not in ("verb", "modifier", "join") or item.name not in combination.beside:
                    continue
                becomes = combination.becomes or (item.name if item.kind == "verb" else verb)
                say = item.say if combination.say is None else combination.say
                if self._known(f"{self._says[becomes]} {combination.say or ''}"):
                    verb = becomes
                    left = [] if item.kind == "verb" else [replace(item, say=say)]
                    items = [*items[:index], *left, *items[index + 1 :]]
                    break
        again = (first, verb)
        items = [item for item in items if not (item.kind == "verb" and item.name in again)]
        return verb, [replace(item, kind="other") if item.kind == "verb" else item for item in items]

    def _from_source(
        self, verb: str, direct: list[Item], tail: list[tuple[Item, list[Item]]]
    ) -> tuple[list[Item], list[tuple[Item, list[Item]]]]:
        """For the verb of the table's source: omits what is poured, and puts its container first."""
        source = self.table.source
        if source is None or verb != source.verb or not self._known(self._says[source.join]):
            return direct, tail
        given = [part for part in tail if part[0].name == source.join]
        if given or any(item.liquid for item in direct):
            direct = [item for item in direct if item.kind != "object"]
        elif any(item.kind == "object" for item in direct):
            given, direct = [(Item("join", source.join, self._says[source.join]), direct)], []
        return direct, [*given, *(part for part in tail if part[0].name != source.join)]

    def _render(self, items: Sequence[Item]) -> Iterator[str]:
        """The words of the items; a determiner becomes the article of the object or word after it."""
        article, run = False, list[str]()
        for item in (*items, Item("end", "", "")):
            if item.kind == "object":
                words = [*run, item.say]
                yield from words if item.say in self.table.no_article else [_article(words[0]), *words]
                article, run = False, []
            elif item.kind in (*_SENSES, "determiner", "pronoun", "means", "other", "end"):
                yield from [_article(run[0]), *run] if article and run else run
                article, run = item.kind == "determiner", []
                yield item.say if item.kind != "determiner" else ""
            else:
                run.append(item.say)


def _written(table: WordingTable) -> Iterator[tuple[str, Item]]:
    """The phrases of the table."""
    for kind, phrases in (
        ("surface", table.surfaces),
        ("before_surface", table.before_surfaces),
        ("determiner", table.determiners),
        ("pronoun", table.pronouns),
        ("means", table.means),
        ("left_out", table.left_out),
        ("word", table.kept),
    ):
        yield from ((phrase, Item(kind, "", phrase)) for phrase in phrases)
    for kind, sense in _senses(table):
        liquids = table.liquids if kind == "object" else ()
        yield from ((phrase, Item(kind, sense.name, sense.say, phrase in liquids)) for phrase in sense.phrases)
    yield from ((liquid, Item("object", "", liquid, True)) for liquid in table.liquids)


def _derived(table: WordingTable) -> Iterator[tuple[str, Item]]:
    """The captions' own words, and inflected forms of verbs and objects."""
    for kind, sense in _senses(table):
        yield from ((say, Item(kind, sense.name, sense.say)) for say in [sense.say] if say)
    for kind, sense in _senses(table):
        make = {"verb": verb_forms, "object": plurals}.get(kind)
        for phrase in (*sense.phrases, sense.say) if make else ():
            yield from ((form, Item(kind, sense.name, sense.say)) for form in make(phrase) if phrase)  # type: ignore[misc]


def _senses(table: WordingTable) -> Iterator[tuple[str, Sense]]:
    for kind in _SENSES:
        yield from ((kind, sense) for sense in getattr(table, f"{kind}s"))


def _heads(items: Sequence[Item]) -> list[Item]:
    """Without what only qualifies an object or a direction: "wine bottle", "a cup of tea", "to the left of it"."""
    found = list[Item]()
    at = 0
    while at < len(items):
        item = items[at]
        if found and found[-1].kind in ("object", "modifier") and (item.kind, item.say) == ("word", _OF):
            at += 1
            while at < len(items) and items[at].kind in ("determiner", "word", "left_out"):
                at += 1
            at += at < len(items) and items[at].kind in ("object", "surface")
            continue
        if found and found[-1].kind == item.kind == "object":
            found.pop()
        found.append(item)
        at += 1
    return found


def _without_surfaces(items: Sequence[Item]) -> list[Item]:
    """Without "from the table" and the like; elsewhere surfaces are plain words and their prepositions "other"."""
    found = list[Item]()
    for item in items:
        if item.kind == "surface":
            before = list(found)
            while before and before[-1].kind == "determiner":
                before.pop()
            if before and before[-1].kind in ("join", "before_surface"):
                found = before[:-1]
                continue
        found.append(item)
    kinds = {"surface": "word", "before_surface": "other"}
    return [replace(item, kind=kinds.get(item.kind, item.kind)) for item in found]


def _without_adjectives(items: Sequence[Item]) -> list[Item]:
    """Without verbs and directions between an article and its object: "the open drawer"."""
    found = list[Item]()
    for index, item in enumerate(items):
        behind = bool(found) and found[-1].kind == "determiner"
        ahead = index + 1 < len(items) and items[index + 1].kind == "object"
        if not (behind and ahead and item.kind in ("verb", "modifier")):
            found.append(item)
    return found


def _second_verbs(items: Sequence[Item]) -> list[Item]:
    """Verbs after the first remain verbs only if they have no object of their own ("... and put it down")."""
    found = []
    for index, item in enumerate(items):
        if item.kind == "verb":
            own = []
            for other in items[index + 1 :]:
                if other.kind in ("verb", "modifier", "join"):
                    break
                own.append(other)
            item = replace(item, kind="other") if _has_head(own) else item
        found.append(item)
    return found


def _grouped(items: Sequence[Item]) -> tuple[list[Item], list[tuple[Item, list[Item]]]]:
    """The direct object's items, and each modifier or join with the items after it."""
    direct: list[Item] = []
    tail: list[tuple[Item, list[Item]]] = []
    current = direct
    for item in items:
        if item.kind in ("join", "modifier"):
            own = list[Item]()
            tail.append((item, own))
            # "push forward the mug": the object is still to come.
            current = own if item.kind == "join" or _has_head(direct) else direct
        else:
            current.append(item)
    return direct, tail


def _has_head(items: Sequence[Item]) -> bool:
    return any(item.kind in ("object", "word") for item in items)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
