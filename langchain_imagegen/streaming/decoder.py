"""Decode base64 strictly while it arrives, into a `Sink`.

Nothing here knows where in a document the text stood.
"""

from __future__ import annotations

import base64
import binascii
import re

from langchain_imagegen.errors import CorruptImageError

BREAKS_OFF = "the data breaks off"
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_URL_SAFE = str.maketrans("-_", "+/")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|([^\r\n]))")
_SAFE_ESCAPES = {rb"\/": b"/", rb"\u002b": b"+", rb"\u002B": b"+", rb"\u002f": b"/", rb"\u002F": b"/"}


class Sink:
    """Receives the bytes of one picture; subclasses store them."""

    def known(self, text: memoryview, /) -> bool:
        """Return True if the sink already has the bytes of these groups of four; they are then not decoded."""
        del text
        return False

    def write(self, data: bytes, /) -> object:
        """Take the next bytes of the picture."""
        raise NotImplementedError

    def spill(self, text: bytes, /) -> object:
        """Take the text from the first invalid group on, as it stands in the JSON; ignored by default."""

    def close(self, error: str | None = None, /) -> object:
        """End the picture; called once. `error` says why its string was not valid base64."""


class Decoder:
    """Decodes one string of base64 strictly, in groups of four characters, into its sink."""

    def __init__(self, sink: Sink | None) -> None:
        from pybase64 import b64decode

        self._sink = sink
        self._b64decode = b64decode
        self._carry = b""  # up to three characters that wait for the fourth
        self._position = 0
        self._error: str | None = None
        self._error_if_more: str | None = None  # set once padding was seen

    def feed(self, text: bytes, start: int, end: int) -> None:
        """Decode `text[start:end]`, which must not cut an escape."""
        if self._sink is None or start == end:
            return
        piece = memoryview(text)[start:end]
        if self._error:
            self._sink.spill(bytes(piece))
        elif text.find(b"\\", start, end) >= 0:
            plain = self._carry + unescaped(bytes(piece))
            self._decode(self._sink, memoryview(plain), self._carry + piece)
        else:
            self._decode_in_place(self._sink, piece)

    def _decode_in_place(self, sink: Sink, piece: memoryview) -> None:
        """Decode a piece without copying more than the characters that complete a carried group."""
        missing = -len(self._carry) % 4
        if missing:
            head = self._carry + piece[:missing]
            self._decode(sink, memoryview(head), head)
            piece = piece[missing:]
        if self._error:
            sink.spill(bytes(piece))
        elif piece:
            self._decode(sink, piece, piece)

    def close(self, error: str | None = None) -> None:
        """End the string; `error` says why it broke off."""
        if self._sink is not None:
            self._error = self._error or (self._error_if_more if self._carry else None) or error or self._incomplete()
            if self._carry:
                self._sink.spill(self._carry)
            self._sink.close(self._error)

    def _decode(self, sink: Sink, text: memoryview, source: bytes | memoryview) -> None:
        """Decode `text`; `source` is the same text as it is escaped in the JSON."""
        whole = len(text) - len(text) % 4
        stray = NOT_BASE64.search(bytes(text[whole:]).rstrip(b"="))  # must not be carried: an escape is lost there
        self._error = self._error_if_more or (self._misfit(text) if stray else self._put(sink, text[:whole]))
        if self._error:
            self._carry = b""
            sink.spill(bytes(source))
            return
        self._position += whole
        self._carry = bytes(text[whole:])
        if padding := bytes(text[max(whole - 2, 0) : whole]).count(b"="):
            self._error_if_more = _out_of_place("=", self._position - padding)

    def _put(self, sink: Sink, text: memoryview) -> str | None:
        """Decode whole groups into the sink; return the error if that fails."""
        if not text or sink.known(text):
            return None
        try:
            data = self._b64decode(text, validate=True)
        except binascii.Error:
            return self._misfit(text) or "the base64 is invalid"
        sink.write(data)
        return None

    def _misfit(self, text: bytes | memoryview) -> str | None:
        found = NOT_BASE64.search(text)
        return found and _out_of_place(chr(found[0][0]), self._position + found.start())

    def _incomplete(self) -> str | None:
        if not self._carry:
            return None
        length = self._position + len(self._carry)
        return f"the base64 is cut or lacks padding: {length} characters are no multiple of 4"


def unescaped(text: bytes) -> bytes:
    """Return the characters of a JSON string; an escape of a character outside base64 becomes a backslash."""
    plain = text
    for escape, character in _SAFE_ESCAPES.items():
        plain = plain.replace(escape, character)
        if b"\\" not in plain:
            return plain
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[bytes]) -> bytes:
    code, character = escape.groups()
    if code is not None:
        return bytes([int(code, 16)]) if int(code, 16) < 128 else b"\\"
    return b"/" if character == b"/" else b"\\"


def _out_of_place(character: str, position: int) -> str:
    return f"the base64 is invalid: {character!r} at position {position} is out of place"


def decode(text: str) -> bytes:
    """Return the bytes of base64 text, which may be URL-safe, broken into lines or without padding.

    Raises:
        CorruptImageError: the text holds anything else.
    """
    plain = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptImageError(f"the picture's data is not base64: {error}") from error
