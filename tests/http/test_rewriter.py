"""Pictures taken out of an answer, chunk by chunk, without a client: tokens, and the original where that fails."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_imagegen import ImageStore
from langchain_imagegen.http.rewriter import Reader
from langchain_imagegen.simulator.drawing import draw
from langchain_imagegen.streaming.placeholders import read_token, write_token
from langchain_imagegen.streaming.sinks import WRITE_SIZE
from tests.conversations import encoded, photo

PNG = draw("a fox", size=(816, 816))
HEAVY = photo("heavy", size_bytes=1_500_000)


def read(reader: Reader, body: bytes, size: int = 65_536) -> bytes:
    """What a client gets of a body that comes in chunks of one size."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([*(reader.fill(reader.split(chunk)) for chunk in chunks), reader.fill(reader.split_rest())])


def answer(*results: Any) -> bytes:
    """A response with some values in the place of pictures."""
    return json.dumps(
        {"id": "resp_1", "output": [{"type": "image_generation_call", "result": r} for r in results]}
    ).encode()


def results(body: bytes) -> list[Any]:
    """The values in the place of pictures."""
    return [item["result"] for item in json.loads(body)["output"]]


def files(folder: Path) -> list[Path]:
    """Every file of a store, those on their way too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def token_of(data: bytes, mime_type: str = "image/png") -> str:
    """The token that stands for a picture."""
    return write_token(hashlib.sha256(data).hexdigest(), mime_type)


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """The system refuses to let any file grow over a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store of a test lies."""
    return tmp_path / "pictures"


@pytest.fixture
def reader(folder: Path) -> Reader:
    """Reads one answer into the store of the test."""
    return Reader(ImageStore(folder))


# Tokens


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000_000])
def test_base64_becomes_a_token(reader, folder, size):
    """However a body is cut, the picture is in the store and its token in the JSON, with all else as it was."""
    body = answer(encoded(PNG), None, "a sentence")

    given = read(reader, body, size)

    assert given == body.replace(encoded(PNG).encode(), token_of(PNG).encode())
    assert [path.read_bytes() for path in files(folder)] == [PNG]


def test_a_token_decodes_and_is_no_picture(reader):
    """A token is base64 of a name: who decodes it sees what it is, and who opens it as a picture fails at once."""
    [token] = results(read(reader, answer(encoded(PNG))))

    assert base64.b64decode(token, validate=True) == b"imagegen:%b:image/png" % hashlib.sha256(PNG).hexdigest().encode()
    assert read_token(token) == (hashlib.sha256(PNG).hexdigest(), "image/png")


def test_events_become_light(reader, folder):
    """Partial pictures, the final one and its copies each get their token; equal pictures lie in the store once."""
    final, partial = encoded(PNG), encoded(draw("a draft", size=(816, 816)))
    events = [
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": partial},
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": final},
        {"type": "response.output_item.done", "item": {"result": final}},
        {"type": "response.completed", "response": {"output": [{"result": final}]}},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    given = read(reader, body, 30_000)

    assert len(given) < 1500
    assert given.count(token_of(PNG).encode()) == 3
    assert len(files(folder)) == 2


def test_of_a_picture_little_is_in_memory(folder):
    """While a picture of 1.5 MB arrives, it grows on the disk; nothing of it is handed on before it ends."""
    reader, body = Reader(ImageStore(folder)), answer(encoded(HEAVY))
    half = len(body) // 2

    given = read_open(reader, body[:half])

    [path] = files(folder)
    assert path.parent.name == ".partial"
    assert len(HEAVY) // 2 - path.stat().st_size < 600_000
    assert len(given) < 200
    reader.discard()
    assert files(folder) == []


def read_open(reader: Reader, body: bytes) -> bytes:
    """What a client gets of a body that has not ended."""
    return b"".join(reader.fill(reader.split(body[at : at + 65_536])) for at in range(0, len(body), 65_536))


def test_only_what_touches_the_store_is_due(reader):
    """Text alone is never due, so that an event loop needs no thread for it; much of a picture and its end are."""
    body = answer(encoded(HEAVY)) + b"\n" + b'{"id": "resp_2"}' * 100
    due = []
    for at in range(0, len(body), 1000):
        parts = reader.split(body[at : at + 1000])
        due.append(reader.is_due(parts))
        reader.fill(parts)

    assert len(HEAVY) // WRITE_SIZE - 2 <= sum(due) <= len(HEAVY) // WRITE_SIZE + 2
    assert not due[-1]


def test_copies_are_uploaded_once():
    """A copy of a picture within one answer costs a bucket no further upload."""
    store = ImageStore("memory://copies-are-uploaded-once")
    reader, body = Reader(store), answer(encoded(PNG))
    [token] = results(reader.fill(reader.split(body)))
    store.prune(older_than=timedelta(0))
    copy = results(reader.fill(reader.split(body)))

    assert copy == [token]
    assert read_token(token).sha256 not in store


# The original, where it fails


def broken(data: bytes, how: str) -> str:
    """Base64 of a picture, spoilt."""
    text = encoded(data)
    middle = len(text) // 2
    return {
        "wrong character": text[:middle] + "!" + text[middle + 1 :],
        "wrong character early": text[:200] + "~" + text[200:],
        "padding within": text[:middle] + "==" + text[middle:],
        "padding lacks": encoded(data + b"x" * (1 - len(data) % 3))[:-2],
        "one character too many": text + "A",
        "a break within": text[:middle] + "\n" + text[middle:],
        "an accent within": text[:middle] + "é" + text[middle:],
    }[how]


WAYS = [
    "wrong character", "wrong character early", "padding within", "padding lacks", "one character too many",
    "a break within", "an accent within",
]  # fmt: skip


@pytest.mark.parametrize("size", [1000, 10_000_000])
@pytest.mark.parametrize("how", WAYS)
def test_what_is_no_base64_passes(reader, folder, caplog, how, size):
    """Spoilt base64 is handed on as it came, a warning says why, and the next picture is taken out all the same."""
    spoilt = broken(HEAVY, how)

    given = results(read(reader, answer(spoilt, encoded(PNG)), size))

    assert given == [spoilt, token_of(PNG)]
    assert [path.read_bytes() for path in files(folder)] == [PNG]
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "langchain_imagegen.http.rewriter")
    assert "passes as base64" in record.message


def test_what_is_no_whole_picture_passes(reader, folder, caplog):
    """A picture that breaks off inside its data is handed on as it came."""
    half = encoded(PNG[: len(PNG) // 6 * 3])

    assert results(read(reader, answer(half))) == [half]
    assert files(folder) == []
    assert "breaks off" in caplog.text


def test_what_is_too_large_passes(folder, caplog):
    """A picture over `max_bytes` is handed on as it came, though half of it was written before that was known."""
    store = ImageStore(folder, max_bytes=1_000_000)

    given = results(read(Reader(store), answer(encoded(HEAVY), encoded(PNG))))

    assert given == [encoded(HEAVY), token_of(PNG)]
    assert [path.read_bytes() for path in files(folder)] == [PNG]
    assert "max_bytes=1000000" in caplog.text


def test_a_full_disk_passes(reader, folder, caplog):
    """When the disk is full in the middle of a picture, what was written is read back and handed on with the rest."""
    body = answer(encoded(HEAVY), encoded(HEAVY))
    with no_file_over(777_777):
        given = read(reader, body)

    assert given == body
    assert files(folder) == []
    assert "disk has room" in caplog.text
    assert len(caplog.records) == 1


def test_a_store_that_cannot_be_written_passes(tmp_path, caplog):
    """Where the store is no folder, the answer comes as without a store."""
    (tmp_path / "file").write_bytes(b"")
    body = answer(encoded(HEAVY))

    assert read(Reader(ImageStore(tmp_path / "file")), body) == body
    assert "cannot be written" in caplog.text


def test_a_name_that_cannot_be_given_passes(reader, folder, caplog):
    """When the finished file cannot get its name, it is read back and handed on."""
    digest = hashlib.sha256(HEAVY).hexdigest()
    (folder / digest[:2]).mkdir(parents=True)
    (folder / digest[:2] / f"{digest}.png").mkdir()
    body = answer(encoded(HEAVY))

    assert read(reader, body) == body
    assert files(folder) == []
    assert "cannot be written" in caplog.text


def test_a_bucket_that_fails_passes(caplog):
    """When a bucket refuses the picture at its end, it is handed on as it came."""
    store = ImageStore("s3://nowhere", endpoint_url="http://127.0.0.1:9", key="k", secret="s")
    body = answer(encoded(PNG))

    assert read(Reader(store), body) == body
    assert "s3://nowhere" in caplog.text


def test_other_spellings_pass_as_they_came(reader):
    """Base64 whose last character has bits that no byte needs is not corrected where it is handed on."""
    usual = encoded(PNG[: len(PNG) // 3 * 3 - 5])
    unusual = usual[:-3] + chr(ord(usual[-3]) + 1) + "=="

    assert usual.endswith("==")
    assert base64.b64decode(unusual) == base64.b64decode(usual)
    assert results(read(reader, answer(unusual))) == [unusual]


def test_escapes_pass_with_their_meaning(folder):
    """A picture spelled with escapes is taken out; where that fails, the string means the same."""
    escaped = answer(encoded(HEAVY)).replace(b"/", b"\\/").replace(b"+", b"\\u002b")

    assert results(read(Reader(ImageStore(folder)), escaped)) == [token_of(HEAVY)]
    assert results(read(Reader(ImageStore(folder, max_bytes=900_000)), escaped)) == [encoded(HEAVY)]


def test_a_string_that_breaks_off_passes(reader, folder):
    """When an answer ends within a picture, what came of it is handed on, without a quote that never came."""
    body = answer(encoded(HEAVY))[:1_000_001]

    assert read(reader, body) == body
    assert files(folder) == []


def test_an_event_that_breaks_off_passes(reader):
    """A line that ends within a picture ends there for the client too, and the next event is read."""
    event = b'data: {"result": "' + encoded(PNG).encode()
    body = event[:50_000] + b"\n\n" + event + b'"}\n\n'

    assert read(reader, body) == event[:50_000] + b'\n\ndata: {"result": "' + token_of(PNG).encode() + b'"}\n\n'


PIECES = st.lists(
    st.one_of(
        st.sampled_from([encoded(PNG), encoded(PNG)[:5001], encoded(PNG)[:4000] + "=" + encoded(PNG)[:300]]),
        st.text(max_size=20),
        st.none(),
        st.integers(0, 9).map(lambda n: encoded(PNG)[: 3000 + n] + "!\\ü"[n % 3] + encoded(PNG)[:9]),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, seed=st.integers(0, 10**6), escaped=st.booleans())
def test_a_store_that_fails_changes_nothing(tmp_path_factory, pieces, seed, escaped):
    """Whatever stands in a document and however it is cut, it means the same if nothing can be stored."""
    folder = tmp_path_factory.mktemp("failing")
    body = answer(*pieces)
    body = body.replace(b"/", b"\\/") if escaped else body
    reader, cut = Reader(ImageStore(folder, max_bytes=50)), random.Random(seed)
    given, at = b"", 0
    while at < len(body):
        size = cut.choice([1, 3, 50, 5000, 100_000])
        given += reader.fill(reader.split(body[at : at + size]))
        at += size
    given += reader.fill(reader.split_rest())

    assert json.loads(given) == json.loads(body)
    assert files(folder) == []
