"""English of captions, and the things that instructions name."""

from __future__ import annotations

import pytest

from mask2iv.curation.sources.wording import article, gerund, noun_phrases, verb_of


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("mug", "a mug"),
        ("apple", "an apple"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("one-eyed toy", "a one-eyed toy"),
        ("hour glass", "an hour glass"),
        ("scissors", "a pair of scissors"),
        ("pliers", "a pair of pliers"),
    ],
)
def test_articles(noun: str, expected: str) -> None:
    assert article(noun) == expected


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("pick up", "picking up"),
        ("put down", "putting down"),
        ("close", "closing"),
        ("tie", "tying"),
        ("see", "seeing"),
        ("grab", "grabbing"),
        ("open", "opening"),
        ("pour from", "pouring from"),
    ],
)
def test_ing_forms(verb: str, expected: str) -> None:
    assert gerund(verb) == expected


@pytest.mark.parametrize(
    ("instruction", "verb", "things"),
    [
        ("put the silver pot to the left of the red spoon", "putting", ("silver pot", "red spoon")),
        ("open the drawer", "opening", ("drawer",)),
        ("close top drawer", "closing", ("top drawer",)),
        ("fold the cloth from top right to bottom left", "folding", ("cloth",)),
        ("pick up the cutting board and place it on the stove", "picking up", ("cutting board", "stove")),
        ("moved the carrot to the left side of the table", "moving", ("carrot", "table")),
        ("put corn in bowl sink", "putting", ("corn", "bowl sink")),
        ("turn lever vertical to front", "turning", ("lever",)),
        ("take the lid off the pot, then put it on the pot", "taking", ("lid", "pot")),
        ("a hand picking up a kettle", "picking up", ("kettle",)),
        ("to the left", "", ()),
    ],
)
def test_verbs_and_things_of_instructions(instruction: str, verb: str, things: tuple[str, ...]) -> None:
    assert verb_of(instruction) == verb
    assert noun_phrases(instruction) == things
