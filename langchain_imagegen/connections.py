"""Connections that are read in large pieces, for the clients that are made here.

A piece of a body passes some twenty calls from the socket to the store, whatever its length. `httpcore` asks for 64 KB,
and is given 16 over TLS; here a read gives up to 256 KB, in an event loop, where there are more calls, up to 384, and
less to each of many whose readers fall behind. How a connection is made, and everything over a proxy, stays as there.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import anyio
import httpcore2
from anyio.streams.tls import TLSAttribute, TLSStream

from langchain_imagegen.sockets import PIECE, Late, Network, Socket

Began: TypeAlias = "Callable[[Any], None]"
"""Called with a stream before the first read of it."""

_PIECE = 1 << 18  # bytes that one read of the sync half gives at the most
_RECORD = 1 << 14  # bytes that TLS deciphers at a time (RFC 8446, section 5.1)
_HAPPY_EYEBALLS = 0.25  # seconds for one address before the next is tried beside it (RFC 8305)


class LargeReads(httpcore2.NetworkBackend):
    """A network whose streams are read in large pieces."""

    def __init__(self, usual: httpcore2.NetworkBackend, began: Began) -> None:
        self._usual, self._began = usual, began

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        """A connection to a host."""
        return _Stream(self._usual.connect_tcp(*args, **kwargs), self._began)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        """A connection to a socket of this machine."""
        return _Stream(self._usual.connect_unix_socket(*args, **kwargs), self._began)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._usual.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, usual: httpcore2.NetworkStream, began: Began, secured: ssl.SSLSocket | None = None) -> None:
        self._usual, self._began, self._fresh = usual, began, True
        self._secured = secured
        self._records = _Records(_PIECE)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._fresh:
            self._fresh = False
            self._began(self)
        if self._secured is None:
            return self._usual.read(max(max_bytes, _PIECE), timeout)
        with _told(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._records.check()
        first = self._usual.read(_RECORD, timeout)
        self._secured.settimeout(0)
        return self._records.from_first(first, self._secured.recv)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._usual.write(buffer, timeout)

    def close(self) -> None:
        self._usual.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        secured = self._usual.start_tls(*args, **kwargs)
        connected = secured.get_extra_info("socket")
        outermost = self._secured is None and isinstance(connected, ssl.SSLSocket)  # not in TLS to a proxy
        return _Stream(secured, self._began, connected if outermost else None)

    def get_extra_info(self, info: str) -> Any:
        return self._usual.get_extra_info(info)


class AsyncLargeReads(httpcore2.AsyncNetworkBackend):
    """Async twin of `LargeReads`; it reads sockets itself in asyncio's own event loops on selectors, and nowhere else.

    There `httpcore` has up to 256 KB of each connection in memory before anybody asks for it, and takes them apart.
    """

    def __init__(self, usual: httpcore2.AsyncNetworkBackend, began: Began) -> None:
        self._usual, self._began = usual, began
        self._network = Network()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a host."""
        loop = _event_loop()
        if loop is None:
            return await self._usual.connect_tcp(host, port, timeout, local_address, socket_options)
        local = (local_address, 0) if local_address else None
        with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError), anyio.fail_after(timeout):
            transport, _ = await loop.create_connection(
                _Unread, host, port, local_addr=local, happy_eyeballs_delay=_HAPPY_EYEBALLS
            )
            try:
                connected = transport.get_extra_info("socket").dup()
            finally:
                transport.abort()
            stream = _AsyncStream(Socket(connected, self._network), self._began)
            try:
                for option in socket_options or ():
                    connected.setsockopt(*option)
            except OSError:
                await stream.aclose()
                raise
        return stream

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        """A connection to a socket of this machine."""
        return await self._usual.connect_unix_socket(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._usual.sleep(seconds)


class _AsyncStream(httpcore2.AsyncNetworkStream):
    def __init__(self, connected: Socket, began: Began, secured: TLSStream | None = None) -> None:
        self._socket, self._began, self._fresh = connected, began, True
        self._secured = secured
        self._records = _Records(PIECE)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, more than was asked for; nothing at the end."""
        del max_bytes
        if self._fresh:
            self._fresh = False
            self._began(self)
        self._socket.timeout = timeout
        with _told(httpcore2.ReadTimeout, httpcore2.ReadError):
            try:
                if self._secured is None:
                    return await self._socket.receive(PIECE)
                self._records.check()
                first = await self._secured.receive(_RECORD)
            except anyio.EndOfStream:
                return b""
        return self._records.from_first(first, self._secured.extra(TLSAttribute.ssl_object).read)  # noqa: S610

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all."""
        if not buffer:
            return
        self._socket.begin()
        self._socket.timeout = timeout
        with _told(httpcore2.WriteTimeout, httpcore2.WriteError):
            await (self._secured or self._socket).send(buffer)

    async def aclose(self) -> None:
        """Hang up."""
        await self._socket.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, from now on over TLS; closed if that fails."""
        try:
            with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError), anyio.fail_after(timeout):
                secured = await TLSStream.wrap(
                    self._secured or self._socket,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    server_side=False,
                    standard_compatible=False,  # as `httpcore`: farewells are neither said nor waited for
                )
        except BaseException:
            await self.aclose()
            raise
        return _AsyncStream(self._socket, self._began, secured)

    def get_extra_info(self, info: str) -> Any:
        """What `httpcore` asks of a connection; whether it is readable, while it is idle."""
        if info == "is_readable":
            return self._socket.is_readable()
        if info == "ssl_object" and self._secured is not None:
            return self._secured.extra(TLSAttribute.ssl_object)  # noqa: S610
        connected = self._socket.connected
        told = {"socket": lambda: connected, "client_addr": connected.getsockname, "server_addr": connected.getpeername}
        return told.get(info, lambda: None)()


class _Records:
    """The records of TLS that one read gives: all that have come, with an error behind them kept for the next read.

    Args:
        most: Bytes of all of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that has come."""
        if self._error is not None:
            raise self._error

    def from_first(self, first: bytes, read: Callable[[int], bytes]) -> bytes:
        """The first record and those behind it, which `read` gives if they have come."""
        records, missing = [first], self._most - len(first)
        while records[-1] and missing > 0:
            try:
                records.append(read(min(missing, _RECORD)))
            except ssl.SSLWantReadError:
                break
            except OSError as error:
                self._error = error
                break
            missing -= len(records[-1])
        return b"".join(records)


class _Unread(asyncio.Protocol):
    """Leaves what comes where it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()


def _event_loop() -> asyncio.AbstractEventLoop | None:
    """The running event loop if it is one of asyncio's own that tells when a socket can be read."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, asyncio.SelectorEventLoop) else None


@contextmanager
def _told(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Errors as `httpcore` tells them."""
    try:
        yield
    except (TimeoutError, Late) as error:
        raise late(str(error)) from error
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as error:
        raise failed(str(error.__cause__ or error)) from error
