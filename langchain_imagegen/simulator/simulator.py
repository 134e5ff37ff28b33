"""`Simulator`: the simulated service on a port. It takes scripted faults and records the requests it gets."""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from langchain_imagegen.simulator.faults import NOTHING, CannedAnswer, Fault
from langchain_imagegen.simulator.plans import Order
from langchain_imagegen.simulator.server import HOST, LoopbackServer
from langchain_imagegen.simulator.service import Answer, Call, Service


@dataclass(frozen=True)
class RecordedRequest:
    """One request as the simulator received it.

    Attributes:
        headers: Header names are in lower case.
        body: The body parsed as JSON, or `None` if it is not JSON.
        size: Length of the body in bytes.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    size: int
    query: dict[str, str]


class _Script:
    """Sits between server and service. It records each request and applies the scripted faults."""

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
            return _canned_answer(fault.instead)
        answer = self._service.answer(call, fault)
        if fault.afterwards is None:
            return answer
        b"".join(answer.body)  # a stream draws its pictures while its body is read
        return _canned_answer(fault.afterwards)

    def wait(self, seconds: float) -> None:
        self._service.wait(seconds)

    def request_id(self) -> str:
        return self._service.ids.new("req")


def _canned_answer(canned: CannedAnswer) -> Answer:
    return Answer([canned.body], canned.status, canned.content_type, dict(canned.headers))


class Simulator:
    """The offline counterpart of the service, on a loopback port. It runs inside `with`, or from `start` to `stop`.

    Args:
        port: Port to listen on. 0 picks a free one.
        latency: Seconds added to each request that makes pictures. Other requests are not delayed.
        reasoning_required: Reject an image item that comes without the reasoning item that preceded it.
        seed: The same seed gives the same ids in the same order. `None` gives different ids in each run.
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
        """The base URL for a client, including `/v1`."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request received so far, oldest first."""
        return self._script.requests

    @property
    def orders(self) -> list[Order]:
        """One order for each picture made so far, oldest first, with its prompt, options and sources."""
        self._service.storage.finish_due_responses()
        return list(self._service.studio.orders)

    @property
    def pictures(self) -> int:
        """The number of pictures made so far. The live service would have charged for each of them."""
        return len(self.orders)

    def script(self, *faults: Fault | None, method: str = "POST") -> None:
        """Apply one fault to each of the next requests with this HTTP method, in order. `None` applies no fault."""
        self._script.add(method, [fault or NOTHING for fault in faults])

    def expire(self, thing_id: str) -> None:
        """Make this one id (`ig_…`, `resp_…`, `file-…`) unknown, as if it had expired at the service."""
        self._service.storage.expire(thing_id)

    def __repr__(self) -> str:
        return f"Simulator({self.base_url!r})" if self._server else "Simulator(not running)"

    def start(self) -> Self:
        """Listen until `stop` is called. Raise `ImportError` here, not at the first picture, if Pillow is missing."""
        importlib.import_module("langchain_imagegen.simulator.drawing")
        self._stopping.clear()
        self._server = LoopbackServer((HOST, self._port), self._script)
        self._port = self._server.server_port
        self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections. Stored data is kept: `start` serves it again on the same port."""
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
