"""`ImageTransport` and its twin under real clients and real sockets: equal to plain but for the tokens."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from langchain_imagegen import AsyncImageTransport, ImageStore, ImageTransport, images_from
from langchain_imagegen.simulator import (
    Simulator,
    failed,
    flat_error_event,
    html_page,
    incomplete,
    moderated,
    moderated_beside_good,
    nested_error_event,
    no_image,
    quota_exceeded,
    refusal,
)
from langchain_imagegen.streaming.placeholders import read_token
from langchain_imagegen.streaming.sinks import WRITE_SIZE
from tests import sdk
from tests.conversations import VERSIONS, encoded, photo
from tests.framed import ENCODINGS, FRAMINGS, JSON, SSE, Framed, framed

TOKEN = re.compile(r"aW1hZ2VnZW46[A-Za-z0-9+/]{80,}=*")
TOOL = {"type": "image_generation", "size": "816x816", "quality": "low"}
ASKED = {"model": "gpt-5.4", "input": "draw a fox", "tools": [TOOL]}
HEAVY = photo("heavy", size_bytes=1_500_000)


def whole(text: str, store: ImageStore) -> str:
    """A text with the base64 of the pictures that its tokens name."""
    return TOKEN.sub(lambda token: encoded(store.get(*read_token(token[0]))), text)


def told(message: Any) -> str:
    """All that a message or an answer says."""
    return json.dumps(message.model_dump(mode="json"), sort_keys=True)


def left(store: ImageStore) -> list[Path]:
    """Files of pictures that did not end."""
    return list(Path(store.location).glob(".partial/*"))


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something that another thread does comes about."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.02)
    return False


class Sides:
    """The clients of one half, plain and with the transport; closed after the test.

    Args:
        half: `invoke` or `ainvoke`.
        store: Where pictures go.
    """

    def __init__(self, half: Any, store: ImageStore) -> None:
        self.half, self.store = half, store
        self._open = ExitStack()

    def http(self, *, wired: bool, library: Any = httpx2, **settings: Any) -> Any:
        """A client of this half."""
        if self.half.name == "sync":
            inner = library.HTTPTransport()
            client = library.Client(transport=ImageTransport(inner, self.store) if wired else inner, **settings)
            return self._open.enter_context(client)
        inner = library.AsyncHTTPTransport()
        client = library.AsyncClient(transport=AsyncImageTransport(inner, self.store) if wired else inner, **settings)
        self._open.callback(self.half.wait, client.aclose)
        return client

    def sdk(self, base_url: str, *, wired: bool, library: Any = httpx2, **settings: Any) -> Any:
        """An SDK client of this half."""
        kind = OpenAI if self.half.name == "sync" else AsyncOpenAI
        return kind(base_url=base_url, api_key="sk-a", http_client=self.http(wired=wired, library=library), **settings)

    def chat(self, base_url: str, *, wired: bool, **settings: Any) -> Any:
        """A chat model with the hosted tool."""
        key = "http_client" if self.half.name == "sync" else "http_async_client"
        here = {"base_url": base_url, "api_key": "sk-a", "use_responses_api": True, "model": "gpt-5.4"}
        return ChatOpenAI(**here, **{key: self.http(wired=wired)}, **settings).bind_tools([TOOL])

    def call(self, client: Any, method: str, **fields: Any) -> Any:
        """What a method of an SDK client gives, a stream as a list."""
        return self.half.wait(_acall if self.half.name == "async" else _call, client, method, fields)

    def close(self) -> None:
        """Close every client."""
        self._open.close()


async def _acall(client: Any, method: str, fields: Any) -> Any:
    result = await sdk.attrgetter(method)(client)(**fields)
    return [event async for event in result] if isinstance(result, openai.AsyncStream) else result


async def _call(client: Any, method: str, fields: Any) -> Any:
    result = sdk.attrgetter(method)(client)(**fields)
    return list(result) if isinstance(result, openai.Stream) else result


@pytest.fixture
def sides(half: Any, image_store: ImageStore) -> Iterator[Sides]:
    """Clients of each half."""
    made = Sides(half, image_store)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """An answer of the service as JSON and as events, of one picture and two partial ones."""
    with Simulator() as service, httpx2.Client(headers={"authorization": "Bearer sk-a"}) as client:
        address = f"{service.base_url}/responses"
        whole = client.post(address, json=ASKED).content
        streamed = {**ASKED, "stream": True, "tools": [{**TOOL, "partial_images": 1}]}
        return {JSON: whole, SSE: client.post(address, json=streamed).content}


# Equal to plain


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
def test_messages_are_the_same(sides, bodies, version, streaming):
    """In every output version a message is the plain one with tokens for base64, in whatever encoding it came."""
    kind = SSE if streaming else JSON
    for encoding, framing in zip(ENCODINGS, cycle(FRAMINGS), strict=False):  # all of both are tried below
        with framed(bodies[kind], kind, encoding=encoding, framing=framing) as served:
            models = (sides.chat(served.base_url, wired=wired, output_version=version) for wired in (False, True))
            plain, light = (asked(sides, model, streaming) for model in models)

        assert len(told(light)) < 4000 < len(told(plain))
        assert whole(told(light), sides.store) == told(plain)
        assert images_from(light, image_store=sides.store) == images_from(plain, image_store=sides.store)
    assert left(sides.store) == []


def asked(sides: Sides, model: Any, streaming: bool) -> Any:
    """The model's message, put together from a stream if it came as one."""
    if not streaming:
        return sides.half.invoke(model, "draw a fox")
    first, *rest = sides.half.stream(model, "draw a fox")
    return sum(rest, first)


@pytest.mark.parametrize("kind", [JSON, SSE])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bodies_are_the_same(sides, bodies, kind, framing, encoding):
    """Byte for byte, but for the tokens and the headers that told the length and encoding on the wire."""
    with framed(bodies[kind], kind, encoding=encoding, framing=framing) as served:
        plain, light = (fetched(sides, served, wired) for wired in (False, True))

    assert whole(light.text, sides.store) == plain.text
    assert dict(plain.headers).items() - dict(light.headers).items() <= {
        ("content-length", str(len(ENCODINGS[encoding](bodies[kind])))),
        ("content-encoding", encoding),
        ("date", plain.headers["date"]),
    }


def fetched(sides: Sides, served: Framed, wired: bool, path: str = "/responses", library: Any = httpx2) -> Any:
    """What a bare client gets."""
    return http_call(sides, sides.http(wired=wired, library=library), f"{served.base_url}{path}")


def http_call(sides: Sides, client: Any, address: str) -> Any:
    """The answer to a POST."""

    async def post() -> Any:
        return await client.post(address) if sides.half.name == "async" else client.post(address)

    return sides.half.wait(post)


def test_other_keys_of_an_answer_pass(sides):
    """Base64 that is no picture, pictures under other keys and what merely looks like one are left alone."""
    body = json.dumps({"result": encoded(b"text" * 9999), "image": encoded(HEAVY), "text": '"result": "iVBORw0KGgo'})

    with framed(body.encode()) as served:
        assert fetched(sides, served, wired=True).text == body
    assert not Path(sides.store.location).exists()


def test_a_downloaded_file_is_its_owners(sides, bodies):
    """A file of JSON that is downloaded stays as it is, even if a response is in it."""
    with framed(bodies[JSON]) as served:
        got = fetched(sides, served, wired=True, path="/files/file-1/content")

    assert got.content == bodies[JSON]


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", "image/png", ""])
def test_other_types_pass(sides, bodies, content_type):
    """What does not call itself JSON or events is handed on unread."""
    with framed(bodies[JSON], content_type) as served:
        got = fetched(sides, served, wired=True)

    assert got.content == bodies[JSON]
    assert got.headers["content-length"] == str(len(bodies[JSON]))


@pytest.mark.parametrize("kind", [JSON, SSE])
def test_an_httpx_client_stays_in_its_library(sides, bodies, kind):
    """Under a client of `httpx` the transport hands on what `httpx` itself would."""
    with framed(bodies[kind], kind, encoding="gzip", framing="chunked") as served:
        got = fetched(sides, served, wired=True, library=httpx)
        client = sides.sdk(served.base_url, wired=True, library=httpx)
        answer = sides.call(client, "responses.create", **ASKED, stream=kind == SSE)

    assert type(got) is httpx.Response
    assert whole(got.text, sides.store).encode() == bodies[kind]
    assert len(got.text) < 16_000
    response = answer[-1].response if kind == SSE else answer
    assert images_from(response, image_store=sides.store)[0].width == 816


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_an_answer_that_is_already_there(half, bodies, image_store, library):
    """What a transport answers by itself, with no connection, such as a cache, is read as well."""
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    inner = library.MockTransport(lambda _: library.Response(200, headers=headers, content=gzip.compress(bodies[JSON])))

    async def ask() -> Any:
        if half.name == "async":
            async with library.AsyncClient(transport=AsyncImageTransport(inner, image_store)) as client:
                return await client.post("http://images.example/v1/responses")
        with library.Client(transport=ImageTransport(inner, image_store)) as client:
            return client.post("http://images.example/v1/responses")

    got = half.wait(ask)
    assert len(got.content) < 4000
    assert whole(got.text, image_store).encode() == bodies[JSON]


# Failures, as plain


def outcome(sides: Sides, address: str, wired: bool, timeout: float = 20, **fields: Any) -> Any:
    """The error of a call, or what it gave; what may be sent again is, once."""
    client = sides.sdk(address, wired=wired, timeout=timeout, max_retries=1)
    try:
        answer = sides.call(client, "responses.create", **ASKED, **fields)
    except Exception as error:  # noqa: BLE001 - which, is the question
        return type(error), type(error.__cause__), str(error)[:60]
    return [event.type for event in answer] if isinstance(answer, list) else answer.output_text


ERRORS = {
    "bad request": {"status": (400,)},
    "rate limited, then well": {"status": (429, 200)},
    "rate limited": {"status": (429,)},
    "server error, then well": {"status": (500, 200)},
    "server error": {"status": (503,)},
    "cut, of known length": {"cut": 0.5},
    "cut in chunks": {"cut": 0.5, "framing": "chunked"},
    "cut in odd chunks": {"cut": 0.99, "framing": "odd chunks"},
    "cut by closing": {"cut": 0.5, "framing": "close"},
    "cut before a picture": {"cut": 0.001},
    "cut, compressed": {"cut": 0.7, "encoding": "gzip", "framing": "chunked"},
    "cut within compression": {"cut": 0.7, "encoding": "deflate", "framing": "close"},
    "time limit": {"pause": 0.5, "framing": "chunked"},
}


@pytest.mark.parametrize("kind", [JSON, SSE])
@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_the_same(sides, bodies, kind, name):
    """What goes wrong on the way ends in the same error after as many requests, and leaves no file behind."""
    found = []
    for wired in (False, True):
        with framed(heavy(bodies[kind]), kind, **ERRORS[name]) as served:
            ended = outcome(sides, served.base_url, wired, 0.3 if "pause" in ERRORS[name] else 20, stream=kind == SSE)
            found.append((ended, len(served.requests)))

    assert found[0] == found[1]
    assert left(sides.store) == []


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "identity"])
def test_a_wrong_encoding_is_the_same_error(sides, encoding):
    """A body that is not encoded as it says fails as plain."""
    with framed(b'{"output": []}', encoding=encoding, mislabelled=True) as served:
        plain, light = (error_of(fetched, sides, served, wired) for wired in (False, True))

    assert plain == light
    assert plain[0] is httpx2.DecodingError


def error_of(function: Callable[..., Any], *args: Any) -> tuple[type[Exception], str]:
    """The error that a function ends in."""
    with pytest.raises(Exception) as caught:
        function(*args)
    return caught.type, str(caught.value)


FAULTS = {
    "page": html_page(),
    "quota": quota_exceeded(),
    "failed": failed(),
    "flat error": flat_error_event(),
    "nested error": nested_error_event(),
    "incomplete": incomplete(),
    "moderated": moderated(),
    "moderated item": moderated(at="item"),
    "one of two moderated": moderated_beside_good(),
    "refusal": refusal("No."),
    "text alone": no_image("An otter eats fish."),
}


@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_failures_of_the_service_are_the_same(sides, name, streaming):
    """What the service says instead of a picture reaches a chat model's caller as plain, after as many requests."""
    found = []
    for wired in (False, True):
        with Simulator() as service:
            service.script(FAULTS[name])
            model = sides.chat(service.base_url, wired=wired, max_retries=0)
            try:
                ended: Any = whole(told(asked(sides, model, streaming)), sides.store)
            except Exception as error:  # noqa: BLE001 - which, is the question
                ended = type(error), str(error)
            found.append((without_times(ended), len(service.requests)))

    assert found[0] == found[1]


def without_times(ended: Any) -> Any:
    """An outcome without the time of the answer, and without what ends a chunk's own run id."""
    return re.sub(r'"created_at": [\d.]+|lc_run-[\w-]+|\d+\.\d+', "", str(ended))


# Streams that end early


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_closing_early_leaves_nothing(sides, bodies, library):
    """Who hangs up between two pictures of a stream leaves neither a file nor a connection."""
    with framed(heavy(bodies[SSE]), SSE, framing="chunked", pause=0.5) as served:
        client = sides.sdk(served.base_url, wired=True, library=library)
        seen = sides.half.wait(_ahung_up if sides.half.name == "async" else _hung_up, client)

        assert seen == "response.image_generation_call.partial_image"
        assert left(sides.store) == []
        assert eventually(lambda: served.open == 0)


async def _hung_up(client: Any) -> str:
    with client.responses.create(**ASKED, stream=True) as stream:
        return next(event.type for event in stream if "partial" in event.type)


async def _ahung_up(client: Any) -> str:
    async with await client.responses.create(**ASKED, stream=True) as stream:
        async for event in stream:
            if "partial" in event.type:
                return event.type
    return ""


@pytest.mark.parametrize("kind", [JSON, SSE])
@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
async def test_cancelling_leaves_nothing(bodies, image_store, kind, library):
    """A task that is cancelled in the middle of a picture leaves neither a file nor a connection."""
    inner = library.AsyncHTTPTransport()
    with framed(heavy(bodies[kind]), kind, framing="chunked", pause=0.25) as served:
        async with library.AsyncClient(transport=AsyncImageTransport(inner, image_store)) as client:
            sdk_client = AsyncOpenAI(base_url=served.base_url, api_key="sk-a", http_client=client)
            task = asyncio.ensure_future(_exhausted(sdk_client, streaming=kind == SSE))
            begun = await asyncio.to_thread(eventually, lambda: bool(left(image_store)))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            assert begun
            assert task.cancelled()
            assert left(image_store) == []
            assert await asyncio.to_thread(eventually, lambda: served.open == 0)


async def _exhausted(client: AsyncOpenAI, *, streaming: bool) -> None:
    answer = await client.responses.create(**ASKED, stream=streaming)
    async for _ in answer:
        pass


class Slow(ImageStore):
    """A store on a disk that takes its time, and that notes which threads write."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.threads: set[int] = set()
        self.busy = threading.Event()
        self.goes_on = threading.Event()

    def writer(self) -> Any:
        """A writer, some time after it was asked for."""
        self.threads.add(threading.get_ident())
        self.busy.set()
        self.goes_on.wait(5)
        return super().writer()


async def test_cancelling_while_the_disk_is_slow_leaves_nothing(bodies, tmp_path):
    """A task that is cancelled, twice even, while a thread still writes leaves no file, and the loop goes on."""
    store = Slow(tmp_path / "slow")
    with framed(heavy(bodies[JSON]), framing="chunked") as served:
        async with httpx2.AsyncClient(transport=AsyncImageTransport(None, store)) as client:
            task = asyncio.ensure_future(client.post(f"{served.base_url}/responses"))
            await asyncio.to_thread(store.busy.wait)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.01)
            store.goes_on.set()
            await asyncio.gather(task, return_exceptions=True)

            assert task.cancelled()
            assert await asyncio.to_thread(eventually, lambda: not left(store))
            assert threading.get_ident() not in store.threads


class Counting(ThreadPoolExecutor):
    """Counts what it was given to do."""

    given = 0

    def submit(self, *args: Any, **fields: Any) -> Any:
        """The same, counted."""
        self.given += 1
        return super().submit(*args, **fields)


async def test_text_needs_no_thread(image_store):
    """An answer without a picture is read on the event loop alone; one with a picture is stored by threads."""
    asyncio.get_running_loop().set_default_executor(threads := Counting())
    async with httpx2.AsyncClient(transport=AsyncImageTransport(None, image_store)) as client:
        with framed(answer_of("words " * 100_000), framing="odd chunks") as served:
            await client.post(f"{served.base_url}/responses")
        idle = threads.given
        with framed(answer_of(encoded(HEAVY)), framing="chunked") as served:
            await client.post(f"{served.base_url}/responses")

    assert idle == 0
    assert 1 <= threads.given <= len(HEAVY) // WRITE_SIZE + 2


def answer_of(result: str) -> bytes:
    """A response with something in the place of its picture."""
    return json.dumps({"output": [{"type": "image_generation_call", "result": result}]}).encode()


def heavy(body: bytes) -> bytes:
    """A body whose pictures are of 1.5 MB."""
    return re.sub(rb'("(?:result|partial_image_b64)": ?")[^"]{1000,}', lambda m: m[1] + encoded(HEAVY).encode(), body)
