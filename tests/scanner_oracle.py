"""The expected result of the scanner for any text, computed with `json`, `base64` and plain loops.

The property tests, the recordings and the fuzzer judge by it. It looks at what passes and at what sinks hold;
nothing here may know how the scanner works inside.
"""

from __future__ import annotations

import base64
import gc
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.events import EventReader
from langchain_imagegen.streaming.extractor import PICTURE_KEYS, Extractor, picture_number

WHOLE = (1 << 30,)
BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "gif": b"GIF89a",
    "avif": b"\x00\x00\x00\x1cftypavif",
    "heic": b"\x00\x00\x00\x18ftypheic",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "svg after a declaration": b"<?xml version='1.0'?><svg/>",
    "svg after a mark and space": b"\xef\xbb\xbf \r\n\t<svg/>",
    "svg after a comment": b"<!-- drawn --><svg/>",
}

_LOOKED_AT = 96  # characters of a string that may decide whether it is a picture
_MAX_HELD = 4096  # what may be kept between two feeds, whatever came

_CERTAIN = re.compile(
    rb"(?s)\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|.{4}ftyp|(?:\xef\xbb\xbf)?[ \t\r\n]*<(?:svg|\?xml|!--)"
)
_POSSIBLE = re.compile(rb"\x89PN|GIF|(?:\xef\xbb\xbf)?[ \t\r\n]*<")
_CANONICAL = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_LETTERS = re.compile(rb"[A-Za-z0-9+/]*")
_STRING = re.compile(rb'(?:[^"\\\r\n]+|\\[^\r\n])*\\?')
_ESCAPE = re.compile(rb"(?s)\\u([0-9a-fA-F]{4})|\\(.?)")


@dataclass
class Kept(Sink):
    """A sink that records every call.

    Args:
        before: What `open_sink` was shown.
        copied: Bytes of an earlier picture; what repeats them need not be decoded.
    """

    before: bytes = b""
    copied: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    spilled: bytearray = field(default_factory=bytearray)
    closed: list[str | None] = field(default_factory=list)

    def known(self, text: memoryview) -> bool:
        """Return True if the text continues like the copied picture, and keep its bytes."""
        rest = self.copied[len(self.data) :] if self.copied.startswith(bytes(self.data)) else b""
        same = bool(text) and base64.b64encode(rest).startswith(text)
        if same:
            self.data += base64.b64decode(text, validate=True)
        return same

    def write(self, data: bytes) -> None:
        """Keep the data; check that it is not empty and not late."""
        assert data
        assert not self.closed
        assert not self.spilled
        self.data += data

    def spill(self, text: bytes) -> None:
        """Keep what could not be decoded."""
        assert not self.closed
        self.spilled += text

    def close(self, error: str | None = None) -> None:
        """Keep the error or `None` that the picture was closed with."""
        self.closed.append(error)


@dataclass
class Scan:
    """The result of a scan: what passed, and a sink for each picture, `None` for one that was not wanted."""

    passed: bytes = b""
    sinks: list[Kept | None] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """The string of a picture as it is written in the text; `whole` if a quote closes it."""

    raw: bytes
    whole: bool


def encoded(data: bytes) -> str:
    """Return the data as base64."""
    return base64.b64encode(data).decode()


def cut(text: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield the text in chunks of these sizes, used in turn."""
    start, turn = 0, 0
    while start < len(text):
        size = sizes[turn % len(sizes)]
        yield text[start : start + size]
        start, turn = start + size, turn + 1


def scan(
    text: bytes,
    sizes: Sequence[int] = WHOLE,
    *,
    keys: Collection[str] = PICTURE_KEYS,
    unwanted: int = 0,
    copies: bool = False,
) -> Scan:
    """Return the result of scanning the text in chunks of these sizes.

    Args:
        text: A document, a stream, or anything.
        sizes: Of the chunks, over and over.
        keys: The keys of pictures.
        unwanted: A bit for each picture that gets no sink.
        copies: Whether each sink knows the picture before its own.
    """
    done = Scan()

    def open_sink(before: bytes) -> Kept | None:
        last = next((sink for sink in reversed(done.sinks) if sink is not None), None)
        sink = Kept(before, bytes(last.data) if copies and last else b"")
        done.sinks.append(None if unwanted >> len(done.sinks) & 1 else sink)
        return done.sinks[-1]

    extractor = Extractor(open_sink, keys=keys)
    passed = []
    for number, chunk in enumerate(cut(text, sizes)):
        passed.append(extractor.feed(chunk))
        assert number % 16 or held(extractor) <= _MAX_HELD
    assert held(extractor) <= _MAX_HELD
    done.passed = b"".join([*passed, extractor.finish()])
    return done


def held(owner: object) -> int:
    """Return how many bytes an object keeps, at any depth, apart from sinks and code."""
    code = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, re.Pattern, Kept)
    seen, found, total = set(), [owner], 0
    while found:
        item = found.pop()
        if id(item) in seen or isinstance(item, code):
            continue
        seen.add(id(item))
        total += len(item) if isinstance(item, (bytes, bytearray, memoryview)) else 0
        found += gc.get_referents(item)
    return total


def read_events(text: bytes, sizes: Sequence[int] = WHOLE) -> list[bytes]:
    """Return the data of all events as `EventReader` gives it."""
    reader = EventReader()
    events = []
    for number, chunk in enumerate(cut(text, sizes)):
        events += reader.feed(chunk)
        events += reader.feed(b"") if number % 3 == 0 else []
    return events + reader.finish()


def events_in(text: bytes) -> list[bytes]:
    """Return the data of all events, read line by line from the whole text."""
    events, data = [], []
    for line in [*re.split(rb"\r\n|\r|\n", text.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line.startswith(b"data:") or line == b"data":
            data.append(line[5:].removeprefix(b" "))
        if not line:
            events.append(b"\n".join(data))
            data = []
    return [event for event in events if event]


def check(
    text: bytes,
    sizes: Sequence[int],
    *,
    keys: Collection[str] = PICTURE_KEYS,
    unwanted: int = 0,
    copies: bool = False,
) -> None:
    """Check that a text gives the same result however it is cut, and the one that `json` and `base64` give."""
    whole = scan(text, keys=keys, unwanted=unwanted, copies=copies)
    pieces = scan(text, sizes, keys=keys, unwanted=unwanted, copies=copies)

    assert pieces.passed == whole.passed
    assert [sink and (sink.before, sink.closed) for sink in pieces.sinks] == [
        sink and (sink.before, sink.closed) for sink in whole.sinks
    ]
    found = pictures_in(text, whole.passed, keys)
    for done in (whole, pieces):
        for sink, picture in zip(done.sinks, found, strict=True):
            if sink is not None:
                check_picture(sink, picture)
    check_document(text, whole, keys)
    check_stream(text, whole, sizes, keys)


def pictures_in(text: bytes, passed: bytes, keys: Collection[str]) -> list[Found]:
    """Return the pictures of a text; check that everything else passed byte for byte."""
    names = b"|".join(re.escape(key.encode()) for key in keys)
    opening = re.compile(rb'(?<!\\)"(?:%b)"[ \t\r\n]{0,256}:[ \t\r\n]{0,256}"' % names)
    found: list[Found] = []
    kept, at = bytearray(), 0
    while match := opening.search(text, at):
        start = match.end()
        placeholder = b'{"$picture": %d}' % len(found)
        kept += text[at : start - 1]
        if begins(text[start : start + _LOOKED_AT], told=passed.startswith(placeholder, len(kept))):
            found.append(string_at(text, start))
            kept += placeholder
            at = start + len(found[-1].raw) + found[-1].whole
        else:
            kept += b'"'
            at = start
    assert kept + text[at:] == passed
    return found


def string_at(text: bytes, start: int) -> Found:
    """Return the string behind an opening quote, up to its closing quote or the end of the line."""
    end = _STRING.match(text, start).end()
    return Found(text[start:end], text[end : end + 1] == b'"')


def begins(text: bytes, *, told: bool) -> bool:
    """Whether a picture begins like this; `told` settles what its first bytes leave open."""
    characters = _LETTERS.match(plain(text))[0]
    data = base64.b64decode(characters[: len(characters) // 4 * 4])
    if _CERTAIN.match(data):
        return True
    return told and (len(data) < 12 or _POSSIBLE.match(data) is not None)


def plain(raw: bytes) -> bytes:
    """Return the characters of a JSON string, with a backslash for each escape that base64 does not need."""
    return _ESCAPE.sub(_unescaped, raw)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code, character = escape.groups()
    if code is not None and int(code, 16) < 128:
        return bytes([int(code, 16)])
    return b"/" if character == b"/" else b"\\"


def check_picture(sink: Kept, picture: Found) -> None:
    """Check that a sink holds the valid beginning of its string, the rest as written, and one error with a position."""
    text = plain(picture.raw)
    (error,) = sink.closed
    if picture.whole and _CANONICAL.fullmatch(text):
        assert error is None
        assert not sink.spilled
        assert sink.data == base64.b64decode(text, validate=True)
        return
    taken = -(-len(sink.data) // 3) * 4
    assert sink.data == base64.b64decode(text[:taken], validate=True)
    assert plain(bytes(sink.spilled)) == text[taken:]
    assert error
    wrong = _LETTERS.match(text).end()
    if picture.whole:
        lacking = len(text) % 4 and not text[wrong:].strip(b"=")
        assert f"position {wrong} " in error or (lacking and f" {len(text)} " in error)


class _Pairs(list):
    """Return an object's keys and values, repeated ones included."""


def _parsed(text: bytes) -> object:
    """Return the document in a text, one character a byte, or `None` if it is not valid."""
    try:
        return json.loads(text.decode("latin-1"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None


def check_document(text: bytes, done: Scan, keys: Collection[str], passed: bytes | None = None) -> None:
    """Check that a valid document stays valid with the same values, and its pictures are as `base64` decodes them."""
    document = _parsed(text)
    if document is not None:
        check_value(document, _parsed(done.passed if passed is None else passed), done.sinks, keys)


def check_value(
    value: object, kept: object, sinks: Sequence[Kept | None], keys: Collection[str], key: str = ""
) -> None:
    """Check one value against what passed of it."""
    number = picture_number(dict(kept)) if isinstance(kept, _Pairs) else None
    if isinstance(value, str) and number is not None:
        assert key in keys
        sink = sinks[number]
        if sink and sink.closed == [None]:
            assert sink.data == base64.b64decode(value, validate=True)
        elif sink:
            assert not _CANONICAL.fullmatch(value.encode("utf-8", "surrogatepass"))
        return
    assert type(value) is type(kept)
    if isinstance(value, _Pairs):
        for (name, one), (same, other) in zip(value, kept, strict=True):
            assert name == same
            check_value(one, other, sinks, keys, name)
    elif isinstance(value, list):
        for one, other in zip(value, kept, strict=True):
            check_value(one, other, sinks, keys)
    else:
        assert repr(value) == repr(kept)


def check_stream(text: bytes, done: Scan, sizes: Sequence[int], keys: Collection[str]) -> None:
    """Check that every event of valid JSON keeps its values, whatever surrounds it."""
    before, after = events_in(text), events_in(done.passed)
    assert read_events(text, sizes) == before
    assert read_events(done.passed) == after
    for event, passed in zip(before, after, strict=True):
        check_document(event, done, keys, passed)
