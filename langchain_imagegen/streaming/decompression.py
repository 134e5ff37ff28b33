"""Undo `gzip` and `deflate` of an answer as far as they can be undone: a wrong checksum must not lose a picture."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN = b"{[deir:< \t\r\n\xef\0"  # how JSON, events and HTML begin


def inflater_for(headers: Mapping[str, str]) -> Inflater | None:
    """Return what decompresses an answer, or `None` for an answer that the HTTP client should decompress itself."""
    encoding = headers.get("content-encoding", "").strip().lower()
    return Inflater() if encoding in _ENCODINGS else None


class Inflater:
    """Decompresses an answer that comes in chunks; `.flaw` says what was wrong with it.

    The bytes tell which compression it is, and whether it is one at all: proxies mislabel both.
    """

    def __init__(self) -> None:
        self.flaw: str | None = None
        self._stream: Any = None
        self._plain = False

    def feed(self, data: bytes) -> bytes:
        """Return what this chunk stands for; nothing after a flaw."""
        if self._stream is None and data and not self._plain:
            self._plain = data[0] in _PLAIN
            self._stream = zlib.decompressobj(47 if data[0] in (0x1F, 0x78) else -15)
        if self._plain:
            return data
        if self.flaw or not data or self._stream.eof:
            return b""
        before = self._stream.copy()
        try:
            return bytes(self._stream.decompress(data))
        except zlib.error as error:
            self.flaw = str(error)
            return _inflate_up_to_the_flaw(before, data)


def _inflate_up_to_the_flaw(stream: Any, data: bytes) -> bytes:
    """Return the output before the fault: `decompress` loses all output of the call that fails."""
    inflated = bytearray()
    for n in range(len(data)):
        try:
            inflated += stream.decompress(data[n : n + 1])
        except zlib.error:
            break
    return bytes(inflated)
