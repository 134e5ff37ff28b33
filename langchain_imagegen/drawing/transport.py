"""The SDK clients of a generator: one set per process, shared by all calls, closed when no call uses them."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_imagegen.api.sdk_errors import translate
from langchain_imagegen.drawing.credentials import (
    clean_key,
    key_from_environment,
    settings_from_environment,
    split_user,
    url_from_environment,
)
from langchain_imagegen.errors import AuthenticationError, OptionError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

OPENAI_URL = "https://api.openai.com/v1"
_BEGUN_IN_A_PASS = 8
"""With 8, the first of 64 concurrent requests leaves after 6 ms (with 64: 26 ms); with fewer, each takes longer."""


class Lease:
    """A client and a count of the calls that use it. The last call closes a client that is due to be closed."""

    def __init__(self, client: Any, *, given: bool) -> None:
        self.client = client
        self._given = given
        self._users = 0
        self._ended = False
        self._counting = threading.Lock()

    def begin(self) -> bool:
        """Register a call. Return False if the client is being closed and the call needs another one."""
        with self._counting:
            self._users += not self._ended
            return not self._ended

    def end(self) -> bool:
        """Unregister a call. Return True if the client must be closed now."""
        with self._counting:
            self._users -= 1
            return self._ended and not self._users and not self._given

    def close(self) -> bool:
        """Accept no further calls. Return True if the client must be closed now."""
        with self._counting:
            first, self._ended = not self._ended, True
            return first and not self._users and not self._given


class _ProcessClients:
    """The clients of one process. After `os.fork` the child makes its own clients and locks."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.client: Lease | None = None
        self.async_clients: weakref.WeakKeyDictionary[Any, Lease] = weakref.WeakKeyDictionary()
        self.begun: weakref.WeakKeyDictionary[Any, asyncio.Semaphore] = weakref.WeakKeyDictionary()


class Transport:
    """The SDK clients: a sync client for all threads and an async client for each event loop.

    Args:
        settings: What `openai.OpenAI(…)` takes; `None` values are left to the environment variables.
        client: A client to use instead of one made from `settings`, such as `AzureOpenAI`.
        async_client: The same for async calls.
        timeout: Seconds without a byte before a request is given up.
        headers: Sent with every request.
        made_in: Id of the process that passed the clients in; `None` means this process.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        client: OpenAI | None = None,
        async_client: AsyncOpenAI | None = None,
        timeout: float | None = 300.0,
        headers: Mapping[str, str] | None = None,
        made_in: int | None = None,
    ) -> None:
        self.headers = dict(headers or {})
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self._given, self._given_async = client, async_client
        self._timeout = timeout
        self._made_in = made_in or os.getpid()
        self._processes: dict[int, _ProcessClients] = {}

    @property
    def provider(self) -> str:
        """Return the host of the service's base URL."""
        given = self._given or self._given_async
        if given is not None:
            return str(given.base_url.host)
        url = self._settings.get("base_url") or url_from_environment() or OPENAI_URL
        return urlsplit(url).hostname or ""

    @property
    def account(self) -> tuple[str, str]:
        """Return the service's base URL and the digest of the key; of a key that a function supplies, nothing."""
        given = self._given or self._given_async
        if given is not None:
            url, key = str(given.base_url), given.api_key
        else:
            url = self._settings.get("base_url") or url_from_environment() or OPENAI_URL
            key = self._settings.get("api_key") or key_from_environment() or ""
        return url.rstrip("/"), hashlib.sha256(str("" if callable(key) else key).encode()).hexdigest()

    @property
    def client(self) -> OpenAI:
        """Return the sync client, with the SDK's retries off because they could pay for a picture twice."""
        return self._lease().client  # type: ignore[no-any-return]

    @property
    def async_client(self) -> AsyncOpenAI:
        """Return the async client of the running event loop; connections cannot outlive their loop."""
        return self._async_lease().client  # type: ignore[no-any-return]

    @contextmanager
    def borrowed(self) -> Generator[OpenAI]:
        """Lend the sync client to a call and keep it open until the call ends."""
        while not (lease := self._lease()).begin():
            continue
        try:
            yield lease.client
        finally:
            if lease.end():
                lease.client.close()

    @asynccontextmanager
    async def async_borrowed(self) -> AsyncGenerator[AsyncOpenAI]:
        """Async twin of `borrowed`."""
        while not (lease := self._async_lease()).begin():
            continue
        try:
            yield lease.client
        finally:
            if lease.end():
                await lease.client.close()

    def close(self) -> None:
        """Close the sync client, unless it was given, as soon as no call uses it; a later call makes a new one."""
        here = self._here()
        with here.making:
            lease, here.client = here.client, None
        if lease is not None and lease.close():
            lease.client.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running event loop."""
        lease = self._here().async_clients.pop(asyncio.get_running_loop(), None)
        if lease is not None and lease.close():
            await lease.client.close()

    async def begin(self) -> None:
        """Wait until this call may start; only a few calls start in each pass of the event loop.

        A call is prepared in one pass, and its request is built and sent in a later one. If all of many concurrent
        calls started in one pass, no request would be sent before the last call was prepared.
        """
        begun = self._here().begun
        async with begun.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_BEGUN_IN_A_PASS)):
            await asyncio.sleep(0)

    def _here(self) -> _ProcessClients:
        """Return this process's clients. Two processes on one connection would read each other's answers."""
        return self._processes.setdefault(os.getpid(), _ProcessClients())

    def _lease(self) -> Lease:
        here = self._here()
        with here.making:
            if here.client is None:
                here.client = self._new_lease(self._given, "OpenAI", "client", other=self._given_async)
            return here.client

    def _async_lease(self) -> Lease:
        leases, loop = self._here().async_clients, asyncio.get_running_loop()
        if loop not in leases:
            leases[loop] = self._new_lease(self._given_async, "AsyncOpenAI", "async_client", other=self._given)
        return leases[loop]

    def _new_lease(self, given: Any, name: str, field: str, *, other: Any) -> Lease:
        if given is None and other is not None:
            raise OptionError(f"the other client was given alone: give {field}= as well, an openai.{name}")
        client = self._make(name) if given is None else self._safe_after_fork(given, name, field)
        return Lease(client.with_options(max_retries=0, timeout=self._timeout), given=given is not None)

    def _safe_after_fork(self, given: Any, name: str, field: str) -> Any:
        """Return the given client, with a new HTTP client if it was given before a fork."""
        from langchain_imagegen.http.clients import Private

        if os.getpid() == self._made_in:
            return given
        if not Private.is_default(given):
            raise OptionError(
                f"{field}= has an HTTP client of another process, whose connections must not be shared: "
                f"make the openai.{name} in each process, after the fork"
            )
        return given.with_options(http_client=_http_client(name))

    def _make(self, name: str) -> Any:
        import openai

        from langchain_imagegen.http.clients import Private

        settings = {**settings_from_environment(), **self._settings}
        if callable(settings.get("api_key")):
            settings["api_key"] = (_akey_of if name == "AsyncOpenAI" else _key_of)(settings["api_key"])
        user = None
        if url := settings.get("base_url"):
            settings["base_url"], user = split_user(url)
        try:
            client = getattr(openai, name)(**settings, http_client=_http_client(name, auth=user))
        except openai.OpenAIError as error:
            raise translate(error) from None
        Private.with_large_reads(Private.http_client(client))
        return client


def _http_client(name: str, **settings: Any) -> Any:
    """Return a new HTTP client as the SDK makes it.

    The SDK's own HTTP client closes itself when it is garbage collected, in whichever event loop is running then.
    """
    import openai

    try:
        made: Any = openai.DefaultAsyncHttpxClient if name == "AsyncOpenAI" else openai.DefaultHttpxClient
        return made(**settings)
    except (ImportError, OSError, ValueError) as error:
        raise OptionError(
            f"no HTTP client can be made here ({type(error).__name__}): check the environment variables for proxies "
            "(HTTPS_PROXY, ALL_PROXY, NO_PROXY) and certificates (SSL_CERT_FILE, SSL_CERT_DIR)"
        ) from None


def _key_of(give: Callable[[], Any]) -> Callable[[], str]:
    """Return a function that supplies the SDK's sync client with the checked key."""

    def key() -> str:
        value = _call(give)
        if inspect.isawaitable(value):
            _discard(value)
            raise OptionError("api_key is an async function: call ainvoke, or give a sync function")
        return clean_key(value, "the key that api_key returns")

    return key


def _akey_of(give: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that supplies the SDK's async client with the checked key; a sync `give` runs in a thread."""

    async def key() -> str:
        value = await asyncio.to_thread(_call, give)
        if inspect.isawaitable(value):
            try:
                value = await value
            except Exception as error:
                raise _key_error(error) from error
        return clean_key(value, "the key that api_key returns")

    return key


def _call(give: Callable[[], Any]) -> Any:
    try:
        return give()
    except Exception as error:
        raise _key_error(error) from error


def _key_error(error: Exception) -> AuthenticationError:
    return AuthenticationError(f"the function given as api_key failed with {type(error).__name__}; nothing was sent")


def _discard(value: Any) -> None:
    if inspect.iscoroutine(value):
        value.close()
