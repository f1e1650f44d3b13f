"""Captions as spreadsheets and editors write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mask2iv.data.captions import describe, read_captions
from mask2iv.errors import InputError


def captions(folder: Path, content: bytes) -> dict[str, str]:
    """Captions by clip."""
    (folder / "captions.csv").write_bytes(content)
    return {name: describe(row).caption for name, row in read_captions(folder).items()}


@pytest.mark.parametrize(
    "content",
    [
        'clip,caption\ncup,"a hand\nlifting, slowly, a cup"\nbox,a "b"\n',
        'clip,caption\r\ncup,"a hand\r\nlifting, slowly, a cup"\r\nbox,a "b"\r\n',
        'clip;caption\ncup;a hand lifting, slowly, a cup\nbox;"a ""b"""\n',
        'clip\tcaption\ncup\ta hand lifting, slowly, a cup\n\nbox\ta "b"',
        '\ufeffclip, caption\ncup, "a hand lifting,\n\n slowly, a cup"\nbox, a "b"\n',
    ],
)
def test_every_dialect_says_the_same(content: str, tmp_path: Path) -> None:
    assert captions(tmp_path, content.encode()) == {"cup": "a hand lifting, slowly, a cup", "box": 'a "b"'}


def test_a_quote_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    """It would swallow all rows that follow."""
    with pytest.raises(InputError, match=r"line 3 of .*captions.csv: unexpected end of data; close each double quote"):
        captions(tmp_path, b'clip,caption\ncup,"a hand\nbox,a b\n')


def test_too_many_fields_name_the_separator(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2 .* put texts with semicolons in double quotes"):
        captions(tmp_path, b"clip;caption\ncup;a;b\n")
