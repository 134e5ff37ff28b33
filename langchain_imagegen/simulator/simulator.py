"""`Simulator`: the service on a port, with a script of faults and a record of what arrived."""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from langchain_imagegen.simulator.faults import NOTHING, Canned, Fault
from langchain_imagegen.simulator.plans import Order
from langchain_imagegen.simulator.server import HOST, LoopbackServer
from langchain_imagegen.simulator.service import Answer, Call, Service


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it arrived: `body` is its JSON or `None`, `size` the length of the body in bytes."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    size: int
    query: dict[str, str]


class _Script:
    """Stands between server and service: notes each request, and lets the scripted faults happen."""

    def __init__(self, service: Service) -> None:
        self.requests: list[RecordedRequest] = []
        self._service = service
        self._faults: dict[str, deque[Fault]] = {}

    def add(self, method: str, faults: Iterable[Fault]) -> None:
        self._faults.setdefault(method, deque()).extend(faults)

    def receive(self, call: Call) -> Fault:
        self.requests.append(
            RecordedRequest(call.method, call.path, dict(call.headers), call.json, len(call.body), dict(call.query))
        )
        try:
            return self._faults[call.method].popleft()
        except (KeyError, IndexError):
            return NOTHING

    def answer(self, call: Call, fault: Fault) -> Answer:
        if fault.instead:
            return _canned(fault.instead)
        answer = self._service.answer(call, fault)
        if fault.afterwards is None:
            return answer
        b"".join(answer.body)  # a stream draws while it is read
        return _canned(fault.afterwards)

    def wait(self, seconds: float) -> None:
        self._service.wait(seconds)

    def request_id(self) -> str:
        return self._service.ids.new("req")


def _canned(canned: Canned) -> Answer:
    return Answer([canned.body], canned.status, canned.content_type, dict(canned.headers))


class Simulator:
    """The offline counterpart of the service, on a loopback port.

    Args:
        port: 0 takes a free one.
        latency: Seconds spent before a picture.
        reasoning_required: Refuse an earlier picture that is sent without the reasoning item that led to it.
        seed: The same seed gives the same ids in the same order; `None` gives new ones each time.
    """

    def __init__(
        self, *, port: int = 0, latency: float = 0.0, reasoning_required: bool = False, seed: int | None = 0
    ) -> None:
        self._stopping = threading.Event()
        self._service = Service(
            latency=latency, reasoning_required=reasoning_required, seed=seed, stopping=self._stopping
        )
        self._script = _Script(self._service)
        self._port = port
        self._server: LoopbackServer | None = None

    @property
    def base_url(self) -> str:
        """Where a client has to point, with the version in it."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request that arrived, in order."""
        return self._script.requests

    @property
    def orders(self) -> list[Order]:
        """Every picture made, in order, with its prompt, options and sources."""
        self._service.storage.settle()
        return list(self._service.studio.orders)

    @property
    def pictures(self) -> int:
        """How many pictures were made, which is how many would have been paid for."""
        return len(self.orders)

    def script(self, *faults: Fault | None, method: str = "POST") -> None:
        """Let the next requests of this method take these faults, one each, in order; `None` is none."""
        self._script.add(method, [fault or NOTHING for fault in faults])

    def expire(self, thing_id: str) -> None:
        """Let exactly this id (`ig_…`, `resp_…`, `file-…`) stop resolving, as after 30 days."""
        self._service.storage.expire(thing_id)

    def start(self) -> Self:
        """Listen, until `stop`. Without Pillow it fails here, not at the first picture."""
        importlib.import_module("langchain_imagegen.simulator.drawing")
        self._stopping.clear()
        self._server = LoopbackServer((HOST, self._port), self._script)
        self._port = self._server.server_port
        self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; what was stored stays for another `start` on the same port."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
