"""`ImageTransport` and its async twin with real clients and sockets: answers and errors differ only by the tokens."""

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
from tests.conversations import VERSIONS, photo, to_base64
from tests.framed import ENCODINGS, FRAMINGS, JSON, SSE, ServedBody, serve_body

TOKEN = re.compile(r"aW1hZ2VnZW46[A-Za-z0-9+/]{80,}=*")
TOOL = {"type": "image_generation", "size": "816x816", "quality": "low"}
REQUEST = {"model": "gpt-5.4", "input": "draw a fox", "tools": [TOOL]}
HEAVY = photo("heavy", size_bytes=1_500_000)


def expand_tokens(text: str, store: ImageStore) -> str:
    """Return a text with each token replaced by the base64 of its picture."""
    return TOKEN.sub(lambda token: to_base64(store.get(*read_token(token[0]))), text)


def as_json(message: Any) -> str:
    """Return a message or a response as JSON with sorted keys."""
    return json.dumps(message.model_dump(mode="json"), sort_keys=True)


def partial_files(store: ImageStore) -> list[Path]:
    """Return the files of unfinished pictures."""
    return list(Path(store.location).glob(".partial/*"))


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Wait up to 4 seconds for a condition that another thread fulfils; return whether it did."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.02)
    return False


class Clients:
    """Make clients of one half, with or without the transport, and close them after the test.

    Args:
        half: Selects sync or async clients.
        store: The store of the transport.
    """

    def __init__(self, half: Any, store: ImageStore) -> None:
        self.half, self.store = half, store
        self._open = ExitStack()

    def http(self, *, wired: bool, library: Any = httpx2, **settings: Any) -> Any:
        """Return an HTTP client of this half."""
        if self.half.name == "sync":
            inner = library.HTTPTransport()
            client = library.Client(transport=ImageTransport(inner, self.store) if wired else inner, **settings)
            return self._open.enter_context(client)
        inner = library.AsyncHTTPTransport()
        client = library.AsyncClient(transport=AsyncImageTransport(inner, self.store) if wired else inner, **settings)
        self._open.callback(self.half.wait, client.aclose)
        return client

    def sdk(self, base_url: str, *, wired: bool, library: Any = httpx2, **settings: Any) -> Any:
        """Return an SDK client of this half."""
        kind = OpenAI if self.half.name == "sync" else AsyncOpenAI
        return kind(base_url=base_url, api_key="sk-a", http_client=self.http(wired=wired, library=library), **settings)

    def chat(self, base_url: str, *, wired: bool, **settings: Any) -> Any:
        """Return a chat model with the hosted tool."""
        key = "http_client" if self.half.name == "sync" else "http_async_client"
        here = {"base_url": base_url, "api_key": "sk-a", "use_responses_api": True, "model": "gpt-5.4"}
        return ChatOpenAI(**here, **{key: self.http(wired=wired)}, **settings).bind_tools([TOOL])

    def call(self, client: Any, method: str, **fields: Any) -> Any:
        """Return the result of a method of an SDK client; a stream is returned as a list."""
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
def clients(half: Any, image_store: ImageStore) -> Iterator[Clients]:
    """Return a maker of clients of each half."""
    maker = Clients(half, image_store)
    yield maker
    maker.close()


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """Return an answer with one picture, as JSON and as a stream with partial pictures."""
    with Simulator() as service, httpx2.Client(headers={"authorization": "Bearer sk-a"}) as client:
        address = f"{service.base_url}/responses"
        complete = client.post(address, json=REQUEST).content
        streamed = {**REQUEST, "stream": True, "tools": [{**TOOL, "partial_images": 1}]}
        return {JSON: complete, SSE: client.post(address, json=streamed).content}


# Answers


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
def test_messages_differ_only_by_tokens(clients, bodies, version, streaming):
    """In every output version a message differs from the plain one only by its tokens."""
    kind = SSE if streaming else JSON
    for encoding, framing in zip(ENCODINGS, cycle(FRAMINGS), strict=False):  # the next test tries every combination
        with serve_body(bodies[kind], kind, encoding=encoding, framing=framing) as served:
            models = (clients.chat(served.base_url, wired=wired, output_version=version) for wired in (False, True))
            plain, light = (ask_model(clients, model, streaming) for model in models)

        assert len(as_json(light)) < 4000 < len(as_json(plain))
        assert expand_tokens(as_json(light), clients.store) == as_json(plain)
        assert images_from(light, image_store=clients.store) == images_from(plain, image_store=clients.store)
    assert partial_files(clients.store) == []


def ask_model(clients: Clients, model: Any, streaming: bool) -> Any:
    """Return the model's message, from `invoke` or as the sum of its stream."""
    if not streaming:
        return clients.half.invoke(model, "draw a fox")
    first, *rest = clients.half.stream(model, "draw a fox")
    return sum(rest, first)


@pytest.mark.parametrize("kind", [JSON, SSE])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bodies_differ_only_by_tokens(clients, bodies, kind, framing, encoding):
    """In every encoding and framing, an answer differs from the plain one by its tokens, length and encoding."""
    with serve_body(bodies[kind], kind, encoding=encoding, framing=framing) as served:
        plain, light = (fetch(clients, served, wired) for wired in (False, True))

    assert expand_tokens(light.text, clients.store) == plain.text
    assert dict(plain.headers).items() - dict(light.headers).items() <= {
        ("content-length", str(len(ENCODINGS[encoding](bodies[kind])))),
        ("content-encoding", encoding),
        ("date", plain.headers["date"]),
    }


def fetch(clients: Clients, served: ServedBody, wired: bool, path: str = "/responses", library: Any = httpx2) -> Any:
    """Return the answer that a client without the SDK gets."""
    return post(clients, clients.http(wired=wired, library=library), f"{served.base_url}{path}")


def post(clients: Clients, client: Any, address: str) -> Any:
    """Return the answer to a POST."""

    async def send() -> Any:
        return await client.post(address) if clients.half.name == "async" else client.post(address)

    return clients.half.wait(send)


def test_other_values_pass_unchanged(clients):
    """Base64 that is no picture, pictures under other keys, and text that looks like a picture pass unchanged."""
    body = json.dumps(
        {"result": to_base64(b"text" * 9999), "image": to_base64(HEAVY), "text": '"result": "iVBORw0KGgo'}
    )

    with serve_body(body.encode()) as served:
        assert fetch(clients, served, wired=True).text == body
    assert not Path(clients.store.location).exists()


def test_downloaded_files_pass_unchanged(clients, bodies):
    """A downloaded file passes unchanged, even if it contains a response with a picture."""
    with serve_body(bodies[JSON]) as served:
        got = fetch(clients, served, wired=True, path="/files/file-1/content")

    assert got.content == bodies[JSON]


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", "image/png", ""])
def test_other_content_types_pass_unchanged(clients, bodies, content_type):
    """An answer whose content type is neither JSON nor an event stream passes unchanged."""
    with serve_body(bodies[JSON], content_type) as served:
        got = fetch(clients, served, wired=True)

    assert got.content == bodies[JSON]
    assert got.headers["content-length"] == str(len(bodies[JSON]))


@pytest.mark.parametrize("kind", [JSON, SSE])
def test_httpx_clients_work(clients, bodies, kind):
    """With a client of `httpx` the transport returns `httpx` responses with tokens."""
    with serve_body(bodies[kind], kind, encoding="gzip", framing="chunked") as served:
        got = fetch(clients, served, wired=True, library=httpx)
        client = clients.sdk(served.base_url, wired=True, library=httpx)
        answer = clients.call(client, "responses.create", **REQUEST, stream=kind == SSE)

    assert type(got) is httpx.Response
    assert expand_tokens(got.text, clients.store).encode() == bodies[kind]
    assert len(got.text) < 16_000
    response = answer[-1].response if kind == SSE else answer
    assert images_from(response, image_store=clients.store)[0].width == 816


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_answer_without_a_connection(half, bodies, image_store, library):
    """The transport rewrites the answer of an inner transport that opens no connection, such as a cache."""
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
    assert expand_tokens(got.text, image_store).encode() == bodies[JSON]


# Errors


def outcome(clients: Clients, address: str, wired: bool, timeout: float = 20, **fields: Any) -> Any:
    """Return the error of a call or, if it succeeds, what it gave; the client retries once."""
    client = clients.sdk(address, wired=wired, timeout=timeout, max_retries=1)
    try:
        answer = clients.call(client, "responses.create", **REQUEST, **fields)
    except Exception as error:  # noqa: BLE001 - the test compares whichever error it is
        return type(error), type(error.__cause__), str(error)[:60]
    return [event.type for event in answer] if isinstance(answer, list) else answer.output_text


ERRORS = {
    "bad request": {"status": (400,)},
    "rate limited, then ok": {"status": (429, 200)},
    "rate limited": {"status": (429,)},
    "server error, then ok": {"status": (500, 200)},
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
def test_network_errors_are_the_same(clients, bodies, kind, name):
    """A failing connection raises the same error after as many requests with and without the transport."""
    found = []
    for wired in (False, True):
        with serve_body(heavy(bodies[kind]), kind, **ERRORS[name]) as served:
            timeout = 0.6 if "pause" in ERRORS[name] else 20
            result = outcome(clients, served.base_url, wired, timeout, stream=kind == SSE)
            found.append((result, len(served.requests)))

    assert found[0] == found[1]
    assert partial_files(clients.store) == []


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "identity"])
def test_wrong_encoding_is_the_same_error(clients, encoding):
    """A body whose encoding differs from its header raises the same error as without the transport."""
    with serve_body(b'{"output": []}', encoding=encoding, mislabelled=True) as served:
        plain, light = (error_of(fetch, clients, served, wired) for wired in (False, True))

    assert plain == light
    assert plain[0] is httpx2.DecodingError


def error_of(function: Callable[..., Any], *args: Any) -> tuple[type[Exception], str]:
    """Return the type and the text of the error that a function raises."""
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
def test_service_errors_are_the_same(clients, name, streaming):
    """An answer without a picture gives the same message or error after as many requests as without the transport."""
    found = []
    for wired in (False, True):
        with Simulator() as service:
            service.script(FAULTS[name])
            model = clients.chat(service.base_url, wired=wired, max_retries=0)
            try:
                result: Any = expand_tokens(as_json(ask_model(clients, model, streaming)), clients.store)
            except Exception as error:  # noqa: BLE001 - the test compares whichever error it is
                result = type(error), str(error)
            found.append((without_times(result), len(service.requests)))

    assert found[0] == found[1]


def without_times(result: Any) -> str:
    """Return an outcome as text, without times and run ids, which differ between two calls."""
    return re.sub(r'"created_at": [\d.]+|lc_run-[\w-]+|\d+\.\d+', "", str(result))


# Streams that end early


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_closing_a_stream_leaves_no_file(clients, bodies, library):
    """Closing a stream between two pictures leaves no partial file and no open connection."""
    with serve_body(heavy(bodies[SSE]), SSE, framing="chunked", pause=0.5) as served:
        client = clients.sdk(served.base_url, wired=True, library=library)
        last = clients.half.wait(_aread_to_partial if clients.half.name == "async" else _read_to_partial, client)

        assert last == "response.image_generation_call.partial_image"
        assert partial_files(clients.store) == []
        assert becomes_true(lambda: served.open == 0)


async def _read_to_partial(client: Any) -> str:
    with client.responses.create(**REQUEST, stream=True) as stream:
        return next(event.type for event in stream if "partial" in event.type)


async def _aread_to_partial(client: Any) -> str:
    async with await client.responses.create(**REQUEST, stream=True) as stream:
        async for event in stream:
            if "partial" in event.type:
                return event.type
    return ""


@pytest.mark.parametrize("kind", [JSON, SSE])
@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
async def test_cancelling_leaves_no_file(bodies, image_store, kind, library):
    """Cancelling a task in the middle of a picture leaves no partial file and no open connection."""
    inner = library.AsyncHTTPTransport()
    with serve_body(heavy(bodies[kind]), kind, framing="chunked", pause=0.25) as served:
        async with library.AsyncClient(transport=AsyncImageTransport(inner, image_store)) as client:
            sdk_client = AsyncOpenAI(base_url=served.base_url, api_key="sk-a", http_client=client)
            task = asyncio.ensure_future(_read_all(sdk_client, streaming=kind == SSE))
            begun = await asyncio.to_thread(becomes_true, lambda: bool(partial_files(image_store)))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            assert begun
            assert task.cancelled()
            assert partial_files(image_store) == []
            assert await asyncio.to_thread(becomes_true, lambda: served.open == 0)


async def _read_all(client: AsyncOpenAI, *, streaming: bool) -> None:
    answer = await client.responses.create(**REQUEST, stream=streaming)
    async for _ in answer:
        pass


class SlowStore(ImageStore):
    """A store whose writes wait for the test, and which records the threads that write."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.threads: set[int] = set()
        self.writing = threading.Event()
        self.release = threading.Event()

    def writer(self) -> Any:
        """Return a writer after the test sets `release`, or after 5 seconds."""
        self.threads.add(threading.get_ident())
        self.writing.set()
        self.release.wait(5)
        return super().writer()


async def test_cancelling_during_a_slow_write_leaves_no_file(bodies, tmp_path):
    """Cancelling a task twice while a thread writes leaves no file, and only worker threads write."""
    store = SlowStore(tmp_path / "slow")
    with serve_body(heavy(bodies[JSON]), framing="chunked") as served:
        async with httpx2.AsyncClient(transport=AsyncImageTransport(None, store)) as client:
            task = asyncio.ensure_future(client.post(f"{served.base_url}/responses"))
            await asyncio.to_thread(store.writing.wait)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.01)
            store.release.set()
            await asyncio.gather(task, return_exceptions=True)

            assert task.cancelled()
            assert await asyncio.to_thread(becomes_true, lambda: not partial_files(store))
            assert threading.get_ident() not in store.threads


class CountingExecutor(ThreadPoolExecutor):
    """A thread pool that counts the calls submitted to it."""

    submitted = 0

    def submit(self, *args: Any, **fields: Any) -> Any:
        """Count the call and submit it."""
        self.submitted += 1
        return super().submit(*args, **fields)


async def test_text_needs_no_thread(image_store):
    """The async transport uses threads only for answers with a picture."""
    asyncio.get_running_loop().set_default_executor(threads := CountingExecutor())
    async with httpx2.AsyncClient(transport=AsyncImageTransport(None, image_store)) as client:
        with serve_body(response_with("words " * 100_000), framing="odd chunks") as served:
            await client.post(f"{served.base_url}/responses")
        without_picture = threads.submitted
        with serve_body(response_with(to_base64(HEAVY)), framing="chunked") as served:
            await client.post(f"{served.base_url}/responses")

    assert without_picture == 0
    assert 1 <= threads.submitted <= len(HEAVY) // WRITE_SIZE + 2


def response_with(result: str) -> bytes:
    """Return a response with `result` in place of its picture."""
    return json.dumps({"output": [{"type": "image_generation_call", "result": result}]}).encode()


def heavy(body: bytes) -> bytes:
    """Return a body whose pictures are replaced by one of 1.5 MB."""
    return re.sub(rb'("(?:result|partial_image_b64)": ?")[^"]{1000,}', lambda m: m[1] + to_base64(HEAVY).encode(), body)
