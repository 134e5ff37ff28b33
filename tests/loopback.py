"""A server on a loopback port that sends one fixed answer, for faults that the simulator does not have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON, SSE = "application/json", "text/event-stream; charset=utf-8"


class AnswerServer(ThreadingHTTPServer):
    """Send the same answer to every request; `posts` counts the requests.

    Args:
        pieces: The chunks of the body; a number pauses for that many seconds.
        content_type: The media type in the header.
        whole: True ends the body properly, False closes the connection without its last chunk.
    """

    daemon_threads = True

    def __init__(self, pieces: Sequence[bytes | float], content_type: str, *, whole: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pieces, self.content_type, self.whole = pieces, content_type, whole
        self.posts = 0
        self.over = threading.Event()

    @property
    def base_url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: AnswerServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.posts += 1
        self.send_response(200)
        self.send_header("content-type", self.server.content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in self.server.pieces:
            if isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self.server.over.wait(piece)
        if self.server.whole:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@contextmanager
def serving(pieces: Sequence[bytes | float], content_type: str, *, whole: bool = True) -> Iterator[AnswerServer]:
    """Yield a started server, and stop it after the block."""
    with AnswerServer(pieces, content_type, whole=whole) as server:
        server.handle_error = lambda *_: None  # some tests make the client hang up
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def split(body: bytes, *sizes: int) -> list[bytes]:
    """Return a body in chunks of these sizes, repeated in order."""
    pieces, at, turn = [], 0, 0
    while at < len(body):
        pieces.append(body[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(pieces[-1]), turn + 1
    return pieces
