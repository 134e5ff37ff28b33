"""A server that sends one body over a real socket, in any content encoding and any framing, complete or cut short."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

from tests.loopback import split

JSON, SSE = "application/json", "text/event-stream; charset=utf-8"


def _brotli(body: bytes) -> bytes:
    import brotli

    return brotli.compress(body, quality=3)


def _zstd(body: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(body)


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    **({"br": _brotli} if find_spec("brotli") else {}),
    **({"zstd": _zstd} if find_spec("backports") and find_spec("backports.zstd") else {}),
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
}
"""Every content encoding that `httpx2` can read in this environment."""

FRAMINGS = ("length", "chunked", "odd chunks", "close")


@dataclass
class ServedBody:
    """The body that a server sends, how it sends it, and the requests it received.

    Args:
        body: The body before it is encoded.
        content_type: The media type in the header.
        encoding: One of `ENCODINGS`.
        framing: One of `FRAMINGS`.
        cut: The fraction of the encoded body after which the connection closes; `None` sends all of it.
        status: The status of each answer in turn; the last one repeats.
        pause: The fraction of the encoded body after which the server waits for the client to hang up; `None` never
            waits.
        mislabelled: Send the body without encoding it, whatever the header says.
    """

    body: bytes
    content_type: str = JSON
    encoding: str = "identity"
    framing: str = "length"
    cut: float | None = None
    status: tuple[int, ...] = (200,)
    pause: float | None = None
    mislabelled: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    base_url: str = ""

    def current_status(self) -> int:
        """Return the status that answers the latest request."""
        return self.status[min(len(self.requests), len(self.status)) - 1]

    @property
    def encoded(self) -> bytes:
        """The body as it is sent over the wire."""
        return self.body if self.mislabelled else ENCODINGS[self.encoding](self.body)


@contextmanager
def serve_body(body: bytes, content_type: str = JSON, **settings: Any) -> Iterator[ServedBody]:
    """Yield a body that a started server sends to every request, and stop the server after the block."""
    served = ServedBody(body, content_type, **settings)
    handler = type("_Handler", (_Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # some tests make the client hang up
        served.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            served.over.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served: ServedBody

    def setup(self) -> None:
        super().setup()
        self.served.open += 1

    def finish(self) -> None:
        self.served.open -= 1
        super().finish()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.served.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status = self.served.current_status()
        encoded = self.served.encoded
        self.send_response(status)
        self.send_header("content-type", self.served.content_type)
        if self.served.encoding != "identity":
            self.send_header("content-encoding", self.served.encoding)
        if status >= 400:
            self.send_header("retry-after-ms", "1")
        self._send(encoded)

    def do_GET(self) -> None:
        self.do_POST()

    def _send(self, encoded: bytes) -> None:
        chunked = "chunk" in self.served.framing
        if self.served.framing == "length":
            self.send_header("content-length", str(len(encoded)))
        elif chunked:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("connection", "close")
        self.end_headers()
        cut = len(encoded) if self.served.cut is None else int(len(encoded) * self.served.cut)
        stop = cut if self.served.pause is None else int(len(encoded) * self.served.pause)
        for piece in split(encoded[:stop], *((1, 2, 3, 700) if "odd" in self.served.framing else (50_000,))):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if self.served.pause is not None:
            self._wait_for_hang_up()
        if chunked and self.served.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if self.served.cut is not None or self.served.framing == "close":
            self.close_connection = True

    def _wait_for_hang_up(self) -> None:
        """Wait until the client hangs up or the server stops."""
        self.connection.settimeout(0.02)
        while not self.served.over.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""
