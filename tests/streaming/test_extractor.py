"""The extractor compared with `json` and `base64`, for arbitrary texts, pictures and chunk sizes."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_imagegen.streaming.decoder import Sink
from langchain_imagegen.streaming.extractor import PICTURE_KEYS, Extractor, Gap, picture_number, placeholder
from tests.scanner_oracle import (
    BEGINNINGS,
    WHOLE,
    RecordingSink,
    check,
    chunks,
    events_in,
    read_events,
    scan,
    to_base64,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def extract(text, sizes=WHOLE, **settings):
    """Return the text without its pictures, and the sink of each picture."""
    scanned = scan(text, sizes, **settings)
    return scanned.passed, scanned.sinks


def fill_placeholders(value, sinks):
    """Return the document with the sinks' bytes in place of the placeholders."""
    number = picture_number(value)
    if number is not None:
        assert sinks[number].closed == [None]
        return bytes(sinks[number].data)
    if isinstance(value, dict):
        return {key: fill_placeholders(item, sinks) for key, item in value.items()}
    return [fill_placeholders(item, sinks) for item in value] if isinstance(value, list) else value


def decode_pictures(value, key=None):
    """Return the document with each picture decoded by the standard library."""
    if isinstance(value, dict):
        return {key: decode_pictures(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_pictures(item) for item in value]
    if key in PICTURE_KEYS and isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            return value
        return data if data.startswith(tuple(BEGINNINGS.values())) else value
    return value


pictures = st.builds(
    lambda beginning, rest, repeat: to_base64(beginning + rest * repeat),
    st.sampled_from(sorted(BEGINNINGS.values())),
    st.binary(max_size=80),
    st.integers(1, 20),
)
traps = st.sampled_from(
    [
        f'"result": "{to_base64(PNG)}"',
        f'\\"result": "{to_base64(PNG)}',
        'result": "iVBORw0KGgo',
        '"b64_json"',
        '"',
        "\\",
        '\\"',
        "é€😀\u2028",
        to_base64(b"no picture at all, but base64"),
    ]
)
texts = st.text(max_size=12) | traps
keys = st.sampled_from([*PICTURE_KEYS, 'x"result', "result\\", "id", "résult"]) | st.text(max_size=4)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | pictures,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner | pictures, max_size=5)
        | st.fixed_dictionaries({}, optional=dict.fromkeys(PICTURE_KEYS, pictures | texts | inner))
    ),
    max_leaves=12,
)
chunk_sizes = st.lists(st.integers(1, 9) | st.integers(1, 400), min_size=1, max_size=8)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " \t: "), (",\n", "\r\n :\n")])
escapes = st.sampled_from([("", ""), ("/", "\\/"), ("+", "\\u002b"), ("+", "\\u002B"), ("=", "\\u003d")])


@st.composite
def json_texts(draw):
    """Draw a document as an encoder may write it: indented or not, in ASCII or not, with unnecessary escapes."""
    document = draw(documents)
    text = json.dumps(
        document,
        separators=draw(separators),
        indent=draw(st.sampled_from([None, 0, 2])),
        ensure_ascii=draw(st.booleans()),
    )
    return text.replace(*draw(escapes)).encode("utf-8", "surrogatepass") if text else b""


@given(json_texts(), chunk_sizes)
@example(json.dumps({'\\"result': to_base64(PNG), 'x"b64_json': to_base64(PNG)}).encode(), [1])
@example(json.dumps({"text": f'"result": "{to_base64(PNG)}"', "result": to_base64(PNG)}).encode(), [1])
def test_json_and_base64_agree(text, sizes):
    """A document with filled placeholders equals the original document as `json` and `base64` read it."""
    passed, sinks = extract(text, sizes)

    assert fill_placeholders(json.loads(passed), sinks) == decode_pictures(json.loads(text))


@st.composite
def streams(draw):
    """Draw an event stream and its documents, with None for each event that is broken on purpose."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    stream, expected = draw(st.sampled_from(["", "\ufeff"])), []
    for _ in range(draw(st.integers(1, 4))):
        document = draw(st.dictionaries(keys, documents, min_size=1, max_size=4))
        text = json.dumps(document, indent=draw(st.sampled_from([None, 1]))).replace(*draw(escapes))
        lines = [f"data:{draw(st.sampled_from(['', ' ']))}{line}" for line in text.split("\n")]
        lines[:0] = draw(st.lists(st.sampled_from([': keep"alive', "event: x", "id: 7", "retry: 9"]), max_size=2))
        stream += newline.join([*lines, "", ""])
        expected.append(document)
        if draw(st.booleans()):
            stream += f"data: {draw(st.sampled_from(BROKEN))}{newline}{newline}"
            expected.append(None)
    return stream.encode("utf-8", "surrogatepass"), expected


BROKEN = ['{"text": "no end', '{"result": "iVBORw0KGgo', f'{{"result": "{to_base64(PNG)}', '{"result', '"\\']


@given(streams(), chunk_sizes)
def test_events_agree(stream, sizes):
    """Each valid event is read as `json` and `base64` read it, also between broken events."""
    text, expected = stream

    passed, sinks = extract(text, sizes)
    events = read_events(passed, sizes)
    assert len(events) == len(expected)
    for event, document in zip(events, expected, strict=True):
        assert document is None or fill_placeholders(json.loads(event), sinks) == decode_pictures(document)


FLAWS = ["...", " ", "\\n", "\n", "\r", "=", "==", "-_", "\\\\", '\\"', "\\u00e9", "\\x", "\\", "é", '"']


@st.composite
def flawed_texts(draw):
    """Draw a document or a stream in which bytes were inserted, removed or cut off."""
    text = draw(json_texts() | streams().map(lambda stream: stream[0]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(FLAWS)).encode() + text[at + draw(st.integers(0, 3)) :]
    return text[: draw(st.integers(0, len(text)) | st.just(len(text)))]


@given(
    st.binary(max_size=300) | json_texts() | flawed_texts(),
    chunk_sizes,
    st.sampled_from([PICTURE_KEYS, ["id"], ["re", "result", "res"]]),
    st.integers(0, 3),
    st.booleans(),
)
@example(f'{{"result": "{to_base64(PNG)}A\\n\\/o"}}'.encode(), [1], PICTURE_KEYS, 0, False)
@example(f'{{"result": "{to_base64(PNG + b"1")}G'.encode(), [1], PICTURE_KEYS, 0, False)
def test_any_text(text, sizes, keys, unwanted, copies):
    """Arbitrary bytes give exactly the pictures that they contain, whatever the chunk sizes."""
    check(text, sizes, keys=keys, unwanted=unwanted, copies=copies)


@given(
    st.text('data:id \n\r\ufeffé"', max_size=60).map(str.encode) | streams().map(lambda stream: stream[0]), chunk_sizes
)
def test_any_stream(text, sizes):
    """The events of an arbitrary text are those of reading it line by line, whatever the chunk sizes."""
    assert read_events(text, sizes) == events_in(text)


ESCAPED = to_base64(PNG[:50]).replace("/", "\\/").replace("A", "\\u0041")
EVERYTHING = (
    r'{"id": "r", "text": "say \"result\": \"iVBORw0KGgo\"", "a": {"result" : "' + to_base64(PNG) + '"},'
    ' "b": {"result":null,\r\n"b64_json"\t:\n"'
    + ESCAPED
    + '"}, "c": {"partial_image_b64":"", "result": "iVBORw0KGgo.A="},'
    r' "d": [{"result": "' + to_base64(PNG)[:-1] + r'"}, {"x\"result": "' + to_base64(PNG) + '"}]}'
)


@pytest.mark.parametrize("copies", [False, True])
def test_cut_anywhere(copies):
    """A document with every feature gives the same result wherever it is split into two chunks."""
    text = EVERYTHING.encode()

    assert len(extract(text)[1]) == 4
    for at in range(1, len(text)):
        check(text, [at, len(text)], copies=copies)


@given(st.integers(0, 60), st.text("Aa9+/=.- \n\\é", max_size=6), st.integers(0, 5), chunk_sizes)
def test_validity_is_strict(position, inserted, removed, sizes):
    """A sink is closed without an error if and only if its string is canonical base64."""
    value = to_base64(PNG[:40])
    at = 8 + position
    value = value[:at] + inserted + value[at + removed :]

    _, (sink,) = extract(json.dumps({"result": value}, ensure_ascii=False).encode(), sizes)
    valid = re.fullmatch(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", value)
    assert (sink.closed == [None]) == bool(valid)
    assert len(sink.closed) == 1


@pytest.mark.parametrize("name", BEGINNINGS)
@pytest.mark.parametrize("key", PICTURE_KEYS)
def test_formats(name, key):
    """Each picture format is recognized by its first bytes under each of the three keys."""
    text = json.dumps({key: to_base64(BEGINNINGS[name])}).encode()

    passed, (sink,) = extract(text, [1])
    assert json.loads(passed) == {key: placeholder(0)}
    assert sink.data == BEGINNINGS[name]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        [],
        {},
        "",
        "sunny, 20 °C",
        to_base64(b"plain text in base64"),
        to_base64(b"RIFF1234WAVEfmt "),
        "iVB",
    ],
)
def test_other_values_stay(value):
    """A value that is not a picture stays in the text unchanged, also under a picture's key."""
    text = json.dumps({"result": value, "output": to_base64(PNG)}).encode()

    assert extract(text, [1]) == (text, [])


@pytest.mark.parametrize("escape", [("/", "\\/"), ("+", "\\u002B"), ("=", "\\u003d"), ("A", "\\u0041")])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 100000])
def test_escaped_base64(escape, size):
    """Escaped characters give the same picture, wherever a chunk ends within an escape."""
    data = b"\xff\xd8\xff" + random.Random(1).randbytes(2000)
    text = json.dumps({"result": to_base64(data)}).replace(*escape).encode()

    passed, (sink,) = extract(text, [size])
    assert json.loads(passed) == {"result": placeholder(0)}
    assert (sink.data, sink.closed) == (data, [None])


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("iVBORw0KGgo...AAA=", "the base64 is invalid: '.' at position 11 is out of place"),
        ("iVBORw0K GgoAAA=", "the base64 is invalid: ' ' at position 8 is out of place"),
        ("iVBORw0K\\nGgoAAA", "the base64 is invalid: '\\\\' at position 8 is out of place"),
        ("iVBORw0K\\u000aGgoA", "the base64 is invalid: '\\n' at position 8 is out of place"),
        ('iVBORw0K\\"GgoAAAA', "the base64 is invalid: '\\\\' at position 8 is out of place"),
        ("iVBORw0KGg==GgoA", "the base64 is invalid: '=' at position 10 is out of place"),
        ("iVBORw0KGg==Ggo", "the base64 is invalid: '=' at position 10 is out of place"),
        ("iVBORw0KGg.", "the base64 is invalid: '.' at position 10 is out of place"),
        ("iVBORw0K\\\\", "the base64 is invalid: '\\\\' at position 8 is out of place"),
        (to_base64(PNG) + "\\\\", "the base64 is invalid: '\\\\' at position 352 is out of place"),
        ("iVBORw0KGg=", "the base64 is cut or lacks padding: 11 characters are no multiple of 4"),
        ("iVBORw0KGg", "the base64 is cut or lacks padding: 10 characters are no multiple of 4"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 4, 10000])
def test_invalid_base64(value, error, size):
    """The sink's error names the invalid character and its position, and the rest of the document is read."""
    text = b'{"a": {"result": "%b"}, "b": {"result": "%b"}, "c": "d"}' % (
        value.encode(),
        to_base64(PNG).encode(),
    )

    passed, (bad, good) = extract(text, [size])
    assert json.loads(passed) == {"a": {"result": placeholder(0)}, "b": {"result": placeholder(1)}, "c": "d"}
    assert bad.closed == [error]
    assert (good.data, good.closed) == (PNG, [None])


@pytest.mark.parametrize(
    "flaw", ["A\\n/o.AB", "AA\\n\\/=", "AB\\u00e9\\", "AA==G", "Ag==\\/\\/\\/\\/", "A.", "AA", "AAA=="]
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10000])
def test_nothing_is_lost(flaw, size):
    """The decoded bytes and the spilled rest of an invalid string make up the whole string, for any chunk size."""
    value = to_base64(PNG) + flaw

    _, (sink,) = extract(f'{{"result": "{value}'.encode(), [size])
    whole = to_base64(sink.data) + sink.spilled.decode()
    assert whole.replace("\\/", "/") == value.replace("\\/", "/")


@pytest.mark.parametrize("end", ["", "\n", "\r", '"'])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10000])
def test_first_error_is_reported(end, size):
    """A string that is invalid and then truncated is reported as invalid, whatever the chunk sizes."""
    value = to_base64(PNG + b"1") + "G"

    _, (sink,) = extract(f'{{"result": "{value}{end}'.encode(), [size])
    assert sink.closed == ["the base64 is invalid: '=' at position 354 is out of place"]


@pytest.mark.parametrize("end", [20, 30, 200, -3])
@pytest.mark.parametrize("size", [1, 50, 10000])
def test_truncated_body(end, size):
    """A body that ends within a picture gives the sink the bytes that arrived and closes it with an error."""
    text = json.dumps({"result": to_base64(PNG)}).encode()[:end]

    passed, (sink,) = extract(text, [size])
    assert passed == b'{"result": {"$picture": 0}'
    assert PNG.startswith(bytes(sink.data))
    assert len(sink.closed) == 1
    assert "breaks off" in sink.closed[0]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_truncated_line(newline):
    """A picture that is not closed at the end of its line ends there, and the next event is read normally."""
    events = ['data: {"b64_json": "iVBORw0KGgo', f'data: {{"b64_json": "{to_base64(PNG)}"}}', ""]

    passed, (broken, whole) = extract((newline * 2).join(events).encode())
    assert broken.closed == ["the data breaks off at the end of a line"]
    assert read_events(passed)[1] == b'{"b64_json": {"$picture": 1}}'
    assert whole.data == PNG


@pytest.mark.parametrize("size", [1, 10, 100000])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_text_before_a_picture(size, newline):
    """`open_sink` gets the text of the same event before the picture, and nothing of the event before it."""
    head = f'event: b{newline}data: {{"type": "partial", "item_id": "ig_2", "partial_image_b64": '
    text = f'event: a{newline}data: {{"id": 1}}{newline * 2}{head}"{to_base64(PNG)}"}}{newline * 2}'

    _, (sink,) = extract(text.encode(), [size])
    assert sink.before == head.encode()


@pytest.mark.parametrize("size", [1, 1000, 100000])
def test_text_before_a_picture_is_bounded(size):
    """Of a long text before a picture `open_sink` gets the first 256 and the last 2048 bytes, separated by a NUL."""
    head = json.dumps({"id": "resp_1", "text": "long " * 2000, "more": [{"id": "ig_1"}]}).encode()[:-1]
    head += b', "result": '
    text = b'%b"%b"}' % (head, to_base64(PNG).encode())

    _, (sink,) = extract(text, [size])
    assert sink.before == head[:256] + b"\0" + head[-2048:]


def test_unwanted_picture():
    """A picture whose sink is None is dropped, and its placeholder still has a number."""
    kept = RecordingSink()
    sinks = iter([None, kept])
    extractor = Extractor(lambda _: next(sinks))
    text = json.dumps([{"result": to_base64(PNG)}, {"result": to_base64(PNG)}]).encode()

    passed = extractor.feed(text) + extractor.finish()
    assert [picture_number(item["result"]) for item in json.loads(passed)] == [0, 1]
    assert kept.data == PNG


class KnowsAll(Sink):
    """A sink that claims to have every picture already."""

    def __init__(self):
        self.text = b""

    def known(self, text):
        """Record the text and return True."""
        self.text += text
        return True


@pytest.mark.parametrize("size", [1, 50, 10000])
def test_known_text_is_not_decoded(size):
    """A sink that already has the picture gets its text in groups of four characters, and no decoded bytes."""
    sink = KnowsAll()
    extractor = Extractor(lambda _: sink)
    text = json.dumps({"result": to_base64(PNG)}).encode()

    passed = b"".join([*map(extractor.feed, chunks(text, [size])), extractor.finish()])
    assert json.loads(passed) == {"result": placeholder(0)}
    assert sink.text.decode() == to_base64(PNG)


@pytest.mark.parametrize("other", [PNG, PNG[:9], PNG + PNG, PNG[:8] + PNG[9:], PNG[:-1] + b"\0"], ids=range(5))
@pytest.mark.parametrize("size", [1, 50, 10000])
def test_almost_a_copy(other, size):
    """A picture that differs from an earlier one that its sink knows is still decoded completely."""
    text = json.dumps([{"result": to_base64(PNG)}, {"result": to_base64(other)}]).encode()

    _, (first, second) = extract(text, [size], copies=True)
    assert (first.data, second.data) == (PNG, other)
    assert first.closed == second.closed == [None]


@pytest.mark.parametrize("size", [1, 30, 10000])
def test_gaps(size):
    """`split` returns texts and gaps; a gap replaces a picture's string and says whether the string was closed."""
    extractor = Extractor(lambda _: None)
    text = json.dumps({"a": 1, "result": to_base64(PNG), "b64_json": to_base64(PNG)}).encode()[:-9]

    parts = [part for chunk in chunks(text, [size]) for part in extractor.split(chunk)] + extractor.split_rest()
    assert [part for part in parts if isinstance(part, Gap)] == [Gap(0, closed=True), Gap(1, closed=False)]
    assert b"".join(b"?" if isinstance(part, Gap) else part for part in parts) == b'{"a": 1, "result": ?, "b64_json": ?'


def test_own_keys():
    """With own keys, pictures are extracted under these keys only."""
    text = json.dumps({"image": to_base64(PNG), "result": to_base64(PNG)}).encode()

    passed, (sink,) = extract(text, keys=["image"])
    assert json.loads(passed) == {"image": placeholder(0), "result": to_base64(PNG)}
    assert sink.data == PNG


@pytest.mark.parametrize(
    "value", [None, 1, "$picture", [], {}, {"$picture": "1"}, {"$picture": True}, {"$picture": 1, "a": 2}]
)
def test_no_placeholder(value):
    """`picture_number` returns a placeholder's number, and None for any other value."""
    assert picture_number(value) is None
    assert picture_number(json.loads(json.dumps(placeholder(3)))) == 3


class Discard(Sink):
    """A sink that discards the picture."""

    def write(self, data):
        """Discard the data."""

    def close(self, error=None):
        """Assert that there is no error."""
        assert error is None


@pytest.mark.parametrize("size", [65536, 1 << 30])
@pytest.mark.parametrize("escape", [("/", "/"), ("/", "\\/")])
def test_memory_is_constant(size, escape):
    """Extracting a picture of 12 MB in chunks of 64 KB takes less than 500 KB of memory."""
    data = PNG + random.Random(1).randbytes(12_000_000)
    text = json.dumps({"result": to_base64(data), "id": "ig_1"}).replace(*escape).encode()
    extractor = Extractor(lambda _: Discard())
    extractor.feed(b'{"result": "iVBORw0K"}')  # loads the decoder
    tracemalloc.start()

    for chunk in chunks(text, [size]):
        extractor.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (500_000 if size == 65536 else 2_000_000)


@pytest.mark.parametrize("size", [1000, 65536, 1 << 30])
def test_long_line(size):
    """A line of several megabytes of text, traps and pictures is read like a short one."""
    item = {
        "result": to_base64(PNG * 2000),
        "text": f'say "result": "{to_base64(PNG)}" ' * 2000,
        "b64_json": "no " * 200_000,
    }
    text = f"data: {json.dumps([item, item, {'result': 'iVBORw0KGgo' + 'A' * 1_000_000}])}\n\n".encode()

    assert len(extract(text)[1]) == 3
    check(text, [size])
    check(text, [size], copies=True)


def test_decoder_is_loaded_late():
    """Importing the extractor does not load `pybase64`."""
    code = "import sys, langchain_imagegen.streaming.extractor; sys.exit('pybase64' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_event_framing(newline, size):
    """Events are read with comments, names, several data lines and a last event without a blank line after it."""
    lines = [b"\xef\xbb\xbf: a comment", b"", b"event: one", b'data: {"a":', b'data:"\xc3\xa9"}', b"id: 1", b"", b""]
    lines += [b"event: nothing", b"retry: 3", b"", b"data", b"", b"data:  two", b"", b"data: [DONE]"]

    assert read_events(newline.join(lines), [size]) == [b'{"a":\n"\xc3\xa9"}', b" two", b"[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_mixed_line_ends(size):
    """A CRLF is one line end even if a chunk ends within it, and an LF after it is another."""
    assert read_events(b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\rdata: 4\r\n", [size]) == [b"1", b"2", b"3", b"4"]
