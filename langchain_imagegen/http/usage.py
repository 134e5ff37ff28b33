"""Finds the image model's tokens in the text of an answer, which chat models leave out of their messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_imagegen.streaming.extractor import Gap

_KEY = b'"tool_usage"'
_LONGEST = 8192  # bytes of the object; it has some 400


class UsageFinder:
    """Reads the last `tool_usage` of an answer of the Responses API: JSON or events, in chunks of any size."""

    def __init__(self) -> None:
        self._held = b""
        self.usage: dict[str, Any] | None = None

    def feed(self, text: bytes) -> None:
        """Read the next text; the first events of a stream have zeros, and the last one has the tokens."""
        self._held += text
        while (at := self._held.find(_KEY)) >= 0:
            found = self._held[at + len(_KEY) :]
            value, end = _object_in(found)
            if value is None and len(found) < _LONGEST:
                self._held = self._held[at:]
                return
            if value is not None:
                drawn = value.get("image_gen")
                self.usage = drawn if isinstance(drawn, dict) else None
            self._held = found[end:]
        self._held = self._held[-len(_KEY) :]


class Observer:
    """Hands on an answer as it came, and finds its tokens; it stands in for `rewriter.Reader`."""

    has_open = False

    def __init__(self, finder: UsageFinder) -> None:
        self._finder = finder

    def split(self, chunk: bytes) -> Sequence[bytes | Gap]:
        """Return the chunk."""
        return [chunk]

    def split_rest(self) -> Sequence[bytes | Gap]:
        """Return nothing: nothing is held back."""
        return []

    def is_due(self, parts: Iterable[object]) -> bool:
        """Return False: no store is touched."""
        del parts
        return False

    def fill(self, parts: Iterable[Any]) -> bytes:
        """Return the text."""
        text = b"".join(parts)
        self._finder.feed(text)
        return text

    def discard(self) -> None:
        """Do nothing: nothing is kept."""


def _object_in(text: bytes) -> tuple[dict[str, Any] | None, int]:
    """Return the object after a key and where it ends; None if it is not there in full."""
    head = text.lstrip(b" \t\r\n:")
    if not head.startswith(b"{"):
        return None, len(text) - len(head) if head else 0
    try:
        value, end = json.JSONDecoder().raw_decode(head.decode("utf-8", "replace"))
    except ValueError:
        return None, 0
    return value, len(text) - len(head) + end
