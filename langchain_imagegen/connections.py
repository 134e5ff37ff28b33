"""Connections that are read in large pieces, for the clients that are made here.

A piece of a body passes some twenty calls from the socket to the store, whatever its length. `httpcore` asks for 64 KB;
here a read gives up to 256 KB, and less to each of many whose readers fall behind. How a connection is made, and
everything over a proxy, stays as it is there.
"""

from __future__ import annotations

import asyncio
import select
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import anyio
import httpcore2

PIECE = 1 << 18
"""Bytes that one read gives at the most."""

Began: TypeAlias = "Callable[[Any], None]"
"""Called with a stream before the first read of it."""

_FIRST = 3 << 15  # bytes of a piece until an answer has given as many: its reader may turn out to be slow
_IN_A_CROWD = 1 << 16
_TOGETHER = 1 << 19  # bytes of all whose readers are behind; of more than 2 each gets less, down to the above
_HAPPY_EYEBALLS = 0.25  # seconds for one address before the next is tried beside it (RFC 8305)
_EXTRA = {"client_addr": "sockname", "server_addr": "peername"}


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
    def __init__(self, usual: httpcore2.NetworkStream, began: Began) -> None:
        self._usual, self._began, self._fresh = usual, began, True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._fresh:
            self._fresh = False
            self._began(self)
        return self._usual.read(max(max_bytes, PIECE), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._usual.write(buffer, timeout)

    def close(self) -> None:
        self._usual.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._usual.start_tls(*args, **kwargs), self._began)

    def get_extra_info(self, info: str) -> Any:
        return self._usual.get_extra_info(info)


class AsyncLargeReads(httpcore2.AsyncNetworkBackend):
    """Async twin of `LargeReads`; it reads sockets itself in asyncio's own event loops, and nowhere else.

    There `httpcore` receives 256 KB for each connection, however many there are, and takes them apart.
    """

    def __init__(self, usual: httpcore2.AsyncNetworkBackend, began: Began) -> None:
        self._usual, self._began = usual, began
        self._behind: set[_Arrivals] = set()

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
            transport, arrivals = await loop.create_connection(
                lambda: _Arrivals(self._behind), host, port, local_addr=local, happy_eyeballs_delay=_HAPPY_EYEBALLS
            )
            stream = _AsyncStream(transport, arrivals, self._began)
            try:
                for option in socket_options or ():
                    transport.get_extra_info("socket").setsockopt(*option)
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
    def __init__(self, transport: asyncio.Transport, arrivals: _Arrivals, began: Began) -> None:
        self._transport, self._arrivals, self._began, self._fresh = transport, arrivals, began, True
        arrivals.transport = transport

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, more than was asked for; nothing at the end."""
        del max_bytes
        if self._fresh:
            self._fresh = False
            self._began(self)
        with _told(httpcore2.ReadTimeout, httpcore2.ReadError):
            await self._arrivals.come(timeout)
            return self._arrivals.take()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, and wait until more may be sent."""
        if not buffer:
            return
        if self._transport.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        self._arrivals.begin()
        with _told(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._transport.write(buffer)
            await self._arrivals.drain(timeout)

    async def aclose(self) -> None:
        """Hang up."""
        self._transport.close()
        await asyncio.sleep(0)
        self._transport.abort()  # over TLS it would wait for the other side's farewell
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, from now on over TLS."""
        loop = asyncio.get_running_loop()
        with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError), anyio.fail_after(timeout):
            transport = await loop.start_tls(
                self._transport, self._arrivals, ssl_context, server_hostname=server_hostname
            )
        return _AsyncStream(cast("asyncio.Transport", transport), self._arrivals, self._began)

    def get_extra_info(self, info: str) -> Any:
        """What `httpcore` asks of a connection."""
        if info == "is_readable":
            return self._arrivals.waiting or _is_readable(self._transport.get_extra_info("socket"))
        return self._transport.get_extra_info(_EXTRA.get(info, info))


class _Arrivals(asyncio.BufferedProtocol):
    """What has come over a connection and was not read yet, two pieces at the most; and whether more may be sent."""

    transport: asyncio.Transport

    def __init__(self, behind: set[_Arrivals]) -> None:
        self._behind = behind  # whose readers were away when a piece of this answer came: busy with a disk, say
        self._given = 0  # bytes of this answer
        self._came: list[bytes] = []
        self._buffer = memoryview(b"")
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether there is something to take, if only the end."""
        return self._ended or bool(self._came)

    def begin(self) -> None:
        """What comes from now on answers another request."""
        self._given = 0
        self._behind.discard(self)

    async def come(self, timeout: float | None) -> None:
        """Wait until there is something to take.

        Raises:
            TimeoutError: nothing has come for that many seconds.
        """
        if not self.waiting:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await _in_time(self._reader, timeout)
            finally:
                self._reader = None

    def take(self) -> bytes:
        """All that has come; at the end nothing, or the error that ended it."""
        if not self._came and self._error is not None:
            raise self._error
        data = b"".join(self._came)
        self._came.clear()
        self.transport.resume_reading()
        return data

    async def drain(self, timeout: float | None) -> None:
        """Wait until more may be sent.

        Raises:
            TimeoutError: the other side has taken nothing for that many seconds.
        """
        if self._writer is not None:
            await _in_time(self._writer, timeout)
        if self._error is not None:
            raise self._error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, in good order or not."""
        self._behind.discard(self)
        self._ended, self._error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next piece goes, which is about to come; asyncio fills slices of it, which must be no copies."""
        del sizehint
        most = _FIRST if self._given < _FIRST else PIECE
        self._buffer = memoryview(bytearray(max(_IN_A_CROWD, min(most, _TOGETHER // max(len(self._behind), 1)))))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """It has come; no more is wanted until a reader has come back for it."""
        self._came.append(bytes(self._buffer[:nbytes]))
        self._buffer = memoryview(b"")
        self._given += nbytes
        if self._reader is None:
            self._behind.add(self)
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        """The other side has said all."""
        self._ended = True
        _wake(self._reader)

    def pause_writing(self) -> None:
        """The other side does not keep up."""
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        _wake(self._writer)
        self._writer = None


def _event_loop() -> asyncio.AbstractEventLoop | None:
    """The running event loop if it is one of asyncio's own."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, asyncio.BaseEventLoop) else None


@contextmanager
def _told(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Errors as `httpcore` tells them."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


async def _in_time(what: asyncio.Future[None], timeout: float | None) -> None:
    timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, _expire, what)
    try:
        await what
    finally:
        if timer is not None:
            timer.cancel()


def _expire(what: asyncio.Future[None]) -> None:
    if not what.done():
        what.set_exception(TimeoutError())


def _wake(what: asyncio.Future[None] | None) -> None:
    if what is not None and not what.done():
        what.set_result(None)


def _is_readable(connection: Any) -> bool:
    """Whether something has come that the event loop has not yet seen, as when the service hung up."""
    if sys.platform == "win32":
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
