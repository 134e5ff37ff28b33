"""The benchmarks' server, which runs in a separate process and answers immediately or after a given latency.

A path names the size of the picture and the latency in milliseconds: `/2MB/200/v1/responses`. A request for a stream
gets a stream, and a request without the tool gets text. `GET /request-sizes` returns the sizes of all requests since
the last such call. With a certificate, the server uses TLS. None of its work is measured.
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

from benchmarks.bodies import SIZES, Body, json_body, stream_body, text_body

ROOT = Path(__file__).parents[1]
LARGE = 100_000  # bytes from which a piece is sent on its own

_BYTES = {name.replace(" ", ""): size for name, size in SIZES.items()}
_TOOL = b'"image_generation"'
_STREAM = re.compile(rb'"stream": ?true')


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    scheme: str = "http"

    def url(self, size: str, latency: int = 0) -> str:
        """Return the base URL for pictures of this size, and answers after `latency` milliseconds."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{size.replace(' ', '')}/{latency}/v1"

    def request_sizes(self) -> list[int]:
        """Return the body size in bytes of each request since the last call of this method."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/request-sizes") as answer:
            sizes: list[int] = json.load(answer)
        return sizes


@contextmanager
def start_server(certificate: Path | None = None) -> Iterator[Server]:
    """Yield a running server and stop it after the block.

    Args:
        certificate: A file with a certificate and its key, to use TLS.
    """
    command = [sys.executable, "-m", "benchmarks.server", *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(int(process.stdout.readline()), "https" if certificate else "http")
        finally:
            process.kill()


class Service:
    """Answers each connection in a thread; sending releases the interpreter lock."""

    def __init__(self, certificate: str | None = None) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls and certificate:
            self._tls.load_cert_chain(certificate)
        self._bodies: dict[tuple[str, Callable[[int], Body] | None], Body] = {}
        self._making = threading.Lock()
        self._serials = itertools.count(1)
        self._request_sizes: list[int] = []

    def listen(self) -> None:
        """Print the port and answer connections forever."""
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
                    self._answer(connection, line.split()[1].decode(), _read_body(requests))
            except OSError:  # the client hung up
                return

    def _answer(self, connection: socket.socket, path: str, request: bytes) -> None:
        if path == "/request-sizes":
            sizes, self._request_sizes = json.dumps(self._request_sizes).encode(), []
            connection.sendall(_head("application/json", len(sizes)) + sizes)
            return
        self._request_sizes.append(len(request))
        _, size, latency, *_ = path.split("/")
        time.sleep(int(latency) / 1000)
        _send(connection, self._body(size, request), next(self._serials))

    def _body(self, size: str, request: bytes) -> Body:
        """Return the body for a request, made on first use, which is before anything is measured."""
        make = (stream_body if _STREAM.search(request) else json_body) if _TOOL in request else None
        with self._making:
            if (size, make) not in self._bodies:
                self._bodies[size, make] = make(_BYTES[size]) if make else text_body()
            return self._bodies[size, make]


def _read_body(requests: BinaryIO) -> bytes:
    """Return the body of a request whose first line was read before."""
    length = 0
    while (header := requests.readline()) not in (b"\r\n", b""):
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    return requests.read(length)


def _head(content_type: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n".encode()


def _send(connection: socket.socket, body: Body, serial: int) -> None:
    """Send a body; long pieces are sent without a copy, and short ones are joined."""
    buffer = bytearray(_head(body.content_type, body.length))
    for piece in body.pieces(serial):
        if len(piece) < LARGE:
            buffer += piece
        else:
            connection.sendall(buffer)
            connection.sendall(piece)
            buffer.clear()
    connection.sendall(buffer)


if __name__ == "__main__":
    Service(*sys.argv[1:]).listen()
