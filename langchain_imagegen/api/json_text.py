"""Read JSON as far as it can be read: a paid picture must not be lost because a byte beside it is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic_core import from_json

REPAIRED = "the answer is not valid JSON; what could not be read was left out"

_DEEPEST = 64
_SURROGATES = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]|[^"\[\]{}]+', re.DOTALL)
_NUMBER_TOO_LONG = re.compile(r"\d{400,}")


def read_json(text: bytes, *, cut: bool = False) -> tuple[Any, str | None]:
    """Return the value of a JSON text and, if the text had to be repaired, a warning.

    Args:
        text: May hold what JSON forbids: a byte order mark, NULs, invalid UTF-8, halves of surrogate pairs, nesting
            without end, something behind the value.
        cut: Read as much as there is of a text that breaks off.

    Returns:
        The value, `None` if nothing can be read.
    """
    try:
        return from_json(text, allow_partial=cut, cache_strings="keys"), None  # ids and prompts never come again
    except ValueError:
        return _read_repaired(_repair(text), cut=cut), REPAIRED


def _read_repaired(text: str, *, cut: bool) -> Any:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[0]
    except (ValueError, RecursionError):
        pass
    try:
        return from_json(_escape_control_characters(text), allow_partial=cut)
    except ValueError:
        return None


def _repair(text: bytes) -> str:
    plain = text.decode(errors="replace").lstrip("\ufeff \t\r\n\0")
    plain = _SURROGATES.sub(lambda found: found[1] or f"{found[2] or ''}\\ufffd", plain)
    return _NUMBER_TOO_LONG.sub("0", _prune(plain))


def _prune(text: str) -> str:
    """Put `null` in place of what is nested deeper than any field of the service."""
    kept: list[str] = []
    depth = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in ("[", "{"):
            depth += 1
            if depth <= _DEEPEST:
                kept.append(token)
            elif depth == _DEEPEST + 1:
                kept.append("null")
        elif token in ("]", "}"):
            if depth <= _DEEPEST:
                kept.append(token)
            depth -= 1
        elif depth <= _DEEPEST:
            kept.append(token)
    return "".join(kept)


def _escape_control_characters(text: str) -> bytes:
    return "".join(f"\\u{ord(c):04x}" if c < " " and c not in "\t\r\n" else c for c in text).encode()
