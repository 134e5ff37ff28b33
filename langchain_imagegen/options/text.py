"""Check and clean values for a JSON request: no lone surrogates, no infinite numbers, no other objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_imagegen.errors import OptionError

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DEEPEST = 60


def replace_surrogates(value: Any) -> Any:
    """Return a JSON value with U+FFFD in place of lone surrogates, which no request can carry.

    A streamed answer may cut an emoji in two, and such a text in the history must not break the next request.
    """
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_surrogates(item) for item in value]
    return value


def check_json(**fields: Any) -> None:
    """Check that a JSON request can carry the values that a developer gave.

    Raises:
        OptionError: It names each field and what is wrong with its value.
    """
    if problems := [f"{name} {problem}" for name, value in fields.items() for problem in _problems(value)]:
        raise OptionError(*dict.fromkeys(problems))


def _problems(value: Any, within: tuple[int, ...] = ()) -> Iterator[str]:
    if isinstance(value, str):
        if not value.isascii() and (found := _SURROGATE.search(value)):
            yield f"holds half a character (a lone surrogate, {found[0]!r}): replace it, or decode the text as UTF-8"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"holds {value}, which JSON has no number for"
    elif isinstance(value, (Mapping, list, tuple)):
        yield from _problems_within(value, within)
    elif value is not None and not isinstance(value, (bool, int)):
        yield f"holds a {type(value).__name__}, which JSON cannot carry: give text, numbers, lists and dicts"


def _problems_within(value: Any, within: tuple[int, ...]) -> Iterator[str]:
    if id(value) in within or len(within) > _DEEPEST:
        yield "contains itself, or is nested too deep for a request"
        return
    if isinstance(value, Mapping) and any(not isinstance(key, str) for key in value):
        yield "has a key that is not text"
        return
    items = (*value, *value.values()) if isinstance(value, Mapping) else value
    for item in items:
        yield from _problems(item, (*within, id(value)))
