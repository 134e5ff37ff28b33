"""Sockets that are read when that is asked, and not ahead: what nobody has asked for yet waits in the kernel.

For asyncio's own event loops on selectors. What passes over a socket is not known here.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import ByteStream

PIECE = 3 << 17
"""Bytes that one read gives at the most: 384 KB, as base64 288 KB of a picture."""

_SMALL = 3 << 15  # bytes of a piece until an answer has given as many: its reader may turn out to be slow
_TOGETHER = 1 << 20  # bytes of all whose readers are behind; of more than 2 each gets less, down to the above
_FRESH = 0.001  # seconds for which a look at all sockets holds
_SELECTOR = getattr(selectors, "PollSelector", selectors.SelectSelector)  # those that take up no file handle


class Late(Exception):  # noqa: N818 - no `TimeoutError`: TLS would take that for the end of the connection
    """The other side was waited for in vain."""


class Network:
    """What the sockets of one client have in common: how large their pieces may be, and a look at all of them."""

    def __init__(self) -> None:
        self._behind: set[Socket] = set()  # another one was read before they were again: busy with a disk, say
        self._latest: Socket | None = None
        self._selector = _SELECTOR()
        self._looked = 0.0
        self._readable: set[Socket] = set()
        self._seen: set[Socket] = set()  # asked about or read since the last look

    def add(self, new: Socket) -> None:
        """Another one."""
        self._selector.register(new.connected, selectors.EVENT_READ, new)

    def remove(self, old: Socket) -> None:
        """It ends."""
        self._selector.unregister(old.connected)
        self.between_answers(old)
        self._readable.discard(old)
        self._seen.discard(old)
        self._latest = None if self._latest is old else self._latest

    def between_answers(self, which: Socket) -> None:
        """Nobody is busy with what it gave."""
        self._behind.discard(which)

    def was_read(self, which: Socket) -> None:
        """It gave a piece."""
        self._behind.add(which)
        self._latest = which
        self._seen.add(which)

    def piece(self, which: Socket, given: int) -> int:
        """How many bytes one may read now that has given so many of an answer."""
        if self._latest is which:
            self._behind.discard(which)
        most = _SMALL if given < _SMALL else PIECE
        return max(_SMALL, min(most, _TOGETHER // max(len(self._behind), 1)))

    def is_readable(self, which: Socket) -> bool:
        """Whether something has come to it, if only the end.

        `httpcore` asks all that are idle, before and after each request: one look serves all of them, once.
        """
        now = time.monotonic()
        if which in self._seen or now - self._looked > _FRESH:
            self._looked = now
            self._readable = {key.data for key, _ in self._selector.select(0)}
            self._seen.clear()
        self._seen.add(which)
        return which in self._readable


class Socket(ByteStream):
    """A socket in an event loop.

    Args:
        connected: It does not block, and belongs to nobody else.
        network: To which it belongs until it is closed.
    """

    def __init__(self, connected: socket.socket, network: Network) -> None:
        self.connected, self._network = connected, network
        self._given = 0  # bytes of this answer
        self._waiting: set[asyncio.Future[None]] = set()
        self.timeout: float | None = None
        """Seconds for which the other side is waited for, each time."""
        network.add(self)

    def begin(self) -> None:
        """What comes from now on answers another request."""
        self._given = 0
        self._network.between_answers(self)

    def is_readable(self) -> bool:
        """Whether something has come, if only the end; asked between answers."""
        self._network.between_answers(self)
        return self._network.is_readable(self)

    async def receive(self, max_bytes: int = PIECE) -> bytes:
        """What has come: at most so many bytes, and fewer for each of many.

        Raises:
            anyio.EndOfStream: There is no more to come.
            Late: Nothing came in time.
            OSError: The connection broke.
        """
        loop = asyncio.get_running_loop()
        piece = min(max_bytes, self._network.piece(self, self._given))
        if self._given:
            await asyncio.sleep(0)  # what comes fast enough is never waited for, and others want their turn
        else:
            await self._ready(loop.add_reader, loop.remove_reader)
        while True:
            try:
                data = self.connected.recv(piece)
                break
            except (BlockingIOError, InterruptedError):
                await self._ready(loop.add_reader, loop.remove_reader)
        if not data:
            raise anyio.EndOfStream
        self._given += len(data)
        self._network.was_read(self)
        return data

    async def send(self, item: bytes) -> None:
        """Send all.

        Raises:
            Late: Nothing was taken in time.
            OSError: The connection broke.
        """
        loop = asyncio.get_running_loop()
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[self.connected.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await self._ready(loop.add_writer, loop.remove_writer)

    async def send_eof(self) -> None:
        """Say that this was all."""
        self.connected.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Hang up; whoever waits for the other side is told so (`anyio.ClosedResourceError`)."""
        number = self.connected.fileno()
        if number < 0:
            return
        self._network.remove(self)
        for waiting in self._waiting:
            _tell(waiting, anyio.ClosedResourceError())
        loop = asyncio.get_running_loop()
        loop.remove_reader(number)
        loop.remove_writer(number)
        self.connected.close()

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        loop, number = asyncio.get_running_loop(), self.connected.fileno()  # by number: selectors print what they miss
        if number < 0:
            raise anyio.ClosedResourceError
        waiting = loop.create_future()
        timer = None if self.timeout is None else loop.call_later(self.timeout, _tell, waiting, Late())
        add(number, _tell, waiting)
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
            if timer is not None:
                timer.cancel()
            if self.connected.fileno() >= 0:
                remove(number)


def _tell(waiting: asyncio.Future[None], error: Exception | None = None) -> None:
    if not waiting.done():
        waiting.set_exception(error) if error else waiting.set_result(None)
