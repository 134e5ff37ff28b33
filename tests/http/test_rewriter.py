"""The rewriter of answers, without a client: it replaces pictures by tokens, or passes on the original text."""

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
from tests.conversations import photo, to_base64

PNG = draw("a fox", size=(816, 816))
HEAVY = photo("heavy", size_bytes=1_500_000)


def read(reader: Reader, body: bytes, size: int = 65_536) -> bytes:
    """Return what a client gets of a body that arrives in chunks of `size` bytes."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([*(reader.fill(reader.split(chunk)) for chunk in chunks), reader.fill(reader.split_rest())])


def answer(*results: Any) -> bytes:
    """Return a response with these values in place of pictures."""
    return json.dumps(
        {"id": "resp_1", "output": [{"type": "image_generation_call", "result": r} for r in results]}
    ).encode()


def results(body: bytes) -> list[Any]:
    """Return the values in place of pictures."""
    return [item["result"] for item in json.loads(body)["output"]]


def files(folder: Path) -> list[Path]:
    """Return every file of a store, unfinished ones included."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def token_of(data: bytes, mime_type: str = "image/png") -> str:
    """Return the token of a picture."""
    return write_token(hashlib.sha256(data).hexdigest(), mime_type)


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make every write that grows a file beyond `size` bytes fail, as on a full disk."""
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
    """Return the folder of the test's store."""
    return tmp_path / "pictures"


@pytest.fixture
def reader(folder: Path) -> Reader:
    """Return a reader that writes the pictures of one answer into the test's store."""
    return Reader(ImageStore(folder))


# Tokens


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000_000])
def test_base64_becomes_a_token(reader, folder, size):
    """The reader stores the picture and replaces only its base64 by a token, whatever the chunk size."""
    body = answer(to_base64(PNG), None, "a sentence")

    rewritten = read(reader, body, size)

    assert rewritten == body.replace(to_base64(PNG).encode(), token_of(PNG).encode())
    assert [path.read_bytes() for path in files(folder)] == [PNG]


def test_token_decodes_to_its_name(reader):
    """A token is base64 of `imagegen:`, the digest and the media type, so its decoded bytes are no picture."""
    [token] = results(read(reader, answer(to_base64(PNG))))

    assert base64.b64decode(token, validate=True) == b"imagegen:%b:image/png" % hashlib.sha256(PNG).hexdigest().encode()
    assert read_token(token) == (hashlib.sha256(PNG).hexdigest(), "image/png")


def test_every_event_gets_tokens(reader, folder):
    """Each picture of a stream, partial, final or repeated, becomes a token, and equal pictures are stored once."""
    final, partial = to_base64(PNG), to_base64(draw("a draft", size=(816, 816)))
    events = [
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": partial},
        {"type": "response.image_generation_call.partial_image", "partial_image_b64": final},
        {"type": "response.output_item.done", "item": {"result": final}},
        {"type": "response.completed", "response": {"output": [{"result": final}]}},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    rewritten = read(reader, body, 30_000)

    assert len(rewritten) < 1500
    assert rewritten.count(token_of(PNG).encode()) == 3
    assert len(files(folder)) == 2


def test_arriving_picture_is_written_to_disk(folder):
    """The reader writes a picture to disk while it arrives and passes on none of it before its end."""
    reader, body = Reader(ImageStore(folder)), answer(to_base64(HEAVY))
    half = len(body) // 2

    rewritten = read_start(reader, body[:half])

    [path] = files(folder)
    assert path.parent.name == ".partial"
    assert len(HEAVY) // 2 - path.stat().st_size < 600_000
    assert len(rewritten) < 200
    reader.discard()
    assert files(folder) == []


def read_start(reader: Reader, body: bytes) -> bytes:
    """Return what a client gets of a body that has not ended yet."""
    return b"".join(reader.fill(reader.split(body[at : at + 65_536])) for at in range(0, len(body), 65_536))


def test_only_store_writes_are_due(reader):
    """`is_due` is True only for parts that write to the store, so text needs no thread beside the event loop."""
    body = answer(to_base64(HEAVY)) + b"\n" + b'{"id": "resp_2"}' * 100
    due = []
    for at in range(0, len(body), 1000):
        parts = reader.split(body[at : at + 1000])
        due.append(reader.is_due(parts))
        reader.fill(parts)

    assert len(HEAVY) // WRITE_SIZE - 2 <= sum(due) <= len(HEAVY) // WRITE_SIZE + 2
    assert not due[-1]


def test_repeated_picture_is_uploaded_once():
    """A picture that one answer repeats is uploaded to a bucket only once."""
    store = ImageStore("memory://copies-are-uploaded-once")
    reader, body = Reader(store), answer(to_base64(PNG))
    [token] = results(reader.fill(reader.split(body)))
    store.prune(older_than=timedelta(0))
    copy = results(reader.fill(reader.split(body)))

    assert copy == [token]
    assert read_token(token).sha256 not in store


# What passes unchanged


def invalid_base64(data: bytes, how: str) -> str:
    """Return the base64 of a picture with one fault."""
    text = to_base64(data)
    middle = len(text) // 2
    return {
        "wrong character": text[:middle] + "!" + text[middle + 1 :],
        "wrong character early": text[:200] + "~" + text[200:],
        "padding within": text[:middle] + "==" + text[middle:],
        "padding lacks": to_base64(data + b"x" * (1 - len(data) % 3))[:-2],
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
def test_invalid_base64_passes_unchanged(reader, folder, caplog, how, size):
    """Invalid base64 passes unchanged with one warning, and the next picture still becomes a token."""
    invalid = invalid_base64(HEAVY, how)

    values = results(read(reader, answer(invalid, to_base64(PNG)), size))

    assert values == [invalid, token_of(PNG)]
    assert [path.read_bytes() for path in files(folder)] == [PNG]
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "langchain_imagegen.http.rewriter")
    assert "passes as base64" in record.message


def test_truncated_picture_passes_unchanged(reader, folder, caplog):
    """Valid base64 of a truncated picture passes unchanged with a warning."""
    half = to_base64(PNG[: len(PNG) // 6 * 3])

    assert results(read(reader, answer(half))) == [half]
    assert files(folder) == []
    assert "breaks off" in caplog.text


def test_too_large_picture_passes_unchanged(folder, caplog):
    """A picture over `max_bytes` passes unchanged and leaves no file, although its start was already written."""
    store = ImageStore(folder, max_bytes=1_000_000)

    values = results(read(Reader(store), answer(to_base64(HEAVY), to_base64(PNG))))

    assert values == [to_base64(HEAVY), token_of(PNG)]
    assert [path.read_bytes() for path in files(folder)] == [PNG]
    assert "max_bytes=1000000" in caplog.text


def test_full_disk_passes_the_original(reader, folder, caplog):
    """If the disk fills up during a picture, the whole answer passes unchanged with one warning and no file stays."""
    body = answer(to_base64(HEAVY), to_base64(HEAVY))
    with limit_file_size(777_777):
        rewritten = read(reader, body)

    assert rewritten == body
    assert files(folder) == []
    assert "disk has room" in caplog.text
    assert len(caplog.records) == 1


def test_unwritable_store_passes_the_original(tmp_path, caplog):
    """If the store is a file instead of a folder, the answer passes unchanged with a warning."""
    (tmp_path / "file").write_bytes(b"")
    body = answer(to_base64(HEAVY))

    assert read(Reader(ImageStore(tmp_path / "file")), body) == body
    assert "cannot be written" in caplog.text


def test_failing_rename_passes_the_original(reader, folder, caplog):
    """If the finished file cannot be renamed, the answer passes unchanged with a warning and no file stays."""
    digest = hashlib.sha256(HEAVY).hexdigest()
    (folder / digest[:2]).mkdir(parents=True)
    (folder / digest[:2] / f"{digest}.png").mkdir()
    body = answer(to_base64(HEAVY))

    assert read(reader, body) == body
    assert files(folder) == []
    assert "cannot be written" in caplog.text


def test_failing_bucket_passes_the_original(caplog):
    """If the bucket cannot be reached, the answer passes unchanged with a warning."""
    store = ImageStore("s3://nowhere", endpoint_url="http://127.0.0.1:9", key="k", secret="s")
    body = answer(to_base64(PNG))

    assert read(Reader(store), body) == body
    assert "s3://nowhere" in caplog.text


def test_noncanonical_base64_passes_unchanged(reader):
    """Base64 whose last character has unused bits set passes unchanged."""
    usual = to_base64(PNG[: len(PNG) // 3 * 3 - 5])
    unusual = usual[:-3] + chr(ord(usual[-3]) + 1) + "=="

    assert usual.endswith("==")
    assert base64.b64decode(unusual) == base64.b64decode(usual)
    assert results(read(reader, answer(unusual))) == [unusual]


def test_escaped_picture_keeps_its_meaning(folder):
    """A picture with JSON escapes becomes a token, or passes as a JSON string of the same value."""
    escaped = answer(to_base64(HEAVY)).replace(b"/", b"\\/").replace(b"+", b"\\u002b")

    assert results(read(Reader(ImageStore(folder)), escaped)) == [token_of(HEAVY)]
    assert results(read(Reader(ImageStore(folder, max_bytes=900_000)), escaped)) == [to_base64(HEAVY)]


def test_answer_that_ends_within_a_picture_passes_unchanged(reader, folder):
    """An answer that ends within a picture passes unchanged, without an added closing quote."""
    body = answer(to_base64(HEAVY))[:1_000_001]

    assert read(reader, body) == body
    assert files(folder) == []


def test_event_that_ends_within_a_picture_passes_unchanged(reader):
    """An event that ends within a picture passes unchanged, and the picture of the next event becomes a token."""
    event = b'data: {"result": "' + to_base64(PNG).encode()
    body = event[:50_000] + b"\n\n" + event + b'"}\n\n'

    assert read(reader, body) == event[:50_000] + b'\n\ndata: {"result": "' + token_of(PNG).encode() + b'"}\n\n'


PIECES = st.lists(
    st.one_of(
        st.sampled_from([to_base64(PNG), to_base64(PNG)[:5001], to_base64(PNG)[:4000] + "=" + to_base64(PNG)[:300]]),
        st.text(max_size=20),
        st.none(),
        st.integers(0, 9).map(lambda n: to_base64(PNG)[: 3000 + n] + "!\\ü"[n % 3] + to_base64(PNG)[:9]),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, seed=st.integers(0, 10**6), escaped=st.booleans())
def test_failing_store_never_changes_the_document(tmp_path_factory, pieces, seed, escaped):
    """Any document, in chunks of any sizes, keeps its JSON value if the store accepts nothing."""
    folder = tmp_path_factory.mktemp("failing")
    body = answer(*pieces)
    body = body.replace(b"/", b"\\/") if escaped else body
    reader, cut = Reader(ImageStore(folder, max_bytes=50)), random.Random(seed)
    rewritten, at = b"", 0
    while at < len(body):
        size = cut.choice([1, 3, 50, 5000, 100_000])
        rewritten += reader.fill(reader.split(body[at : at + size]))
        at += size
    rewritten += reader.fill(reader.split_rest())

    assert json.loads(rewritten) == json.loads(body)
    assert files(folder) == []
