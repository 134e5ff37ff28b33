"""Pictures while they arrive: decoded and stored once, in little memory, and removed if they do not finish."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pybase64
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_imagegen import ImageGenerator, ImageResult, ImageStore
from langchain_imagegen.errors import CorruptImageError
from langchain_imagegen.streaming.extractor import Extractor
from langchain_imagegen.streaming.sinks import WRITE_SIZE, DuplicateSink, MemorySink, StoreSink
from tests.loopback import JSON, SSE, serving, split

CHUNK = 1 << 16


def png(size: int, seed: int = 0) -> bytes:
    """Return a valid PNG of about `size` bytes of noise."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    edge = int((size / 3) ** 0.5) + 1
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(edge * 3) for _ in range(edge))
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


SMALL = png(600)


def encoded(data: bytes) -> str:
    """Return the data as base64."""
    return base64.b64encode(data).decode()


def response(picture: bytes) -> dict[str, Any]:
    """Return a response that contains the picture."""
    item = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": encoded(picture)}
    return {"id": "resp_1", "status": "completed", "model": "gpt-5.4", "output": [item]}


def events(picture: bytes, *unfinished: bytes) -> bytes:
    """Return a stream with unfinished partial pictures and then three copies of the finished one."""
    whole = response(picture)
    parts: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_1", "output": []}}]
    parts += [
        {
            "type": "response.image_generation_call.partial_image",
            "item_id": "ig_1",
            "partial_image_index": n,
            "partial_image_b64": encoded(data),
        }
        for n, data in enumerate((*unfinished, picture))
    ]
    parts += [{"type": "response.output_item.done", "item": whole["output"][0]}]
    parts += [{"type": "response.completed", "response": whole}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in parts)


def files(folder: Path) -> list[str]:
    """Return the names of all files below a folder, including temporary ones."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- copies


def feed(sink: Any, data: bytes, sizes: list[int], *, cut: int = 0) -> Any:
    """Feed the sink a picture in chunks of these sizes, without its last `cut` characters, and return the sink."""
    extractor = Extractor(lambda _: sink)
    text = encoded(data)
    body = b'{"result": "' + text[: len(text) - cut].encode() + (b"" if cut else b'"}')
    for piece in split(body, *sizes):
        extractor.feed(piece)
        if work := sink.work():
            work()
    extractor.finish()
    return sink


SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", [MemorySink, StoreSink])
@given(sizes=SIZES, tail=st.binary(max_size=60), place=st.integers(0, 700), other=st.binary(max_size=3))
@example(sizes=[7], tail=b"", place=0, other=b"")
@example(sizes=[400], tail=b"abc", place=len(SMALL) + 3, other=b"d")
def test_a_second_copy_is_stored_as_it_came(kind: Any, sizes: list[int], tail: bytes, place: int, other: bytes):
    """A second copy of a picture, whether equal, longer, shorter or changed, is stored as it came."""
    store = ImageStore("memory://copies")
    first = SMALL + tail
    at = min(max(place, 120), len(first))
    second = first[:at] + other + first[at + len(other) :]
    original = feed(kind(store), first, sizes)

    copy = feed(DuplicateSink(original, store), second, sizes)

    try:
        blob = copy.blob()
    except CorruptImageError:
        assert second[: len(SMALL)] != SMALL
    else:
        assert store.get(blob.sha256) == second
    assert store.get(original.blob().sha256) == first


@pytest.mark.parametrize("kind", [MemorySink, StoreSink])
@pytest.mark.parametrize("cut", [4, 5, 100])
def test_a_truncated_copy(kind: Any, cut: int, image_store: ImageStore):
    """A truncated copy of a known picture raises a `CorruptImageError`."""
    original = feed(kind(image_store), SMALL, [100])

    copy = feed(DuplicateSink(original, image_store), SMALL, [100], cut=cut)

    with pytest.raises(CorruptImageError, match="breaks off"):
        copy.blob()
    assert image_store.get(original.blob().sha256) == SMALL


@pytest.mark.parametrize("kind", [MemorySink, StoreSink])
@pytest.mark.parametrize("more", ["A", "%"])
def test_a_copy_with_invalid_text_after_it(kind: Any, more: str, image_store: ImageStore):
    """A copy that is followed by invalid base64 raises the same error as it would without the original."""
    original = feed(kind(image_store), SMALL, [100])
    alone, copy = StoreSink(image_store), DuplicateSink(original, image_store)

    for sink in (alone, copy):
        extractor = Extractor(lambda _, sink=sink: sink)
        extractor.feed(f'{{"result": "{encoded(SMALL)}{more}"}}'.encode())
        extractor.finish()

    for sink in (alone, copy):
        with pytest.raises(CorruptImageError, match="base64"):
            sink.blob()


@pytest.mark.parametrize("kind", [MemorySink, StoreSink])
def test_a_copy_after_a_corrupt_one(kind: Any, image_store: ImageStore):
    """A valid copy is stored even if it equals the valid beginning of a corrupt one."""
    original = kind(image_store)
    extractor = Extractor(lambda _: original)
    extractor.feed(f'{{"result": "{encoded(SMALL)}%"}}'.encode())

    copy = feed(DuplicateSink(original, image_store), SMALL, [100])

    assert image_store.get(copy.blob().sha256) == SMALL


def test_a_copy_is_not_written_again(tmp_path: Path):
    """A copy of a picture that was already written creates no file."""
    store = ImageStore(tmp_path)
    picture = png(1_000_000)
    original = feed(StoreSink(store), picture, [CHUNK])
    before = files(tmp_path)

    copy = feed(DuplicateSink(original, store), picture, [CHUNK])

    assert files(tmp_path) == before
    assert copy.blob() == original.blob()
    assert files(tmp_path) == [f"{copy.blob().sha256}.png"]


def test_put_of_a_stored_picture(tmp_path: Path):
    """`put` of a stored picture only updates the file's time."""
    store = ImageStore(tmp_path)
    path = next(tmp_path / f"{b.sha256[:2]}/{b.sha256}.png" for b in [store.put(SMALL)])
    before = path.stat()
    os.utime(path, (1, 1))

    store.put(SMALL)

    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > 1
    assert files(tmp_path) == [path.name]


# --- the three copies of a stream


def decodings(work: Callable[[], object]) -> int:
    """Return how many pieces of base64 are decoded during `work`."""
    calls = 0

    def count(frame: object, event: str, function: object) -> None:
        nonlocal calls
        calls += event == "c_call" and function is pybase64.b64decode

    threading.setprofile(count)  # for threads that begin now: a call of the main thread runs in one of its own
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


@pytest.mark.parametrize("delivery", ["stream", "direct"])
def test_a_stream_decodes_its_picture_once(
    delivery: str, generator: Callable[..., ImageGenerator], half: Any, image_store: ImageStore
):
    """The three copies of a picture in a stream are decoded and stored once."""
    picture = png(2_000_000)
    with serving(split(json.dumps(response(picture)).encode(), CHUNK), JSON) as server:
        draw = generator(base_url=server.base_url)
        plain = decodings(lambda: half.invoke(draw, "draw"))
    with serving(split(events(picture), CHUNK), SSE) as server:
        draw = generator(base_url=server.base_url, delivery=delivery)
        results = []
        ask = half.invoke if delivery == "stream" else half.stream

        streamed = decodings(lambda: results.append(ask(draw, "draw")))

    result = results[0] if delivery == "stream" else results[0][-1]
    assert plain >= 40
    assert streamed < 1.5 * plain
    assert result.image.read() == picture
    assert len(files(Path(image_store.location))) == 1


@pytest.mark.parametrize("delivery", ["stream", "direct"])
def test_a_last_partial_that_differs_from_the_picture(
    delivery: str, generator: Callable[..., ImageGenerator], half: Any
):
    """If the last partial differs from the finished picture, the finished picture is the result."""
    early, picture = png(300_000, seed=1), png(300_000, seed=2)
    body = events(picture).replace(encoded(picture).encode(), encoded(early).encode(), 1)
    with serving(split(body, CHUNK), SSE) as server:
        draw = generator(base_url=server.base_url, delivery=delivery)

        result = half.invoke(draw, "draw") if delivery == "stream" else half.stream(draw, "draw")[-1]

    assert result.image.read() == picture


# --- memory


@pytest.fixture(scope="module")
def large() -> bytes:
    """Return a picture of 12 MB."""
    return png(12_000_000)


def bodies(picture: bytes) -> Iterator[tuple[str, dict[str, Any], bytes, str]]:
    """Yield the picture in each kind of answer: name, settings that request it, body and content type."""
    yield "responses", {}, json.dumps(response(picture)).encode(), JSON
    yield "responses, streamed", {"delivery": "stream"}, events(picture, picture), SSE
    data = [{"b64_json": encoded(picture)}]
    yield "images", {"api": "images"}, json.dumps({"created": 1, "data": data}).encode(), JSON
    event = {"type": "image_generation.completed", "b64_json": encoded(picture)}
    frame = b"event: image_generation.completed\ndata: %b\n\n" % json.dumps(event).encode()
    yield "images, streamed", {"api": "images", "delivery": "stream"}, frame, SSE


@pytest.mark.parametrize("form", range(4), ids=["responses", "responses sse", "images", "images sse"])
def test_a_large_picture_needs_little_memory(
    form: int, generator: Callable[..., ImageGenerator], half: Any, large: bytes
):
    """Drawing a picture of 12 MB into a folder takes less than 1.8 MB of memory, including the SDK's share."""
    _, settings, body, kind = list(bodies(large))[form]
    with serving(split(body, CHUNK), kind) as server:
        draw = generator(base_url=server.base_url, **settings)
        half.invoke(draw, "draw")  # loads modules
        tracemalloc.start()

        result: ImageResult = half.invoke(draw, "draw")

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.15 * len(large)
    assert result.image.size_bytes == len(large)


# --- timing


def test_a_partial_is_yielded_with_its_last_byte(generator: Callable[..., ImageGenerator], half: Any):
    """A partial is yielded as soon as its event has arrived, while the service sends nothing more."""
    early = png(200_000, seed=1)
    body = events(png(1000), early)
    end = body.index(b"\n\n", body.index(b"partial_image_index")) + 2
    with serving([*split(body[:end], CHUNK), 5.0, body[end:]], SSE) as server:
        draw = generator(base_url=server.base_url)
        pieces = draw.stream("draw", partial_images=1)
        if half.name == "async":
            pieces = draw.astream("draw", partial_images=1)

        partial = half.wait(first, pieces)

        assert not server.over.is_set()
        assert partial.data == early
        server.over.set()
        half.wait(close, pieces)


async def first(pieces: Any) -> Any:
    """Return the first piece of a stream, sync or async."""
    return await anext(pieces) if hasattr(pieces, "__anext__") else next(pieces)


async def close(pieces: Any) -> None:
    """Close a stream, sync or async."""
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
    else:
        pieces.close()


def test_aclose_finalizes_every_generator(generator: Callable[..., ImageGenerator]):
    """After `aclose` of a stream none of its async generators is left for the event loop to finalize."""
    left: list[str] = []
    body = events(png(1000), png(200_000, seed=1))
    end = body.index(b"\n\n", body.index(b"partial_image_index")) + 2

    async def close_early(draw: ImageGenerator) -> None:
        sys.set_asyncgen_hooks(finalizer=lambda generator: left.append(generator.__qualname__))
        pieces = draw.astream("draw", partial_images=1)
        await anext(pieces)
        await pieces.aclose()
        await draw.aclose()

    with serving([body[:end], 5.0, body[end:]], SSE) as server:
        asyncio.run(close_early(generator(base_url=server.base_url)))

    ours = ("Response.aiter_bytes", "Transport.arun", "ImageGenerator._arun")
    assert not {*ours, "Runnable._atransform_stream_with_config"} & {*left}


@pytest.mark.parametrize("pieces", [3, 9, 14, 20])
def test_a_cancelled_drawing_leaves_no_file(
    pieces: int, generator: Callable[..., ImageGenerator], image_store: ImageStore
):
    """A task that is cancelled while its picture is being written leaves no file in the store."""
    parts = split(json.dumps(response(png(1_000_000))).encode(), CHUNK)

    async def cancel(draw: ImageGenerator) -> None:
        task = asyncio.create_task(draw.ainvoke("draw"))
        # polls, since no event says that a file exists
        while not (server.posts and (files(folder) or pieces * CHUNK * 3 / 4 < WRITE_SIZE)):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await draw.aclose()

    folder = Path(image_store.location)
    with serving([*parts[:pieces], 1.5], JSON) as server:
        asyncio.run(cancel(generator(base_url=server.base_url)))

    assert files(folder) == []
