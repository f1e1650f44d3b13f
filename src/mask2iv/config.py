"""Typed configurations: nested frozen dataclasses, loaded from and saved as JSON; an unknown key is an error."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mask2iv.errors import InputError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """JSON-serialisable form of a configuration dataclass."""
    data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return data


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """Build a configuration from a mapping.

    Missing keys take their defaults; nested dataclasses are built from nested mappings.

    Raises:
        InputError: an unknown key, a missing one without a default or a value of the wrong type, by its dotted path.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in data.items():
        path = f"{where}.{key}" if where else key
        if key not in fields:
            raise InputError(path, "unknown configuration key", f"known keys here: {', '.join(sorted(fields))}")
        values[key] = _convert(hints[key], value, path)
    missing = [
        name
        for name, f in fields.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(where or cls.__name__, f"missing configuration key {missing[0]!r}")
    return cls(**values)


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
            value = json.loads(text)
        except json.JSONDecodeError:
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
        new = _convert(typing.get_type_hints(type(config))[keys[0]], value, path)
    return dataclasses.replace(config, **{keys[0]: new})


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Check a JSON value against a type hint; lists become tuples, and mappings dataclasses."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(typing.get_args(hint)):
            return None
        if len(options) == 1:
            # Its message is more precise, for example about where in a nested configuration the mistake is.
            return _convert(options[0], value, path)
        for option in options:
            try:
                return _convert(option, value, path)
            except InputError:
                continue
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return from_dict(hint, value, path)
    elif origin is tuple and isinstance(value, (list, tuple)):
        inner = typing.get_args(hint)
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is ... else list(inner)
        if len(kinds) == len(value):
            return tuple(_convert(kind, item, path) for kind, item in zip(kinds, value, strict=True))
    elif origin is dict or hint is dict:
        if isinstance(value, Mapping):
            return dict(value)
    elif origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint in (int, bool, str) and type(value) is hint:
        return value
    raise InputError(path, f"expected {getattr(hint, '__name__', hint)}, found {value!r}")
