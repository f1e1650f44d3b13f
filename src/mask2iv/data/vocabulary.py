"""The closed vocabulary of a clip set's captions."""

from __future__ import annotations

import re
from collections.abc import Iterable


def words_of(captions: Iterable[str]) -> list[str]:
    """The distinct words of the captions, in lower case, sorted."""
    return sorted({word for caption in captions for word in re.findall(r"\w+", caption.lower())})
