"""Sizes and numbers, from text."""

from __future__ import annotations

import re

from mask2iv.errors import InputError


def parse_size(text: str) -> tuple[int, int]:
    """Size text, for example 160x256, to (height, width).

    Raises:
        InputError: another form.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match or not all(int(number) for number in match.groups()):
        raise InputError("size", f"expected HEIGHTxWIDTH in pixels, for example 160x256, found {text!r}")
    return int(match[1]), int(match[2])


def parse_numbers(text: str, count: int, field: str, form: str) -> tuple[int, ...]:
    """Numbers with commas between them, for example 10,20,30, to integers.

    Raises:
        InputError: not `count` integers.
    """
    parts = text.split(",")
    if len(parts) != count or not all(re.fullmatch(r"-?\d{1,9}", part.strip()) for part in parts):
        raise InputError(field, f"expected {form} in pixels, found {text!r}")
    return tuple(int(part) for part in parts)
