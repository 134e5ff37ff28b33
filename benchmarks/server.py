"""The service's side of the benchmarks, in a process of its own: it answers at once, or after a given latency.

A path names the size of the picture and the latency in milliseconds: `/2MB/200/v1/responses`. Who asks for a stream
gets one, and who does not bind the tool gets words. `GET /lengths` tells how long the requests since the last such
question were. With a certificate it speaks TLS. Nothing in here is measured.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmarks.bodies import SIZES, Body, plain, streamed, words

HERE = Path(__file__).parents[1]
LARGE = 100_000

_BYTES = {name.replace(" ", ""): size for name, size in SIZES.items()}
_TOOL = b'"image_generation"'
_STREAM = re.compile(rb'"stream": ?true')


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    scheme: str = "http"

    def url(self, size: str, latency: int = 0) -> str:
        """The base URL at which pictures are of this size."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{size.replace(' ', '')}/{latency}/v1"

    def lengths(self) -> list[int]:
        """Bytes of each request since this was last asked."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/lengths") as answer:
            lengths: list[int] = json.load(answer)
        return lengths


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server that is gone after the block; it speaks TLS with the certificate of a file that has its key too."""
    command = [sys.executable, "-m", "benchmarks.server", *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(int(process.stdout.readline()), "https" if certificate else "http")
        finally:
            process.kill()


class Service:
    """Answers connections, each in a thread; sending leaves the interpreter to the other threads."""

    def __init__(self, certificate: str | None = None) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls and certificate:
            self._tls.load_cert_chain(certificate)
        self._bodies: dict[tuple[str, Callable[[int], Body] | None], Body] = {}
        self._making = threading.Lock()
        self._serials = itertools.count(1)
        self._lengths: list[int] = []

    def listen(self) -> None:
        """Tell the port and answer for ever."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as requests:
            try:
                while line := requests.readline():
                    self._answer(connection, line.split()[1].decode(), _read(requests))
            except OSError:  # a client that hangs up
                return

    def _answer(self, connection: socket.socket, path: str, asked: bytes) -> None:
        if path == "/lengths":
            told, self._lengths = json.dumps(self._lengths).encode(), []
            connection.sendall(_head("application/json", len(told)) + told)
            return
        self._lengths.append(len(asked))
        _, size, latency, *_ = path.split("/")
        time.sleep(int(latency) / 1000)
        _send(connection, self._body(size, asked), next(self._serials))

    def _body(self, size: str, asked: bytes) -> Body:
        """Made when it is first wanted, which is before anything is measured."""
        make = (streamed if _STREAM.search(asked) else plain) if _TOOL in asked else None
        with self._making:
            if (size, make) not in self._bodies:
                self._bodies[size, make] = make(_BYTES[size]) if make else words()
            return self._bodies[size, make]


def _read(requests: BinaryIO) -> bytes:
    """The body of a request whose first line was read."""
    length = 0
    while (header := requests.readline()) not in (b"\r\n", b""):
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    return requests.read(length)


def _head(content_type: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n".encode()


def _send(connection: socket.socket, body: Body, serial: int) -> None:
    """Long pieces go out as they are, short ones with what follows them."""
    waiting = bytearray(_head(body.content_type, body.length))
    for piece in body.filled(serial):
        if len(piece) < LARGE:
            waiting += piece
        else:
            connection.sendall(waiting)
            connection.sendall(piece)
            waiting.clear()
    connection.sendall(waiting)


if __name__ == "__main__":
    Service(*sys.argv[1:]).listen()
