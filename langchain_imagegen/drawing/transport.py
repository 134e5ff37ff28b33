"""The only module of the generator that talks to the network: the SDK's clients, and both halves that carry flows out.

It decides nothing about a drawing; see `flows` for what is sent and when again, `translation` for errors.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.drawing.flows import Call, Flow, Read, Wait
from langchain_imagegen.drawing.runner import Drive
from langchain_imagegen.errors import OptionError
from langchain_imagegen.images.image import PartialImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.store import ImageStore
from langchain_imagegen.streaming.answer import Body

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

OPENAI_URL = "https://api.openai.com/v1"
_LOOKED_AT = {"responses": ("stream",), "images": ("model", "prompt", "stream")}
"""What the SDK's clients read of a request themselves; Azure's finds an image model's deployment by its name."""
_BEGUN_IN_A_PASS = 8
"""Of 64 at once the first leaves after 6 ms (2: 5 ms, all: 26 ms); with fewer each takes longer, from colder caches."""


class Transport:
    """Carries flows out with the SDK's clients.

    Args:
        settings: What `openai.OpenAI(…)` takes; `None` values are left to the SDK and its environment variables.
        client: A client to use in place of one made from `settings`; Azure's works too.
        async_client: The same for the async half.
        timeout: Seconds without a byte before a request is given up.
        headers: Sent with every request.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        client: OpenAI | None = None,
        async_client: AsyncOpenAI | None = None,
        timeout: float | None = 300.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self._given, self._given_async = client, async_client
        self._timeout, self._headers = timeout, dict(headers or {})
        self._client: OpenAI | None = None
        self._making = threading.Lock()
        self._async_clients: weakref.WeakKeyDictionary[Any, AsyncOpenAI] = weakref.WeakKeyDictionary()
        self._turns: weakref.WeakKeyDictionary[Any, asyncio.Semaphore] = weakref.WeakKeyDictionary()

    @property
    def provider(self) -> str:
        """The host of the service's base URL."""
        given = self._given or self._given_async
        if given is not None:
            return str(given.base_url.host)
        url = self._settings.get("base_url") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        return urlsplit(url).hostname or ""

    @property
    def client(self) -> OpenAI:
        """The sync client; the SDK's retries are off, since it would send a paid request again."""
        with self._making:
            if self._client is None:
                self._client = self._own(self._given, "OpenAI", "client", other=self._given_async)
            return self._client

    @property
    def async_client(self) -> AsyncOpenAI:
        """The async client of the running event loop: connections cannot outlive their loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            self._async_clients[loop] = self._own(self._given_async, "AsyncOpenAI", "async_client", other=self._given)
        return self._async_clients[loop]

    def close(self) -> None:
        """Close the connections of the sync client, unless it was given; a later call opens new ones."""
        with self._making:
            client, self._client = self._client, None
        if client is not None and self._given is None:
            client.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running event loop."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None and self._given_async is None:
            await client.close()

    async def begin(self) -> None:
        """Wait for this call's turn: a few begin in each pass of the event loop.

        A call is made ready in one pass, and its request is built and leaves in another. Were all of a crowd begun in
        one pass, none would leave before the last is made ready, and the service would have waited for that.
        """
        async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_BEGUN_IN_A_PASS)):
            await asyncio.sleep(0)

    def run(self, flow: Flow, store: ImageStore, *, partials: bool = True) -> Generator[PartialImage | ImageResult]:
        """Partial pictures as they arrive, if they are wanted; the result last."""
        drive = Drive(flow)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                elif isinstance(step, Read):
                    drive.answer(step.image.to_data_url())
                else:
                    with self._send(self.client, step) as response:
                        body = drive.body = _body_of(step, response, store, partials=partials)
                        with closing(response.http_response.iter_bytes()) as chunks:
                            for chunk in chunks:
                                yield from body.feed(chunk)
                                if piece := body.work():
                                    piece()
                    drive.answer(body.finish())
            if drive.unsettled:
                drive.settle()
        yield _finished(drive)

    async def arun(
        self, flow: Flow, store: ImageStore, *, partials: bool = True
    ) -> AsyncGenerator[PartialImage | ImageResult]:
        """Async twin of `run`."""
        drive = Drive(flow)
        for step in drive:
            with drive.attempt():
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Read):
                    drive.answer(await asyncio.to_thread(step.image.to_data_url))
                else:
                    async with self._send(self.async_client, step) as response:
                        body = drive.body = _body_of(step, response, store, partials=partials)
                        async with aclosing(response.http_response.aiter_bytes()) as chunks:
                            async for chunk in chunks:
                                for partial in body.feed(chunk):
                                    yield partial
                                if piece := body.work():
                                    await asyncio.to_thread(piece)
                    drive.answer(await asyncio.to_thread(body.finish))
            if drive.unsettled:
                await asyncio.to_thread(drive.settle)
        yield _finished(drive)

    def _send(self, client: Any, call: Call) -> Any:
        """The request; all but what the SDK looks at goes as `extra_body`, which it sends as it is."""
        looked_at = {name: call.body[name] for name in _LOOKED_AT[call.api] if name in call.body}
        rest = {name: value for name, value in call.body.items() if name not in looked_at}
        if call.api == "responses":
            send = client.responses.with_streaming_response.create
        else:
            send = client.images.with_streaming_response.generate
        return send(**looked_at, extra_body=rest, extra_headers=self._headers)

    def _own(self, given: Any, name: str, field: str, *, other: Any) -> Any:
        if given is None and other is not None:
            raise OptionError(f"the other half has a client of its own: give {field}= as well, an openai.{name}")
        return (given or self._make(name)).with_options(max_retries=0, timeout=self._timeout)

    def _make(self, name: str) -> Any:
        import openai

        from langchain_imagegen.http.clients import Private

        settings = dict(self._settings)
        if name == "AsyncOpenAI":
            # The SDK's own client would close itself when it is collected, in whatever event loop then runs.
            settings["http_client"] = openai.DefaultAsyncHttpxClient()
        try:
            client = getattr(openai, name)(**settings)
        except openai.OpenAIError as error:
            raise translate(error) from error
        Private.with_large_reads(Private.http_client(client))
        return client


def _body_of(call: Call, response: Any, store: ImageStore, *, partials: bool) -> Body:
    return Body(call.api, call.origin, store, response.headers, partials=partials)


def _finished(drive: Drive) -> ImageResult:
    assert drive.result is not None  # a flow ends with a result or an error
    return drive.result
