"""The lower bound of all contestants: read the body from a socket, find the key, decode with `pybase64`.

It has no HTTP library, no JSON and no checks, so it is of use only for comparison.
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
READ_SIZE = 262_144  # bytes per read of a stream; a quarter or four times as many make no difference


class Connection:
    """A kept-alive connection to the service."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self.socket = socket.create_connection((self._address.hostname or "", self._address.port or 80))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_request(self, *, stream: bool = False) -> None:
        """Send a request."""
        body = json.dumps({"stream": stream, "tools": [TOOL]}).encode()
        path = f"{self._address.path}/responses"
        self.socket.sendall(f"POST {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    def read_head(self) -> tuple[int, bytes]:
        """Read the head of the answer. Return the body's length and the part of it that arrived with the head."""
        received = self.socket.recv(65536)
        head, _, rest = received.partition(b"\r\n\r\n")
        return int(head.rpartition(b":")[2]), rest

    def read_body(self) -> bytearray:
        """Read the whole answer and return its body."""
        answer = Answer(*self.read_head())
        while not answer.complete:
            answer.receive(self.socket)
        return answer.body

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Answer:
    """A body that is received into memory allocated for all of it."""

    def __init__(self, length: int, start: bytes) -> None:
        self.body = bytearray(length)
        self.body[: len(start)] = start
        self._rest = memoryview(self.body)[len(start) :]

    @property
    def complete(self) -> bool:
        """True once the whole body has arrived."""
        return not self._rest

    def receive(self, connection: socket.socket) -> None:
        """Receive the next bytes."""
        self._rest = self._rest[connection.recv_into(self._rest) :]


class Stream:
    """A body that is decoded while it arrives, so that little of it is in memory."""

    def __init__(self, connection: socket.socket, length: int, start: bytes) -> None:
        self._buffer = bytearray(start)
        self._connection = connection
        self._missing = length - len(start)

    def seek(self, key: bytes) -> None:
        """Read until the position after a key."""
        while (found := self._buffer.find(key)) < 0:
            del self._buffer[: -len(key)]
            self._receive()
        del self._buffer[: found + len(key)]

    def decode(self) -> Iterator[bytes]:
        """Yield the decoded base64 up to the next quotation mark, piece by piece as it arrives."""
        while (end := self._buffer.find(b'"')) < 0:
            whole = len(self._buffer) // 4 * 4
            yield pybase64.b64decode(self._buffer[:whole], validate=True)
            del self._buffer[:whole]
            self._receive()
        yield pybase64.b64decode(self._buffer[:end], validate=True)

    def drain(self) -> None:
        """Read the rest and discard it."""
        while self._missing:
            self._buffer.clear()
            self._receive()

    def _receive(self) -> None:
        received = self._connection.recv(READ_SIZE)
        self._missing -= len(received)
        self._buffer += received


def decode_picture(body: bytearray, key: bytes = RESULT) -> bytes:
    """Return the first picture of a body."""
    start = body.index(key) + len(key)
    return pybase64.b64decode(memoryview(body)[start : body.index(b'"', start)], validate=True)


def stream_pictures(connection: Connection) -> Iterator[bytes]:
    """Request a stream and yield each partial picture once it is complete; the last one equals the final picture."""
    connection.send_request(stream=True)
    answer = Stream(connection.socket, *connection.read_head())
    for _ in range(PARTIALS + 1):
        answer.seek(PARTIAL)
        yield b"".join(answer.decode())
    answer.drain()


def read_concurrently(connections: list[Connection]) -> list[bytes]:
    """Request one picture over each connection, and read them in one thread from whichever socket has data."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.send_request()
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        return list(_pictures_in_order_of_arrival(selector, len(connections)))


def _pictures_in_order_of_arrival(selector: selectors.BaseSelector, count: int) -> Iterator[bytes]:
    answers: dict[int, Answer] = {}
    while count:
        for key, _ in selector.select():
            answer = answers.get(key.fd)
            if answer is None:
                answers[key.fd] = answer = Answer(*key.data.read_head())
            else:
                answer.receive(key.data.socket)
            if answer.complete:
                count -= 1
                yield decode_picture(answers.pop(key.fd).body)


class Floor(Contestant):
    """The lower bound as a contestant. Its async half blocks, which is fine as nothing else runs in the event loop."""

    name = FLOOR

    @cached_property
    def connections(self) -> list[Connection]:
        """The open connections; `_open` adds more when needed."""
        return []

    def draw(self) -> bytes:
        [connection] = self._open(1)
        connection.send_request()
        return self.shelf.keep(decode_picture(connection.read_body()))

    async def adraw(self) -> bytes:
        return self.draw()

    def stream(self) -> Iterator[bytes]:
        [connection] = self._open(1)
        yield from stream_pictures(connection)

    async def astream(self) -> AsyncIterator[bytes]:
        for picture in self.stream():
            yield picture

    def draw_many(self, loop: asyncio.AbstractEventLoop, count: int) -> list[bytes]:  # noqa: ARG002 - needs no event loop
        return [self.shelf.keep(picture) for picture in read_concurrently(self._open(count))]

    async def aclose(self) -> None:
        for connection in self.connections:
            connection.close()

    def _open(self, count: int) -> list[Connection]:
        self.connections.extend(Connection(self.url) for _ in range(count - len(self.connections)))
        return self.connections[:count]
