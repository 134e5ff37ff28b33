"""Transports that ask for the partial pictures which `ChatOpenAI` cannot ask for, and keep them from it.

Each wraps an `ImageTransport`, so that it sees tokens in place of pictures. A request that is not streamed becomes a
streamed one. Its answer is read to the end, and the client gets the JSON that it asked for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import httpx2

from langchain_imagegen.http.bodies import headers_without_length, library_of, media_type, with_stream
from langchain_imagegen.http.drawing_events import Collector, Sign, Watch
from langchain_imagegen.streaming.body_kinds import EVENT_STREAM

_OF_THE_BODY = ("content-length", "transfer-encoding")
_CREATES = "/responses"
_HOSTED = "image_generation"
_WITHOUT_PARTIALS = ("gif", "svg")  # formats


class Watcher(Protocol):
    """Receives what a streamed response says of its image calls, while it arrives. It must not raise an error."""

    def tell(self, sign: Sign) -> None:
        """Take a sign in the thread of a sync client."""

    async def atell(self, sign: Sign) -> None:
        """Take a sign in the task of an async client."""


class PartialsTransport(httpx2.BaseTransport):
    """Asks for partial pictures in each request that offers the hosted tool, and tells a watcher of them.

    Args:
        inner: An `ImageTransport`.
        partials: How many partial pictures are asked for, 0 to 3; with 0, no request is changed.
        watcher: Is told of image calls that begin and of their partial pictures.
    """

    def __init__(self, inner: httpx2.BaseTransport, partials: int, watcher: Watcher) -> None:
        self._inner, self._partials, self._watcher = inner, partials, watcher

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return its answer without partial pictures."""
        asked = ask_for_partials(request, self._partials)
        response = self._inner.handle_request(asked.request)
        if not response.is_success or media_type(response) != EVENT_STREAM:
            return response
        if asked.streamed:
            watched: httpx2.Response = with_stream(response, request, _Watched, Watch(asked.partials), self._watcher)
            return watched
        return self._collected(response, Collector(asked.partials))

    def _collected(self, response: Any, collector: Collector) -> httpx2.Response:
        try:
            for _ in _Watched(response, collector, self._watcher):
                pass
            answer: httpx2.Response = answer_of(response, collector)
            return answer
        finally:
            response.close()

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncPartialsTransport(httpx2.AsyncBaseTransport):
    """Async twin of `PartialsTransport`."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, partials: int, watcher: Watcher) -> None:
        self._inner, self._partials, self._watcher = inner, partials, watcher

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return its answer without partial pictures."""
        asked = ask_for_partials(request, self._partials)
        response = await self._inner.handle_async_request(asked.request)
        if not response.is_success or media_type(response) != EVENT_STREAM:
            return response
        if asked.streamed:
            watch = Watch(asked.partials)
            watched: httpx2.Response = with_stream(response, request, _AsyncWatched, watch, self._watcher)
            return watched
        return await self._acollected(response, Collector(asked.partials))

    async def _acollected(self, response: Any, collector: Collector) -> httpx2.Response:
        try:
            async for _ in _AsyncWatched(response, collector, self._watcher):
                pass
            answer: httpx2.Response = answer_of(response, collector)
            return answer
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class _Watched:
    """The body of a streamed response without partial pictures; `whole` is the response with them."""

    def __init__(self, whole: Any, watch: Watch, watcher: Watcher) -> None:
        self._whole, self._watch, self._watcher = whole, watch, watcher

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._whole.iter_bytes():
            yield self._passed(*self._watch.feed(chunk))
        yield self._passed(*self._watch.finish())

    def _passed(self, text: bytes, signs: Iterable[Sign]) -> bytes:
        for sign in signs:
            self._watcher.tell(sign)
        return text

    def close(self) -> None:
        self._whole.close()


class _AsyncWatched:
    """Async twin of `_Watched`."""

    def __init__(self, whole: Any, watch: Watch, watcher: Watcher) -> None:
        self._whole, self._watch, self._watcher = whole, watch, watcher

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._whole.aiter_bytes()) as chunks:
            async for chunk in chunks:
                yield await self._passed(*self._watch.feed(chunk))
        yield await self._passed(*self._watch.finish())

    async def _passed(self, text: bytes, signs: Iterable[Sign]) -> bytes:
        for sign in signs:
            await self._watcher.atell(sign)
        return text

    async def aclose(self) -> None:
        await self._whole.aclose()


class Asked(NamedTuple):
    """A request as it is sent: whether the client wants a stream, and how many partial pictures are asked for."""

    request: Any
    streamed: bool
    partials: int


def ask_for_partials(request: Any, partials: int) -> Asked:
    """Return a streamed request that asks for partial pictures; the request itself where that cannot be.

    It is left as it is if it does not create a response with the hosted tool, if its format has no partial pictures,
    and if the service is to draw in the background without a stream.
    """
    same = Asked(request, streamed=True, partials=0)
    if not partials or request.method != "POST" or not request.url.path.endswith(_CREATES):
        return same
    try:
        body = json.loads(request.content)
    except (ValueError, RuntimeError):  # no JSON, or a body that is read while it is sent
        return same
    tools = body.get("tools") if isinstance(body, dict) else None
    streamed = isinstance(body, dict) and bool(body.get("stream"))
    if not isinstance(tools, list) or not any(map(_has_partials, tools)) or (body.get("background") and not streamed):
        return same
    asking = [{**tool, "partial_images": partials} if _has_partials(tool) else tool for tool in tools]
    text = json.dumps({**body, "stream": True, "tools": asking}).encode()
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in _OF_THE_BODY]
    sent = type(request)("POST", request.url, headers=headers, content=text, extensions=request.extensions)
    return Asked(sent, streamed, partials)


def _has_partials(tool: Any) -> bool:
    """Return True if a tool of a request is the hosted one, and its format has partial pictures."""
    hosted = isinstance(tool, dict) and tool.get("type") == _HOSTED
    return hosted and tool.get("output_format") not in _WITHOUT_PARTIALS


def answer_of(response: Any, collector: Collector) -> Any:
    """Return the answer to a request that was not streamed.

    Raises:
        RemoteProtocolError: The stream ended before its last event; the error is that of the answer's HTTP library.
    """
    library, answer = library_of(response), collector.answer()
    if answer is None:
        raise library.RemoteProtocolError("the stream ended before its last event")
    status, body = answer
    headers = headers_without_length(response)
    headers.pop("transfer-encoding", None)
    headers["content-type"] = "application/json"
    text = json.dumps(body).encode()
    return library.Response(status, headers=headers, content=text, extensions=response.extensions)
