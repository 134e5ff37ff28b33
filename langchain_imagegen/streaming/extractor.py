"""Take base64 pictures out of a stream of JSON or server-sent events while it arrives.

Pure functions of bytes: no network, no files, no JSON parser, and nothing that knows what an event means.

No parser is needed to find a key. In valid JSON a quote that a letter follows and no backslash precedes can
only open a string: a quote inside a string is escaped, and after a closing one comes a comma, a colon, a
bracket or white space. So `"result": "` is a key and the beginning of its value wherever it stands, and an
event that is broken cannot spoil what comes after it.
"""

from __future__ import annotations

import binascii
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from langchain_imagegen.streaming.decoder import BREAKS_OFF, NOT_BASE64, Decoder, Sink, unescaped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

PICTURE_KEYS = ("result", "partial_image_b64", "b64_json")

_LOOKAHEAD = 96  # enough for twelve bytes of magic even if every character is written as \u00XX
_STEP = 3 << 17  # larger chunks are taken in steps, so that memory stays the same
_HEAD, _TAIL = 256, 2048  # what `open_sink` is shown of a long event: its beginning and its end
_MAX_SPACE = 256  # white space around a colon; more than that and the value is not looked at

_PICTURE = re.compile(
    rb"(?s)\x89PN|\xff\xd8\xff|GIF|RIF(?:F.{4}WEBP|F.{0,7}\Z|\Z)|.{4}ftyp"
    rb"|(?:\xef\xbb\xbf)?[ \t\r\n]*<(?:svg|\?xml|!--|!DOCTYPE svg)"
)
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")


class Gap(NamedTuple):
    """Where a picture stood; `closed` is false when its string broke off without a closing quote."""

    number: int
    closed: bool


def placeholder(n: int) -> dict[str, int]:
    """Return the JSON value that stands for the n-th picture, counted by the calls of `open_sink` from 0."""
    return {"$picture": n}


def picture_number(value: object) -> int | None:
    """Return the number of the picture for which `value` stands, `None` for any other value."""
    if isinstance(value, dict) and value.keys() == {"$picture"}:
        number = value["$picture"]
        return number if type(number) is int else None
    return None


class Extractor:
    """Passes JSON or SSE bytes through, except pictures in base64, which go decoded into sinks.

    A string is a picture if its key is one of `keys`, spelled without escapes, and it begins as the base64 of
    a PNG, JPEG, WebP, GIF, AVIF, HEIC or SVG does. Every other byte passes through unchanged. Memory does not
    grow with the picture. An exception of a sink leaves `feed`; the extractor is then of no further use.

    Args:
        open_sink: Called when a picture begins, with what has passed of the current event or document: all of
            it, or of a long one the first 256 and the last 2048 bytes with a NUL between them. `None` as the
            answer drops the picture undecoded; it is counted all the same.
        keys: The keys under which pictures are looked for.
    """

    def __init__(self, open_sink: Callable[[bytes], Sink | None], *, keys: Collection[str] = PICTURE_KEYS) -> None:
        self._open_sink = open_sink
        self._opening, self._unfinished = _key_patterns(tuple(keys))
        self._held = b""  # the end of the last chunk, which may be the beginning of a key
        self._passed: list[bytes | Gap] = []
        self._event = bytearray()
        self._picture: Decoder | None = None
        self._count = 0
        self._final = False

    def feed(self, chunk: bytes) -> bytes:
        """Return this chunk without pictures, with a placeholder for each picture that ends in it."""
        return _filled(self.split(chunk))

    def finish(self) -> bytes:
        """Return the rest. A picture that is still open is closed with an error."""
        return _filled(self.split_rest())

    def split(self, chunk: bytes) -> list[bytes | Gap]:
        """Return what `feed` returns as texts and gaps; a gap takes the place of a string and its quotes."""
        for start in range(0, len(chunk), _STEP):
            self._take(chunk[start : start + _STEP])
        passed, self._passed = self._passed, []
        return passed

    def split_rest(self) -> list[bytes | Gap]:
        """Return what `finish` returns as texts and gaps."""
        self._final = True
        self._take(b"")
        if self._picture is not None:
            self._close_picture(f"{BREAKS_OFF} before the end of the picture")
        return self.split(b"")

    def _take(self, chunk: bytes) -> None:
        text = self._held + chunk if self._held else chunk
        self._held = b""
        at = 0
        while at < len(text):
            at = self._read_text(text, at) if self._picture is None else self._read_picture(text, at)

    def _read_text(self, text: bytes, at: int) -> int:
        opening = self._opening.search(text, at)
        if opening is None:
            return self._pass_and_hold(text, at, self._undecided(text, at))
        value = opening.end()
        picture = _begins_picture(text, value, final=self._final)
        if picture is None:
            return self._pass_and_hold(text, at, opening.start())
        if not picture:
            self._pass(text[at:value])
            return value
        self._pass(text[at : value - 1])
        self._open_picture()
        return value

    def _read_picture(self, text: bytes, at: int) -> int:
        assert self._picture is not None
        end = _string_end(text, at)
        open_still = end == len(text)
        if open_still and not self._final:
            end = _whole_escapes(text, at)
        self._picture.feed(text, at, end)
        if open_still:
            self._held = text[end:]
            return len(text)
        if text[end] == ord('"'):
            self._close_picture()
            return end + 1
        self._close_picture(f"{BREAKS_OFF} at the end of a line")
        return end

    def _open_picture(self) -> None:
        self._picture = Decoder(self._open_sink(bytes(self._event.lstrip())))

    def _close_picture(self, error: str | None = None) -> None:
        assert self._picture is not None
        picture, self._picture = self._picture, None
        picture.close(error)
        self._passed.append(Gap(self._count, closed=error is None))
        self._event += _placeholder(self._count)
        self._count += 1

    def _pass_and_hold(self, text: bytes, at: int, hold: int) -> int:
        self._pass(text[at:hold])
        self._held = text[hold:]
        return len(text)

    def _pass(self, text: bytes) -> None:
        self._passed.append(text)
        self._event += text
        if b"\n" in text or b"\r" in text:
            end = max(self._event.rfind(blank) for blank in (b"\n\n", b"\r\r", b"\n\r\n"))
            del self._event[: end + 1]
        if len(self._event) > _HEAD + 1 + _TAIL:
            self._event[_HEAD:-_TAIL] = b"\0"

    def _undecided(self, text: bytes, at: int) -> int:
        """Return where a key may begin whose rest has not arrived yet, or the length of `text`."""
        if self._final:
            return len(text)
        if text.endswith(b"\\"):
            return len(text) - 1  # the next byte may be a quote, which is no beginning then
        last = text.rfind(b'"', at)
        for quote in (text.rfind(b'"', at, max(last, at)), last):
            if quote >= 0 and self._unfinished.match(text, quote):
                return quote
        return len(text)


def _filled(parts: Iterable[bytes | Gap]) -> bytes:
    return b"".join(_placeholder(part.number) if isinstance(part, Gap) else part for part in parts)


def _placeholder(n: int) -> bytes:
    return b'{"$picture": %d}' % n


@cache
def _key_patterns(keys: tuple[str, ...]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return patterns for a key up to the opening quote of its value: whole, and cut by the end of the text."""
    names = [key.encode() for key in keys]
    # The look-behinds stand at the end, because a search is fast only when it begins with a literal.
    whole = b"|".join(b'%b"(?<!\\\\"%b")' % (re.escape(name), re.escape(name)) for name in names)
    cut = b"|".join(re.escape(name[:end]) for name in names for end in range(len(name) + 1))
    space = b"[ \\t\\r\\n]{0,%d}" % _MAX_SPACE
    opening = b'"(?:%b)%b:%b"' % (whole, space, space)
    unfinished = b'"(?<!\\\\")(?:(?:%b)%b(?::%b)?|%b)\\Z' % (whole, space, space, cut)
    return re.compile(opening), re.compile(unfinished)


def _begins_picture(text: bytes, at: int, *, final: bool) -> bool | None:
    """Return whether a picture begins at `at`, `None` if more characters are needed to tell."""
    seen = text[at : at + _LOOKAHEAD]
    if len(seen) < _LOOKAHEAD and not final and not re.search(rb'["\r\n]', seen):
        return None
    characters = NOT_BASE64.split(unescaped(seen), maxsplit=1)[0]
    usable = len(characters) - (len(characters) % 4 == 1)
    decoded = binascii.a2b_base64(characters[:usable] + b"=" * (-usable % 4))
    return _PICTURE.match(decoded) is not None


def _string_end(text: bytes, at: int) -> int:
    """Return where the string ends: at its closing quote, at a raw line end, or at the end of the text."""
    quote = text.find(b'"', at)
    while quote >= 0 and _escaped(text, at, quote):
        quote = text.find(b'"', quote + 1)
    limit = len(text) if quote < 0 else quote
    for newline in (b"\n", b"\r"):
        found = text.find(newline, at, limit)
        limit = limit if found < 0 else found
    return limit


def _whole_escapes(text: bytes, at: int) -> int:
    """Return where the last escape begins if the end of the text cuts it, else the end of the text."""
    last = text.rfind(b"\\", max(at, len(text) - 5))
    if last < 0 or not _CUT_ESCAPE.match(text, last) or _escaped(text, at, last):
        return len(text)
    return last


def _escaped(text: bytes, start: int, position: int) -> bool:
    first = position
    while first > start and text[first - 1] == ord("\\"):
        first -= 1
    return (position - first) % 2 == 1
