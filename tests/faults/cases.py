"""The faults of the matrix: what the service, the network or the disk does to the first attempt at a picture."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from langchain_imagegen.simulator import (
    Fault,
    answer,
    corrupt_base64,
    cut_body,
    delay,
    flat_error_event,
    gzipped,
    html_page,
    http_error,
    not_an_image,
    rate_limited,
    refuse_connection,
    server_error,
    small_chunks,
    wrong_length,
)
from tests.broken_folders import full_disk, replaced_by_a_file, unnameable

NOBODY = 65534
GATEWAYS = (500, 502, 503, 504, 524)
CUTS = (1, 30, 100, 300, 1_000, 1_500, 4_000, 20_000)
EVENTS = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.image_generation_call.in_progress",
    "response.image_generation_call.generating",
    "response.image_generation_call.partial_image",
    "response.image_generation_call.completed",
    "response.output_item.done",
)


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        faults: What the simulator does to the first requests, in order.
        settings: Settings of the generator and of the chat model.
        broken: Breaks the folder of the store while the picture is drawn.
        unreachable: The first attempt goes to a port on which nobody listens.
        of_streams: It is about events, so only the ways that stream can meet it.
        expired: The attempt edits a picture of which the service has lost this id: `"call_id"` or `"response_id"`.
    """

    faults: tuple[Fault, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    broken: Callable[[Path], AbstractContextManager[None]] = nullcontext
    unreachable: bool = False
    of_streams: bool = False
    expired: Literal["call_id", "response_id"] | None = None


def _cut_after(kind: str) -> Fault:
    """End the stream properly behind the first event of a kind."""

    def cut(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kinds = [event.get("type") for event in events]
        return events[: kinds.index(kind) + 1] if kind in kinds else events

    return Fault(f"cut after {kind}", sent=cut)


@contextmanager
def _deleted_meanwhile(folder: Path) -> Iterator[None]:
    """Delete the folder while the body of the answer is awaited."""
    timer = threading.Timer(0.1, shutil.rmtree, (folder,), {"ignore_errors": True})
    timer.start()
    yield
    timer.join()


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Nobody may write below the folder; root becomes nobody for the time."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for each in folders:
            each.chmod(0o755)


_STALL = {"timeout": 0.4}
_LIMIT = partial(flat_error_event, "rate_limit_exceeded")

CASES: dict[str, Case] = {
    "none": Case(),
    "connection refused": Case(unreachable=True, settings={"max_retries": 0}),
    "reset before headers": Case((refuse_connection(),)),
    "cut after headers": Case((cut_body(0),)),
    **{f"cut at byte {n:,}": Case((cut_body(n),)) for n in CUTS},
    **{f"cut at {percent} %": Case((cut_body(fraction=percent / 100),)) for percent in (50, 90, 99)},
    **{
        f"stream ends after {kind.removeprefix('response.')}": Case((_cut_after(kind),), of_streams=True)
        for kind in EVENTS
    },
    "stall before headers": Case((delay(2.0),), _STALL),
    "stall in the body": Case((delay(2.0, at="body"),), _STALL),
    "429, short delay": Case((rate_limited(0.02),)),
    "429, no delay": Case((rate_limited(),)),
    "429, negative delay": Case((http_error(429, headers={"retry-after": "-1"}),)),
    "429, an hour": Case((rate_limited(3600),)),
    **{
        f"gateway's {status} after the drawing": Case((html_page(status, drawn=True),))
        for status in (500, 502, 503, 504)
    },
    "gateway's 524 after the drawing": Case((html_page(524, drawn=True),)),
    "rate limit within the stream": Case((_LIMIT("Rate limit reached. Please try again in 20ms."),)),
    "500": Case((server_error(500),)),
    "503": Case((server_error(503),)),
    "HTML with status 200": Case((html_page(200, drawn=True),)),
    "204 without a body": Case((answer("", 204),)),
    "corrupt base64": Case((corrupt_base64(),)),
    "no image in the base64": Case((not_an_image(),)),
    "gzip": Case((gzipped(),)),
    "one-byte chunks": Case((small_chunks(1, first=8_000),)),
    "content-length too long": Case((wrong_length(1_000),)),
    "content-length too short": Case((wrong_length(-1_000),)),
    "edit by an expired call id": Case(expired="call_id"),
    "edit by an expired response id": Case(settings={"reference": "response_id"}, expired="response_id"),
    "disk full": Case(broken=full_disk),
    "read-only store": Case(broken=_read_only),
    "store is a file": Case(broken=replaced_by_a_file),
    "no picture gets its name": Case(broken=unnameable),
    "store deleted meanwhile": Case((delay(0.3, at="body"),), broken=_deleted_meanwhile),
}
