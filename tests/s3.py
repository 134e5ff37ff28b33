"""An S3 server on loopback, and the requests that it gets."""

from __future__ import annotations

import logging
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

KEY, SECRET = "an-access-key", "a-very-secret-key"


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
