"""The closed vocabulary of a clip set's captions."""

from __future__ import annotations

import re
from collections.abc import Iterable


def words_of(captions: Iterable[str]) -> list[str]:
    """All words of the captions in lower case, sorted, each once."""
    return sorted({word for caption in captions for word in re.findall(r"\w+", caption.lower())})
