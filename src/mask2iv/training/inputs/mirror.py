"""Captions of mirrored clips."""

from __future__ import annotations

import re

_PAIRS = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("leftmost", "rightmost"),
    ("left-hand", "right-hand"),
    ("clockwise", "counterclockwise"),
    ("clockwise", "counter-clockwise"),
    ("clockwise", "anticlockwise"),
    ("clockwise", "anti-clockwise"),
)
_OPPOSITE = {other: one for one, other in _PAIRS} | dict(reversed(_PAIRS))


def mirrored_caption(caption: str) -> str:
    """The caption with words for sides and turns swapped: "left" and "right", "clockwise" and "counterclockwise".

    Capitals and punctuation are kept.
    """

    def swapped(match: re.Match[str]) -> str:
        word = match.group()
        other = _OPPOSITE.get(word.lower())
        if other is None:
            return word
        return other.capitalize() if word[0].isupper() else other

    return re.sub(r"[A-Za-z]+(?:-[A-Za-z]+)*", swapped, caption)
