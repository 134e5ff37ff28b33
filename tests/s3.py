"""An S3 server on loopback, and the requests that it gets."""

from __future__ import annotations

import logging
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

KEY, SECRET = "an-access-key", "a-very-secret-key"


class _Conflicting(BaseHTTPRequestHandler):
    """Answers each write with the next of the server's S3 errors, and then with success."""

    protocol_version = "HTTP/1.1"  # clients wait for its `100 Continue`
    server: Any

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, code = self.server.answers.pop(0) if self.server.answers else (200, "")
        body = f"<Error><Code>{code}</Code><Condition>If-None-Match</Condition></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@contextmanager
def conflicting(*answers: tuple[int, str]) -> Iterator[dict[str, Any]]:
    """Start a server that answers writes with S3 errors, each a status and a code; gives the storage options for it."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Conflicting) as server:
        server.answers = list(answers)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        endpoint = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
        yield {"key": KEY, "secret": SECRET, "client_kwargs": endpoint, "skip_instance_cache": True}
        server.shutdown()
        thread.join()


@contextmanager
def serving() -> Iterator[dict[str, Any]]:
    """Start a server that has a bucket `pictures`; gives the storage options for it."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(f"{endpoint}/pictures", method="PUT")).close()
    yield {
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"},
    }
    server.stop()


class Requests(logging.Handler):
    """The requests that servers on loopback get while it is used in a `with` statement, such as `PUT /pictures/…`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._log = logging.getLogger("werkzeug")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep method and path of a line of the server's log."""
        self.lines += re.findall(r"([A-Z]+ /\S*) HTTP/", record.getMessage())

    def to(self, folder: str) -> list[str]:
        """Return the methods of the requests for keys of one folder, in order."""
        return [line.partition(" ")[0] for line in self.lines if f"/{folder}/" in line]

    def __enter__(self) -> Self:
        self._before = self._log.level, self._log.propagate
        self._log.setLevel(logging.INFO)
        self._log.propagate = False
        self._log.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._log.removeHandler(self)
        self._log.setLevel(self._before[0])
        self._log.propagate = self._before[1]
