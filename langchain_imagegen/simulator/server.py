"""HTTP/1.1 on a loopback port: reads requests and writes answers in chunks. It knows nothing about images."""

from __future__ import annotations

import contextlib
import gzip
import math
import socket
import socketserver
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from langchain_imagegen.simulator.faults import Delivery, Fault
from langchain_imagegen.simulator.service import Answer, Call

HOST = "127.0.0.1"
NO_CONTENT = 204


class Application(Protocol):
    """What the server needs from the application behind it."""

    def receive(self, call: Call) -> Fault:
        """Record a request and return the fault to apply to it."""
        ...

    def answer(self, call: Call, fault: Fault) -> Answer:
        """Return the answer to a request."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait this many seconds, or until the server stops."""
        ...

    def request_id(self) -> str:
        """Return a new value for the `x-request-id` header."""
        ...


class LoopbackServer(ThreadingHTTPServer):
    """A threading HTTP server that keeps track of its threads and sockets, so that none outlives `stop`."""

    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.application = application
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, _Handler)
        self._loop = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def server_bind(self) -> None:
        """Bind the socket but skip the host name lookup of the base class, which can take seconds offline."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def start(self) -> None:
        """Accept connections in a background thread."""
        self._loop.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a new thread and remember that thread until it ends."""
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        self._connections[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._connections.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnected. Report any other error as the base class does."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop accepting, close every open connection, and wait up to 5 seconds for each thread to end."""
        self.shutdown()
        self._loop.join()
        self.server_close()
        for thread, connection in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, asks the application for the answer, and writes it in chunks."""

    protocol_version = "HTTP/1.1"
    server_version = "Simulator"
    sys_version = ""
    disable_nagle_algorithm = True
    server: LoopbackServer

    def do_GET(self) -> None:
        """Handle a GET."""
        self._handle()

    def do_POST(self) -> None:
        """Handle a POST."""
        self._handle()

    def do_DELETE(self) -> None:
        """Handle a DELETE."""
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log. Standard error belongs to the program that started the simulator."""

    def _handle(self) -> None:
        call = self._read_call()
        fault = self.server.application.receive(call)
        if fault.delivery.refuse:
            self.close_connection = True
            return
        self._write_answer(self.server.application.answer(call, fault), fault)

    def _read_call(self) -> Call:
        url = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(urllib.parse.parse_qsl(url.query))
        return Call(self.command, url.path, query, headers, self._read_body(headers))

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _write_answer(self, answer: Answer, fault: Fault) -> None:
        """Write the answer. With a delivery fault, build the full body first, because unsent pictures are drawn too."""
        delivery, wait = fault.delivery, self.server.application.wait
        body = answer.body if delivery == Delivery() else [_encode(b"".join(answer.body), delivery)]
        if delivery.before_headers:
            wait(delivery.before_headers)
        self.send_response(answer.status)
        self._write_headers(answer, _framing(answer, body, delivery))
        self.end_headers()
        if delivery.before_body:
            wait(delivery.before_body)
        if answer.status != NO_CONTENT:
            self._write_body(body, delivery)

    def _write_body(self, body: Iterable[bytes], delivery: Delivery) -> None:
        if delivery.declare is not None:
            self.wfile.write(b"".join(body))
            self.close_connection = True
        elif delivery.cut is not None:
            self._write_chunks([piece[: delivery.cut(len(piece))] for piece in body])
            self.close_connection = True
        else:
            self._write_chunks(_split(body, delivery.chunk, delivery.chunked) if delivery.chunk else body)
            self.wfile.write(b"0\r\n\r\n")

    def _write_headers(self, answer: Answer, framing: dict[str, str]) -> None:
        self.send_header("content-type", answer.content_type)
        self.send_header("x-request-id", self.server.application.request_id())
        self.send_header("openai-version", "2020-10-01")
        self.send_header("openai-processing-ms", "1")
        for name, value in {**framing, **answer.headers}.items():
            self.send_header(name, value)

    def _write_chunks(self, pieces: Iterable[bytes]) -> None:
        for piece in filter(None, pieces):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))


def _framing(answer: Answer, body: Iterable[bytes], delivery: Delivery) -> dict[str, str]:
    """Return the headers that say how the body is encoded and where it ends."""
    if answer.status == NO_CONTENT:
        return {}
    encoding = {"content-encoding": "gzip"} if delivery.compress else {}
    if delivery.declare is not None:
        return {**encoding, "content-length": str(delivery.declare(sum(map(len, body))))}
    return {**encoding, "transfer-encoding": "chunked"}


def _encode(body: bytes, delivery: Delivery) -> bytes:
    return gzip.compress(body, mtime=0) if delivery.compress else body


def _split(body: Iterable[bytes], size: int, chunked: int | None) -> Iterator[bytes]:
    """Yield the first bytes of a body in small chunks, and the rest as it comes."""
    left = math.inf if chunked is None else chunked
    for piece in body:
        split = int(min(left, len(piece)))
        for start in range(0, split, size):
            yield piece[start : min(start + size, split)]
        yield piece[split:]
        left -= split
