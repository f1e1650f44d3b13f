"""Simple English for captions: -ing forms, articles, and the things that an instruction names."""

from __future__ import annotations

import re
from collections.abc import Iterator


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


_VOWEL_SOUNDS = ("hour", "honest")
_CONSONANT_SOUNDS = ("one", "uni", "use", "usu", "uten", "euro", "u-")
_PAIRS = frozenset({"scissors", "pliers", "tongs", "glasses", "tweezers", "trousers", "shears"})

_DOUBLED = word_set("put set get cut grab flip tip tap grip drop wrap stop pat spin zip")
_PAST = {"took": "take", "put": "put", "brought": "bring", "hung": "hang", "swept": "sweep", "held": "hold"}
VERBS = word_set(
    """
    add adjust arrange bind bring carry clamp clean close collect cover cut drag drop empty fill flip fold gather get
    give grab grasp grip hang hit hold insert lay leave lift load lower make move open pat pick place play point pour
    press pull push put raise reach rearrange release remove replace reposition retrieve roll rotate scoop separate set
    shake shift shut slide spin spread squeeze stack stir stop stretch swap sweep swipe take tap throw tilt tip topple
    touch transfer turn twist uncover unfold unhang unwrap use wipe wrap zip
    """
)
"""Base forms of the actions that instructions begin with."""
PARTICLES = frozenset({"up", "down", "out", "away", "over", "on", "off", "open", "back"})

_ENDS = word_set(
    """
    a an the this that these those his her its their my your some any each both all another other one two three it them
    itself him in on onto into to from of at by with without under underneath below above over beneath beside besides
    between behind near next inside outside off out up down across along around against through toward towards for as
    and or then than while so until before after when where which who what there here away back together apart again
    slightly bit little is are be was were been not do does did you your robot arm gripper hand hands end effector
    """
)
"""Words between two things: determiners, prepositions, conjunctions; and the actor, which no instruction moves."""
_DETERMINERS = frozenset({"a", "an", "the", "this", "that", "his", "her", "its", "their", "my", "your", "some", "one"})
_PLACES = word_set(
    """
    left right top bottom upper lower front rear side sides corner corners edge edges middle center centre end ends
    position place location spot area half part direction way clockwise counterclockwise counter-clockwise lefthand
    righthand inward outward forward backward forwards backwards upward downward upwards downwards leftmost rightmost
    far hand closer farther further upright inches inch cm degrees diagonally vertically horizontally
    vertical horizontal
    """
)
"""What tells where, and cannot be seen itself."""


def article(noun: str) -> str:
    """The noun with its indefinite article: "a mug", "an apple", "a pair of scissors"."""
    words = noun.lower().split()
    if words and words[-1] in _PAIRS:
        return f"a pair of {noun}"
    first = noun.lower()
    vowel = first.startswith(tuple("aeiou")) and not first.startswith(_CONSONANT_SOUNDS)
    return f"{'an' if vowel or first.startswith(_VOWEL_SOUNDS) else 'a'} {noun}"


def gerund(verb: str) -> str:
    """The -ing form of a base verb, whose particles stay: "pick up" -> "picking up", "put" -> "putting"."""
    base, *rest = verb.split()
    if base.endswith("ie"):
        form = base[:-2] + "ying"
    elif base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        form = base[:-1] + "ing"
    else:
        form = base + (base[-1] if base in _DOUBLED else "") + "ing"
    return " ".join([form, *rest])


def base_form(word: str) -> str:
    """The base form of a known verb in any of its forms ("moved" -> "move"); "" for other words."""
    word = word.lower()
    if word in VERBS:
        return word
    if word in _PAST:
        return _PAST[word]
    for ending in ("ing", "ed", "es", "s", "d"):
        if not word.endswith(ending):
            continue
        stem = word.removesuffix(ending)
        doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
        for candidate in (stem, stem + "e", doubled):
            if candidate in VERBS:
                return candidate
    return ""


def verb_of(instruction: str) -> str:
    """The -ing form of the first verb of an instruction and its particle: "picking up"; "" if none is known."""
    words = _words(instruction)
    for index, word in enumerate(words):
        base = base_form(word)
        if base:
            particle = words[index + 1] if index + 1 < len(words) and words[index + 1] in PARTICLES else ""
            # "put on the plate" is no phrasal verb: a particle counts where it ends, or a thing follows it.
            if particle in ("on", "over", "back", "open") and base not in ("turn", "flip"):
                particle = ""
            return f"{gerund(base)} {particle}".strip()
    return ""


def noun_phrases(instruction: str) -> tuple[str, ...]:
    """The things that an instruction names, in order, each once: what a detector is asked for.

    Runs of words between determiners, prepositions, conjunctions and verbs, less those that only tell a place:
    "put the silver pot to the left of the red spoon" -> ("silver pot", "red spoon").
    """
    found: dict[str, None] = {}
    for run in _runs(_words(instruction)):
        if not all(word in _PLACES for word in run):
            while run[-1] in _PLACES:
                run = run[:-1]
            found[" ".join(run)] = None
    return tuple(found)


def _words(text: str) -> list[str]:
    """Words in lower case; a comma, full stop or semicolon is a word of its own."""
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[,.;:]", text.lower().replace("\u2019", "'"))


def _runs(words: list[str]) -> Iterator[list[str]]:
    """Runs of words of which each may be one thing."""
    run: list[str] = []
    before = ""
    for word in [*words, "."]:
        # After a determiner or another word of its run, a verb's form is a noun or tells which: "the closed drawer".
        is_verb = not run and before not in _DETERMINERS and bool(base_form(word))
        if word in _ENDS or is_verb or not word[0].isalnum():
            if run:
                yield run
            run = []
        else:
            run.append(word)
        before = word
