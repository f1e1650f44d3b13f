"""Typed data from JSON: configurations and records are dataclasses that pydantic checks; mistakes are named by key."""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, to_json

from mask2iv.errors import InputError
from mask2iv.parsing import parse_json, read_json, read_lines

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
T = TypeVar("T")
Unknown = Literal["forbid", "ignore"]
"""What becomes of keys that a type does not have: configurations forbid them, so that a typing error is found; records
ignore them, so that files of later versions can be read."""


def to_dict(config: Any) -> dict[str, Any]:
    """JSON-serialisable form of a configuration dataclass: tuples become lists."""
    data: dict[str, Any] = plain(config)
    return data


def plain(value: Any) -> Any:
    """What JSON makes of a value: tuples become lists, paths and dataclasses text and mappings."""
    return parse_json(to_json(value))


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "", unknown: Unknown = "forbid") -> T:
    """Build a configuration from a mapping.

    Missing keys take their defaults; nested dataclasses are built from nested mappings. Types are strict: no text for a
    number, no number for a truth value, no fraction for an integer.

    Args:
        cls: a dataclass.
        data: plain values.
        where: dotted key of ``data`` itself, put in front of the keys in messages.
        unknown: see :data:`Unknown`.

    Raises:
        InputError: an unknown key, a missing one without a default or a value of the wrong type, by its dotted path; or
            what the dataclass itself rejects.
    """
    return _checked(cls, data, where, unknown)


def read_config(path: str | os.PathLike[str], cls: type[T], unknown: Unknown = "forbid") -> T:
    """The configuration or record in a JSON file.

    Args:
        path: the file.
        cls: a dataclass, or any other type that pydantic knows.
        unknown: see :data:`Unknown`.

    Raises:
        InputError: no such file, not JSON, or not this type; names the file and the key.
    """
    return _from_file(cls, read_json(path), str(path), unknown)


def read_records(path: str | os.PathLike[str], cls: type[T], unknown: Unknown = "ignore") -> list[T]:
    """The records in a file of JSON lines; blank lines are skipped.

    Raises:
        InputError: no such file, or a line that is not JSON or not this type; names file, line and key.
    """
    return [_from_file(cls, value, f"{path}: line {number}", unknown) for number, value in read_lines(path)]


def _from_file(cls: type[T], value: Any, place: str, unknown: Unknown) -> T:
    try:
        return _checked(cls, value, "", unknown)
    except InputError as error:
        raise (error.about(place) if error.field == _ROOT else error.within(place)) from error


def override(config: T, assignments: Sequence[str]) -> T:
    """Apply ``dotted.key=value`` assignments; values are JSON, or bare strings.

    Raises:
        InputError: an assignment without ``=``, an unknown key, or a value of the wrong type.
    """
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise InputError(assignment, "expected key=value, for example training.max_steps=100")
        try:
            value = parse_json(text)
        except ValueError:
            value = text
        config = _assign(config, path.split("."), value, path)
    return config


def _assign(config: Any, keys: Sequence[str], value: Any, path: str) -> Any:
    names = {f.name for f in dataclasses.fields(config)}
    if keys[0] not in names:
        raise InputError(path, f"unknown configuration key {keys[0]!r}", f"known keys here: {', '.join(sorted(names))}")
    if len(keys) > 1:
        child = getattr(config, keys[0])
        if not dataclasses.is_dataclass(child):
            raise InputError(path, f"{keys[0]} has no keys below it")
        new = _assign(child, keys[1:], value, path)
    else:
        new = _checked(typing.get_type_hints(type(config))[keys[0]], value, path, "forbid")
    return dataclasses.replace(config, **{keys[0]: new})


_ROOT = "value"
"""Field of an error about a whole value that has no name."""


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _checked(cls: Any, value: Any, where: str, unknown: Unknown) -> Any:
    """A plain value as `cls`. In JSON's terms, since pydantic is strict and still reads lists as tuples only there."""
    try:
        return _adapter(cls).validate_json(to_json(value), strict=True, extra=unknown)
    except PydanticSerializationError as error:
        raise InputError(where or _ROOT, f"holds something that JSON cannot: {error}") from error
    except ValidationError as error:
        raise _input_error(cls, error.errors(include_url=False)[0], where) from error


def _input_error(cls: Any, fault: ErrorDetails, where: str) -> InputError:
    kind, location, cause = fault["type"], fault["loc"], fault.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return cause.within(_dotted(where, location)) if location else cause
    if kind == "missing":
        *above, name = location
        place = _dotted(where, above) or getattr(cls, "__name__", _ROOT)
        return InputError(place, f"missing configuration key {name!r}")
    place = _dotted(where, location) or _ROOT
    if kind == "unexpected_keyword_argument":
        known = _known_keys(cls, location[:-1])
        return InputError(place, "unknown configuration key", f"known keys here: {', '.join(known)}" if known else "")
    return InputError(place, f"{_expected(fault)}, found {_brief(fault['input'])}")


def _dotted(where: str, location: Sequence[int | str]) -> str:
    text = where
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _expected(fault: ErrorDetails) -> str:
    message = fault["msg"]
    start = "Input should be "
    return f"expected {message.removeprefix(start)}" if message.startswith(start) else message[:1].lower() + message[1:]


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(cls: Any, location: Sequence[int | str]) -> list[str]:
    """Keys of the dataclass at a place within `cls`; none where the way leads through a union or a container."""
    for part in location:
        if not dataclasses.is_dataclass(cls):
            return []
        hint = typing.get_type_hints(cls).get(str(part))
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        cls = options[0] if len(options) == 1 else hint
    return sorted(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else []


def parse_bytes(text: str, field: str, least: int = 1) -> int:
    """Bytes of a size such as 15MiB, 500 kB, 2G or 1048576. Units of 1000 but for Ki, Mi and Gi, in any case.

    Args:
        text: the size.
        field: its name in messages.
        least: the smallest size that is accepted.

    Raises:
        InputError: another form, or less than that.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?)?B?", text.strip().upper())
    if not match:
        raise InputError(field, f"must be a size such as 15MiB, 500MB or 2GB, found {text!r}")
    size = int(float(match[1]) * _UNITS[match[2] or ""])
    if size < least:
        raise InputError(field, f"must be at least {least} bytes, found {text!r}")
    return size
