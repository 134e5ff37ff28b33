"""The expected result of the scanner for any text, computed with `json`, `base64` and plain loops.

The property tests, the recordings and the fuzzer compare the scanner with it. It checks the text that passes and the
bytes in the sinks, and must not depend on how the scanner works inside.
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

_LONGEST_START = 96  # the characters of a string that decide whether it is a picture
_MAX_BUFFERED = 4096  # the bytes that the scanner may keep between two feeds

_CERTAIN = re.compile(
    rb"(?s)\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|.{4}ftyp|(?:\xef\xbb\xbf)?[ \t\r\n]*<(?:svg|\?xml|!--)"
)
_POSSIBLE = re.compile(rb"\x89PN|GIF|(?:\xef\xbb\xbf)?[ \t\r\n]*<")
_CANONICAL = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_LETTERS = re.compile(rb"[A-Za-z0-9+/]*")
_STRING = re.compile(rb'(?:[^"\\\r\n]+|\\[^\r\n])*\\?')
_ESCAPE = re.compile(rb"(?s)\\u([0-9a-fA-F]{4})|\\(.?)")


@dataclass
class RecordingSink(Sink):
    """A sink that records every call.

    Args:
        before: The text before the picture, as `open_sink` received it.
        copied: The bytes of an earlier picture; the sink takes equal text without decoding it.
    """

    before: bytes = b""
    copied: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    spilled: bytearray = field(default_factory=bytearray)
    closed: list[str | None] = field(default_factory=list)

    def known(self, text: memoryview) -> bool:
        """Return True and keep the bytes if the text continues like the copied picture."""
        rest = self.copied[len(self.data) :] if self.copied.startswith(bytes(self.data)) else b""
        same = bool(text) and base64.b64encode(rest).startswith(text)
        if same:
            self.data += base64.b64decode(text, validate=True)
        return same

    def write(self, data: bytes) -> None:
        """Keep the data; check that it is not empty and comes before `spill` and `close`."""
        assert data
        assert not self.closed
        assert not self.spilled
        self.data += data

    def spill(self, text: bytes) -> None:
        """Keep the text that could not be decoded."""
        assert not self.closed
        self.spilled += text

    def close(self, error: str | None = None) -> None:
        """Keep the error, or None for a picture without an error."""
        self.closed.append(error)


@dataclass
class Scan:
    """The result of a scan: the text that passed, and for each picture its sink, or None if it was unwanted."""

    passed: bytes = b""
    sinks: list[RecordingSink | None] = field(default_factory=list)


@dataclass(frozen=True)
class PictureString:
    """The string of a picture as written in the text; `whole` is True if a quote closes it."""

    raw: bytes
    whole: bool


def to_base64(data: bytes) -> str:
    """Return the data as base64 text."""
    return base64.b64encode(data).decode()


def chunks(text: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield the text in chunks of these sizes, repeated in order."""
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
        text: A document, a stream, or any other bytes.
        sizes: The sizes of the chunks, repeated in order.
        keys: The keys whose strings may be pictures.
        unwanted: A bit mask of the pictures that get no sink.
        copies: Whether each sink knows the bytes of the picture before its own.
    """
    done = Scan()

    def open_sink(before: bytes) -> RecordingSink | None:
        last = next((sink for sink in reversed(done.sinks) if sink is not None), None)
        sink = RecordingSink(before, bytes(last.data) if copies and last else b"")
        done.sinks.append(None if unwanted >> len(done.sinks) & 1 else sink)
        return done.sinks[-1]

    extractor = Extractor(open_sink, keys=keys)
    passed = []
    for number, chunk in enumerate(chunks(text, sizes)):
        passed.append(extractor.feed(chunk))
        assert number % 16 or buffered_bytes(extractor) <= _MAX_BUFFERED
    assert buffered_bytes(extractor) <= _MAX_BUFFERED
    done.passed = b"".join([*passed, extractor.finish()])
    return done


def buffered_bytes(owner: object) -> int:
    """Return the number of bytes that an object refers to, at any depth, without sinks and code."""
    code = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, re.Pattern, RecordingSink)
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
    """Return the data of all events, read in chunks by `EventReader`."""
    reader = EventReader()
    events = []
    for number, chunk in enumerate(chunks(text, sizes)):
        events += reader.feed(chunk)
        events += reader.feed(b"") if number % 3 == 0 else []
    return events + reader.finish()


def events_in(text: bytes) -> list[bytes]:
    """Return the data of all events, read line by line without `EventReader`."""
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
    """Check that the scan of a text does not depend on the chunks and agrees with `json` and `base64`."""
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


def pictures_in(text: bytes, passed: bytes, keys: Collection[str]) -> list[PictureString]:
    """Return the pictures of a text, and check that everything else passed byte for byte."""
    names = b"|".join(re.escape(key.encode()) for key in keys)
    opening = re.compile(rb'(?<!\\)"(?:%b)"[ \t\r\n]{0,256}:[ \t\r\n]{0,256}"' % names)
    found: list[PictureString] = []
    kept, at = bytearray(), 0
    while match := opening.search(text, at):
        start = match.end()
        placeholder = b'{"$picture": %d}' % len(found)
        kept += text[at : start - 1]
        replaced = passed.startswith(placeholder, len(kept))
        if starts_picture(text[start : start + _LONGEST_START], replaced=replaced):
            found.append(string_at(text, start))
            kept += placeholder
            at = start + len(found[-1].raw) + found[-1].whole
        else:
            kept += b'"'
            at = start
    assert kept + text[at:] == passed
    return found


def string_at(text: bytes, start: int) -> PictureString:
    """Return the string after an opening quote, up to its closing quote or the end of the line."""
    end = _STRING.match(text, start).end()
    return PictureString(text[start:end], text[end : end + 1] == b'"')


def starts_picture(text: bytes, *, replaced: bool) -> bool:
    """Return True if a picture starts like this; if the bytes leave that open, `replaced` decides."""
    characters = _LETTERS.match(unescape(text))[0]
    data = base64.b64decode(characters[: len(characters) // 4 * 4])
    if _CERTAIN.match(data):
        return True
    return replaced and (len(data) < 12 or _POSSIBLE.match(data) is not None)


def unescape(raw: bytes) -> bytes:
    """Return the characters of a JSON string, with a backslash in place of each escape that base64 does not need."""
    return _ESCAPE.sub(_unescape_one, raw)


def _unescape_one(escape: re.Match[bytes]) -> bytes:
    code, character = escape.groups()
    if code is not None and int(code, 16) < 128:
        return bytes([int(code, 16)])
    return b"/" if character == b"/" else b"\\"


def check_picture(sink: RecordingSink, picture: PictureString) -> None:
    """Check that a sink holds the valid start of its string, the rest as written, and an error with a position."""
    text = unescape(picture.raw)
    (error,) = sink.closed
    if picture.whole and _CANONICAL.fullmatch(text):
        assert error is None
        assert not sink.spilled
        assert sink.data == base64.b64decode(text, validate=True)
        return
    taken = -(-len(sink.data) // 3) * 4
    assert sink.data == base64.b64decode(text[:taken], validate=True)
    assert unescape(bytes(sink.spilled)) == text[taken:]
    assert error
    wrong = _LETTERS.match(text).end()
    if picture.whole:
        lacking = len(text) % 4 and not text[wrong:].strip(b"=")
        assert f"position {wrong} " in error or (lacking and f" {len(text)} " in error)


class _Pairs(list):
    """The keys and values of a JSON object, including repeated keys."""


def _parse(text: bytes) -> object:
    """Return the JSON document in a text, one character per byte, or None if it is invalid."""
    try:
        return json.loads(text.decode("latin-1"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None


def check_document(text: bytes, done: Scan, keys: Collection[str], passed: bytes | None = None) -> None:
    """Check that a valid document keeps its values, and that `base64` decodes its pictures to the same bytes."""
    document = _parse(text)
    if document is not None:
        check_value(document, _parse(done.passed if passed is None else passed), done.sinks, keys)


def check_value(
    value: object, kept: object, sinks: Sequence[RecordingSink | None], keys: Collection[str], key: str = ""
) -> None:
    """Check one value of a document against the value that passed."""
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
    """Check that every event with valid JSON keeps its values, whatever surrounds it."""
    before, after = events_in(text), events_in(done.passed)
    assert read_events(text, sizes) == before
    assert read_events(done.passed) == after
    for event, passed in zip(before, after, strict=True):
        check_document(event, done, keys, passed)
