"""Connections in lanes: `httpcore` looks at each connection of a pool before and after each request of it.

Alone that is nothing; with many requests at once it is work that grows with their square. So each few have a pool of
their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import httpcore2
from typing_extensions import Self

WIDTH = 8
"""Requests at once in one lane. In a single one 64 small pictures at once take 3 to 5 % longer, 500 take 16 to 40 %."""


class Lanes:
    """What a pool is to its client, for HTTP/1.1: a lane is opened when those before it are full.

    Args:
        make: A new pool of so many connections, of which so many may be idle.
        connections: How many there may be in all.
        idle: How many of them may be kept while they are idle.
    """

    def __init__(self, make: Callable[[int, int], Any], connections: int, idle: int) -> None:
        self._make, self._room, self._idle = make, connections, idle
        self._lanes: list[_Lane] = []
        self._tidied = 0

    @property
    def connections(self) -> list[Any]:
        """Those of all lanes."""
        return [connection for lane in self._lanes for connection in lane.pool.connections]

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """The answer, as a pool gives it."""
        lane = self._free()
        lane.requests += 1
        try:
            await self._tidy()
            response: httpcore2.Response = await lane.pool.handle_async_request(request)
        except BaseException:
            lane.requests -= 1
            raise
        response.stream = _Counted(response.stream, lane)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._lanes:
            await lane.pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _free(self) -> _Lane:
        """A lane with a connection to spare, a new one if there may be, else the one with the shortest queue."""
        for lane in self._lanes:
            if lane.requests < lane.width:
                return lane
        if not self._room:
            return min(self._lanes, key=lambda lane: lane.requests - lane.width)
        width = self._room if self._room < 2 * WIDTH else WIDTH
        idle = min(width, self._idle)
        self._room, self._idle = self._room - width, self._idle - idle
        self._lanes.append(_Lane(self._make(width, idle), width))
        return self._lanes[-1]

    async def _tidy(self) -> None:
        """Close what has expired in one lane that is at rest, in the next one each time: pools do so only when used."""
        self._tidied += 1
        lane = self._lanes[self._tidied % len(self._lanes)]
        if not lane.requests:
            for connection in lane.pool.connections:
                if connection.has_expired():
                    await connection.aclose()


class _Lane:
    def __init__(self, pool: Any, width: int) -> None:
        self.pool, self.width = pool, width
        self.requests = 0


class _Counted:
    """The body of an answer, whose request leaves its lane when it is closed."""

    def __init__(self, stream: Any, lane: _Lane) -> None:
        self._stream, self._lane = stream, lane
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        stream: AsyncIterator[bytes] = aiter(self._stream)
        return stream

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._stream.aclose()
            finally:
                self._lane.requests -= 1
