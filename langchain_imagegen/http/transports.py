"""`ImageTransport` and `AsyncImageTransport`: transports that take pictures out of the answers to an HTTP client.

The sync and async halves over `rewriter.Reader`, for `httpx2` and `httpx`. Only answers of JSON or events are read;
requests are not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx2

from langchain_imagegen.http.bodies import media_type, with_stream
from langchain_imagegen.http.rewriter import Arrived, Parts, Reader
from langchain_imagegen.http.usage import Observer
from langchain_imagegen.storage.store import ImageStore, default_store
from langchain_imagegen.streaming.body_kinds import EVENT_STREAM


class ImageTransport(httpx2.BaseTransport):
    """Puts the pictures of OpenAI's answers into the image store and hands on a token in place of their base64.

    For any client that speaks HTTP through `httpx2` (or `httpx`): `OpenAI(http_client=httpx2.Client(transport=
    ImageTransport()))`, and what is made of it. Pictures of the Responses and the Images API are read, whole and
    partial, whether answered, streamed or retrieved; files that are downloaded are left as they are. `images_from` and
    `ImageMemory` read the token; elsewhere `store.get(*read_token(text))` of `streaming.placeholders` gives
    the bytes. A picture that cannot be stored, because it is none or because the store fails, passes as it came, with
    a logged warning.

    Args:
        inner: The transport that does the work; `None`: one as `httpx2.Client` makes.
        image_store: Where the pictures go; `None`: the default store.
        arrived: Gets the response id and the stored pictures, so that they are not lost if the answer breaks off.
    """

    def __init__(
        self,
        inner: httpx2.BaseTransport | None = None,
        image_store: ImageStore | None = None,
        *,
        arrived: Arrived | None = None,
    ) -> None:
        self._inner = httpx2.HTTPTransport() if inner is None else inner
        self._store = default_store() if image_store is None else image_store
        self._arrived = arrived

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return its answer, whose body is rewritten while it is read."""
        response = self._inner.handle_request(request)
        answer: httpx2.Response = _read_through(response, request, self._reader(), _Stream)
        return answer

    def _reader(self) -> Reader | Observer:
        return Reader(self._store, self._arrived)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncImageTransport(httpx2.AsyncBaseTransport):
    """Async twin of `ImageTransport`; what touches the store is done in threads, for `asyncio`."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport | None = None,
        image_store: ImageStore | None = None,
        *,
        arrived: Arrived | None = None,
    ) -> None:
        self._inner = httpx2.AsyncHTTPTransport() if inner is None else inner
        self._store = default_store() if image_store is None else image_store
        self._arrived = arrived

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and return its answer, whose body is rewritten while it is read."""
        response = await self._inner.handle_async_request(request)
        answer: httpx2.Response = _read_through(response, request, self._reader(), _AsyncStream)
        return answer

    def _reader(self) -> Reader | Observer:
        return Reader(self._store, self._arrived)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class ObservingTransport(ImageTransport):
    """Hands on answers as they come, and notes their image tokens in `arrived`."""

    def __init__(self, inner: httpx2.BaseTransport, arrived: Arrived) -> None:
        self._inner, self._tokens = inner, arrived

    def _reader(self) -> Reader | Observer:
        return Observer(self._tokens.tokens)


class AsyncObservingTransport(AsyncImageTransport):
    """Async twin of `ObservingTransport`."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, arrived: Arrived) -> None:
        self._inner, self._tokens = inner, arrived

    def _reader(self) -> Reader | Observer:
        return Observer(self._tokens.tokens)


class _Stream:
    """The rewritten body of an answer; `whole` is the original answer, whose library decodes it."""

    def __init__(self, whole: Any, reader: Reader | Observer) -> None:
        self._whole, self._reader = whole, reader

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._whole.iter_bytes():
                yield self._reader.fill(self._reader.split(chunk))
            yield self._reader.fill(self._reader.split_rest())
        finally:
            self._reader.discard()

    def close(self) -> None:
        try:
            self._whole.close()
        finally:
            self._reader.discard()


class _AsyncStream:
    """Async twin of `_Stream`."""

    def __init__(self, whole: Any, reader: Reader | Observer) -> None:
        self._whole, self._reader = whole, reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with aclosing(self._whole.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    yield await self._filled(self._reader.split(chunk))
            yield await self._filled(self._reader.split_rest())
        finally:
            await self._discard()

    async def aclose(self) -> None:
        try:
            await self._whole.aclose()
        finally:
            await self._discard()

    async def _filled(self, parts: Parts) -> bytes:
        """Return the text of the parts; a thread does the work if it touches the store."""
        fill = self._reader.fill
        return await asyncio.to_thread(fill, parts) if self._reader.is_due(parts) else fill(parts)

    async def _discard(self) -> None:
        """Remove unfinished pictures, even if the task is cancelled again meanwhile."""
        if self._reader.has_open:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._reader.discard))


def _read_through(response: Any, request: Any, reader: Reader | Observer, half: type) -> Any:
    """Return the answer with a rewritten body if it can hold pictures, and otherwise the answer itself."""
    return with_stream(response, request, half, reader) if _may_hold_pictures(response, request) else response


def _may_hold_pictures(response: Any, request: Any) -> bool:
    """Return True if an answer is JSON or events of an API; downloaded files are left as they are."""
    kind = media_type(response)
    read = kind == EVENT_STREAM or kind.endswith(("/json", "+json"))
    return read and response.is_success and not request.url.path.endswith("/content")
