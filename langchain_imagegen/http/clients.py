"""HTTP clients and chat models for pictures: new clients, and copies of a user's own.

A copy shares the connections of its original and never closes them; the original is not changed. A copy takes 0.1 ms,
so none is cached.
"""

from __future__ import annotations

import copy
import socket
import urllib.request
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import httpx2
import openai
from langchain_core.runnables import RunnableBinding

from langchain_imagegen.errors import OptionError
from langchain_imagegen.http.large_reads import AsyncLargeReads, LargeReads
from langchain_imagegen.http.partials import AsyncPartialsTransport, PartialsTransport, Watcher
from langchain_imagegen.http.retrieving import AsyncRetrieving, Retrieving
from langchain_imagegen.http.rewriter import Arrived
from langchain_imagegen.http.transports import (
    AsyncImageTransport,
    AsyncObservingTransport,
    ImageTransport,
    ObservingTransport,
)
from langchain_imagegen.storage.store import ImageStore

Client = TypeVar("Client")
Model = TypeVar("Model")

_OF_TRANSPORT = ("verify", "cert", "http1", "http2", "limits", "trust_env", "socket_options")
_OF_ONE_HALF = ("transport", "mounts")
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Private:
    """Every access to private attributes of other libraries; a test fails if one of these changes."""

    @staticmethod
    def http_client(client: Any) -> Any:
        """Return the HTTP client of an SDK client (`openai`)."""
        return client._client  # noqa: SLF001

    @staticmethod
    def is_default(client: Any) -> bool:
        """Return True if the HTTP client of an SDK client is one that the SDK made, with settings of its own."""
        return type(client._client).__name__ in ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper")  # noqa: SLF001

    @staticmethod
    def with_transports(client: Client, change: Callable[[Any], Any]) -> Client:
        """Return a copy of an HTTP client (`httpx2`, `httpx`) with other transports; all else is shared.

        The copy has no finalizer: those of the SDK and of `langchain_openai` begin a task to close their client.
        """
        copied: Any = copy.copy(client)
        copied.__class__ = _without_finalizer(type(client))
        copied._transport = change(copied._transport)  # noqa: SLF001
        copied._mounts = {pattern: inner and change(inner) for pattern, inner in copied._mounts.items()}  # noqa: SLF001
        return copied  # type: ignore[no-any-return]

    @staticmethod
    def with_large_reads(client: Client) -> Client:
        """Return the HTTP client (`httpx2`), which must be new, with large reads in its pool (`httpcore2`)."""
        pool: Any = getattr(client._transport, "_pool", None)  # type: ignore[attr-defined]  # noqa: SLF001
        if hasattr(pool, "_network_backend"):
            large = LargeReads if isinstance(client, httpx2.Client) else AsyncLargeReads
            pool._network_backend = large(pool._network_backend)  # noqa: SLF001
        return client


def http_clients(image_store: ImageStore | None = None, **settings: Any) -> dict[str, Any]:
    """Return both HTTP clients of a chat model: `ChatOpenAI(…, **http_clients())`; see `ImageTransport`.

    They have the settings of the SDK's own clients (time limits, redirects, proxies of the environment), and TCP
    keepalive like `ChatOpenAI`. Messages then hold a token in place of base64, which `images_from` reads. The next turn
    names a picture by its id alone, as without. With `store=False` `ChatOpenAI` sends back the whole call, here with
    the token in it; the service refuses such a call with base64 as well, and `ImageGenerationMiddleware` does without.
    The sync client closes itself when nothing uses it any more; the async one needs `await client.aclose()`.

    Args:
        image_store: Where the pictures go; `None`: the default store.
        settings: Of `httpx2.Client` and `httpx2.AsyncClient` alike, and `socket_options` of their transports.

    Raises:
        OptionError: a setting cannot be shared by a sync and an async client.
    """
    if wrong := [_refuse_setting(name) for name in _OF_ONE_HALF if name in settings]:
        raise OptionError(*wrong)
    client = Private.with_large_reads(openai.DefaultHttpxClient(**_client_settings(settings, httpx2.HTTPTransport)))
    async_client = Private.with_large_reads(
        openai.DefaultAsyncHttpxClient(**_client_settings(settings, httpx2.AsyncHTTPTransport))
    )
    return {
        "http_client": _closed_at_exit(client, image_store),
        "http_async_client": Private.with_transports(
            async_client, lambda inner: AsyncImageTransport(inner, image_store)
        ),
    }


def _closed_at_exit(client: httpx2.Client, image_store: ImageStore | None) -> httpx2.Client:
    """Return a copy of a new client with an `ImageTransport`, closed at the end of its life or of the process.

    The SDK closes its own clients in this way too, but not a client that it is given.
    """
    transports: list[ImageTransport] = []

    def change(inner: httpx2.BaseTransport) -> ImageTransport:
        transports.append(ImageTransport(inner, image_store))
        return transports[-1]

    light = Private.with_transports(client, change)
    weakref.finalize(light, _close_all, transports)
    return light


def _close_all(transports: Iterable[ImageTransport]) -> None:
    for transport in transports:
        transport.close()


def wired(
    model: Model,
    image_store: ImageStore,
    arrived: Arrived | None = None,
    *,
    partials: int = 0,
    watcher: Watcher | None = None,
) -> Model:
    """Return a copy of an OpenAI chat model whose answers hold tokens, and any other model itself.

    A binding of an OpenAI chat model is copied with its model. `arrived` gets what arrives of an answer. If there is a
    `watcher`, it is told of image calls, and of the partial pictures that are asked for and kept from the chat model.
    """

    def light(inner: httpx2.BaseTransport) -> httpx2.BaseTransport:
        images = ImageTransport(inner, image_store, arrived=arrived)
        return PartialsTransport(images, partials, watcher) if watcher else images

    def alight(inner: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
        images = AsyncImageTransport(inner, image_store, arrived=arrived)
        return AsyncPartialsTransport(images, partials, watcher) if watcher else images

    return _with_transports(model, light, alight)


def retrieving(model: Model, response_id: str) -> Model:
    """Return a copy of an OpenAI chat model that reads a kept response in place of creating one; it does not stream."""

    def kept(inner: httpx2.BaseTransport) -> Retrieving:
        return Retrieving(inner, response_id)

    def akept(inner: httpx2.AsyncBaseTransport) -> AsyncRetrieving:
        return AsyncRetrieving(inner, response_id)

    return _with_transports(model, kept, akept, disable_streaming=True, streaming=False)


def observed(model: Model, arrived: Arrived) -> Model:
    """Return a copy of an OpenAI chat model whose answers are noted in `arrived`, and any other model itself."""

    def sync(client: Any) -> Any:
        return _rewired(client, lambda owner, inner: ObservingTransport(_Lent(owner, inner), arrived))

    def asynchronous(client: Any) -> Any:
        return _rewired(client, lambda owner, inner: AsyncObservingTransport(_AsyncLent(owner, inner), arrived))

    return _with_clients(model, sync, asynchronous)


def without_retries(model: Model) -> Model:
    """Return a copy of an OpenAI chat model whose clients send each request once, and any other model itself."""

    def once(client: Any) -> Any:
        return client.with_options(max_retries=0)

    return _with_clients(model, once, once)


def _with_transports(
    model: Model, change: Callable[[Any], Any], change_async: Callable[[Any], Any], **settings: Any
) -> Model:
    """Return a copy of a chat model with other transports around the connections of its clients, and other settings."""

    def sync(client: Any) -> Any:
        return _rewired(client, lambda owner, inner: change(_Lent(owner, inner)))

    def asynchronous(client: Any) -> Any:
        return _rewired(client, lambda owner, inner: change_async(_AsyncLent(owner, inner)))

    return _with_clients(model, sync, asynchronous, **settings)


def _with_clients(
    model: Model, change: Callable[[Any], Any], change_async: Callable[[Any], Any], **settings: Any
) -> Model:
    """Return a copy of a chat model with changed SDK clients and settings; the model itself if it has no clients."""
    given: Any = model
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": _with_clients(model.bound, change, change_async, **settings)})
    client, async_client = (getattr(given, name, None) for name in ("root_client", "root_async_client"))
    update: dict[str, Any] = {}
    if client is not None:
        root = change(client)
        update |= {"root_client": root, "client": root.chat.completions, "http_client": Private.http_client(root)}
    if async_client is not None:
        root = change_async(async_client)
        update |= {"root_async_client": root, "async_client": root.chat.completions}
        update["http_async_client"] = Private.http_client(root)
    return given.model_copy(update=update | settings) if update else model


def _without_finalizer(kind: type[Any]) -> type[Any]:
    """Return a class, or its base if the class adds nothing but a finalizer."""
    while "__del__" in vars(kind) and all(name.startswith("__") for name in vars(kind)):
        kind = kind.__mro__[1]
    return kind


def _rewired(client: Any, change: Callable[[Any, Any], Any]) -> Any:
    """Return a copy of an SDK client with other transports and the user's settings."""
    owner = Private.http_client(client)
    return client.with_options(http_client=Private.with_transports(owner, lambda inner: change(owner, inner)))


class _Lent(httpx2.BaseTransport):
    """A transport lent by another client. Only that client closes it, and it is kept alive here."""

    def __init__(self, owner: Any, inner: Any) -> None:
        self._owner, self._inner = owner, inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, unless the owner was closed."""
        _check_open(self._owner)
        return self._inner.handle_request(request)  # type: ignore[no-any-return]


class _AsyncLent(httpx2.AsyncBaseTransport):
    """Async twin of `_Lent`."""

    def __init__(self, owner: Any, inner: Any) -> None:
        self._owner, self._inner = owner, inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Async twin of `handle_request`."""
        _check_open(self._owner)
        return await self._inner.handle_async_request(request)  # type: ignore[no-any-return]


def _check_open(owner: Any) -> None:
    if owner.is_closed:
        raise RuntimeError("Cannot send a request, as the client has been closed.")


def _client_settings(settings: Mapping[str, Any], transport: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings of a client, with a transport that has TCP keepalive unless a proxy is used."""
    client = {name: value for name, value in settings.items() if name != "socket_options"}
    if "proxy" in settings or _is_proxied(settings):
        return client  # `httpx2` uses proxies only if no transport is given
    given = {name: settings[name] for name in _OF_TRANSPORT if name in settings}
    usual = {"limits": openai.DEFAULT_CONNECTION_LIMITS, "socket_options": _keepalive()}
    return {**client, "transport": transport(**{**usual, **given})}


def _is_proxied(settings: Mapping[str, Any]) -> bool:
    """Return True if the environment's proxies are used; `socket_options` need a transport, and so exclude them."""
    wanted = settings.get("trust_env", True) and "socket_options" not in settings
    return bool(wanted and urllib.request.getproxies())


def _refuse_setting(name: str) -> str:
    return (
        f"{name}= is of a sync or of an async client, and http_clients() makes both; make them yourself: "
        f"httpx2.Client({name}=…) with ImageTransport around it, and httpx2.AsyncClient with AsyncImageTransport"
    )


def _keepalive() -> list[tuple[int, int, int]]:
    """Return socket options that detect a dead connection within two minutes."""
    times = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    ]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *times]
