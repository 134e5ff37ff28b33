"""The least that anybody can do: read the body from a socket, find the key, decode with `pybase64`.

No HTTP library, no JSON, no checks. What stands here cannot be used for anything but to say how near others come.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from urllib.parse import urlsplit

import pybase64

from benchmarks.bodies import PARTIALS
from benchmarks.contestants import FLOOR, TOOL, Contestant

RESULT = b'"result": "'
PARTIAL = b'"partial_image_b64": "'
READ = 262_144  # bytes at a time of a stream; a quarter or four times as many make no difference


class Connection:
    """A kept-alive connection that asks and reads."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self.socket = socket.create_connection((self._address.hostname or "", self._address.port or 80))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, *, stream: bool = False) -> None:
        """Send a request."""
        body = json.dumps({"stream": stream, "tools": [TOOL]}).encode()
        path = f"{self._address.path}/responses"
        self.socket.sendall(f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    def begin(self) -> tuple[int, bytes]:
        """Read the head of the answer: how long it is, and what of it came with the head."""
        came = self.socket.recv(65536)
        head, _, rest = came.partition(b"\r\n\r\n")
        return int(head.rpartition(b":")[2]), rest

    def whole(self) -> bytearray:
        """Read the answer to its end."""
        answer = Answer(*self.begin())
        while not answer.complete:
            answer.grow(self.socket)
        return answer.body

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Answer:
    """A body that arrives in memory made for the whole of it."""

    def __init__(self, length: int, start: bytes) -> None:
        self.body = bytearray(length)
        self.body[: len(start)] = start
        self._rest = memoryview(self.body)[len(start) :]

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return not self._rest

    def grow(self, connection: socket.socket) -> None:
        """Read on."""
        self._rest = self._rest[connection.recv_into(self._rest) :]


class Stream:
    """A body of which little is in memory, since it is decoded while it arrives."""

    def __init__(self, connection: socket.socket, length: int, start: bytes) -> None:
        self._waiting = bytearray(start)
        self._connection = connection
        self._missing = length - len(start)

    def seek(self, key: bytes) -> None:
        """Read on until behind a key."""
        while (found := self._waiting.find(key)) < 0:
            del self._waiting[: -len(key)]
            self._grow()
        del self._waiting[: found + len(key)]

    def decoded(self) -> Iterator[bytes]:
        """The text that follows, up to a quotation mark, as it comes."""
        while (end := self._waiting.find(b'"')) < 0:
            whole = len(self._waiting) // 4 * 4
            yield pybase64.b64decode(self._waiting[:whole], validate=True)
            del self._waiting[:whole]
            self._grow()
        yield pybase64.b64decode(self._waiting[:end], validate=True)

    def skip(self) -> None:
        """Read the rest and forget it."""
        while self._missing:
            self._waiting.clear()
            self._grow()

    def _grow(self) -> None:
        came = self._connection.recv(READ)
        self._missing -= len(came)
        self._waiting += came


def decoded(body: bytearray, key: bytes = RESULT) -> bytes:
    """The first picture of a body."""
    start = body.index(key) + len(key)
    return pybase64.b64decode(memoryview(body)[start : body.index(b'"', start)], validate=True)


def pictures(connection: Connection) -> Iterator[bytes]:
    """Each partial picture of a stream when its last byte has come; the final one is the last of them."""
    connection.ask(stream=True)
    answer = Stream(connection.socket, *connection.begin())
    for _ in range(PARTIALS + 1):
        answer.seek(PARTIAL)
        yield b"".join(answer.decoded())
    answer.skip()


def many(connections: list[Connection]) -> list[bytes]:
    """One picture over each connection, all at once: one thread that reads whatever has come."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.ask()
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        return list(_as_they_come(selector, len(connections)))


def _as_they_come(selector: selectors.BaseSelector, count: int) -> Iterator[bytes]:
    answers: dict[int, Answer] = {}
    while count:
        for key, _ in selector.select():
            answer = answers.get(key.fd)
            if answer is None:
                answers[key.fd] = answer = Answer(*key.data.begin())
            else:
                answer.grow(key.data.socket)
            if answer.complete:
                count -= 1
                yield decoded(answers.pop(key.fd).body)


class Floor(Contestant):
    """What the above does, as the others are called; the async half blocks, as nothing else runs in its loop."""

    name = FLOOR

    @cached_property
    def connections(self) -> list[Connection]:
        """Those that are open; more are opened when more are wanted."""
        return []

    def draw(self) -> bytes:
        [connection] = self._open(1)
        connection.ask()
        return self.shelf.keep(decoded(connection.whole()))

    async def adraw(self) -> bytes:
        return self.draw()

    def stream(self) -> Iterator[bytes]:
        [connection] = self._open(1)
        yield from pictures(connection)

    async def astream(self) -> AsyncIterator[bytes]:
        for picture in self.stream():
            yield picture

    def crowd(self, loop: asyncio.AbstractEventLoop, count: int) -> list[bytes]:  # noqa: ARG002 - needs no event loop
        return [self.shelf.keep(picture) for picture in many(self._open(count))]

    async def aclose(self) -> None:
        for connection in self.connections:
            connection.close()

    def _open(self, count: int) -> list[Connection]:
        self.connections.extend(Connection(self.url) for _ in range(count - len(self.connections)))
        return self.connections[:count]
