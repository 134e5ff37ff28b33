"""The SDK clients that a generator sends its requests with; `runner` sends them."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.errors import OptionError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

OPENAI_URL = "https://api.openai.com/v1"
_BEGUN_IN_A_PASS = 8
"""Without this limit 64 calls at once take a seventh longer (1.14 at 64 KB a picture, 1.16 at 2 MB, in memory)."""


class Transport:
    """The sync client and the async client of each event loop, made when first needed.

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
        self._timeout = timeout
        self.headers = dict(headers or {})
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
