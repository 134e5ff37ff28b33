"""One cell of the matrix: a fault met on one way to a picture, and what became of the money and the picture."""

from __future__ import annotations

import gc
import hashlib
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageResult, ImageStore
from langchain_imagegen.drawing.calls import THREAD
from langchain_imagegen.errors import ImageGenerationError
from langchain_imagegen.simulator import Simulator
from tests.faults.cases import CASES, Case
from tests.faults.ways import STREAMS, WAYS, ToolError, Way

NOWHERE = "http://127.0.0.1:9/v1"
_RESPONSE = re.compile(r"resp_\w+")


PLACES = [(fault, way) for fault, case in CASES.items() for way in WAYS if way in STREAMS or not case.of_streams]
"""The cells of the matrix: a fault, and a way that can meet it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        bought: Pictures that the simulator made for it.
        delivered: Pictures that the caller can read.
        error: What the caller was told, if anything.
        found: Pictures that the caller can still get by what the error says.
        leftovers: Files that are no whole picture.
        sockets, threads: How many more there are afterwards.
        repeated: Whether a second attempt gave the picture.
    """

    bought: int
    delivered: int
    error: Exception | None
    found: int
    leftovers: list[str]
    sockets: int
    threads: int
    repeated: bool

    def __str__(self) -> str:
        """Return the cell as the table shows it: bought, delivered, and what the caller was told."""
        told = "" if self.error is None else f" {type(self.error).__name__}"
        found = " +1 later" if self.found else ""
        return f"{self.bought}/{self.delivered}{told}{found}"


def run_cell(case: Case, way: Way, folder: Path) -> Outcome:
    """Return what becomes of a picture that meets a fault on a way."""
    folder.mkdir(parents=True)
    store = ImageStore(folder)
    store.check_writable()
    with Simulator() as simulator:
        sources = _expired_source(case.expired, simulator, store) if case.expired else ()
        made = simulator.pictures
        sockets = _open_sockets()
        simulator.script(*case.faults)
        delivered, error = 0, None
        with case.broken(folder):
            try:
                images = way(NOWHERE if case.unreachable else simulator.base_url, store, case.settings, sources)
                delivered = sum(map(_is_whole, images))
            except Exception as raised:  # noqa: BLE001 - the test judges it
                error = raised
        bought, found = simulator.pictures - made, 0
        if error is not None:
            found = sum(map(_is_whole, _found_later(error, simulator, store)))
        return Outcome(
            bought=bought,
            delivered=delivered,
            error=error,
            found=found,
            leftovers=_leftovers(folder),
            sockets=_settled(sockets),
            threads=_threads_left(),
            repeated=_succeeds(way, simulator, store),
        )


def _expired_source(
    rung: Literal["call_id", "response_id"], simulator: Simulator, store: ImageStore
) -> Sequence[GeneratedImage]:
    """Return a picture that the service has drawn, and one of whose ids it no longer knows."""
    draw = ImageGenerator(base_url=simulator.base_url, api_key="simulated", image_store=store, timeout=20.0)
    try:
        source = draw.invoke("Draw an owl").image
    finally:
        draw.close()
    simulator.expire(source.id if rung == "call_id" else str(source.response_id))
    return [source]


def _found_later(error: Exception, simulator: Simulator, store: ImageStore) -> list[GeneratedImage]:
    """Return the pictures that an error leads to: with its result, or by the response id that it names."""
    result = getattr(error, "result", None)
    if isinstance(result, ImageResult):
        return list(result.images)
    named = _RESPONSE.search(str(error))
    id = getattr(error, "response_id", None) or (named and named[0])
    draw = ImageGenerator(base_url=simulator.base_url, api_key="simulated", image_store=store, timeout=5.0)
    try:
        return list(draw.resume(id).images) if id else []
    except ImageGenerationError:
        return []
    finally:
        draw.close()


def _succeeds(way: Way, simulator: Simulator, store: ImageStore) -> bool:
    with suppress(ToolError, ImageGenerationError):
        return all(map(_is_whole, way(simulator.base_url, store, {})))
    return False


def _is_whole(image: GeneratedImage) -> bool:
    data = image.read()
    return hashlib.sha256(data).hexdigest() == image.sha256 and len(data) == image.size_bytes


def _leftovers(folder: Path) -> list[str]:
    """Return the files that are neither a whole picture under its digest nor empty."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return [path.name for path in files if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem]


def _open_sockets() -> int:
    gc.collect()
    return sum(map(_is_socket, Path("/proc/self/fd").iterdir()))


def _is_socket(handle: Path) -> bool:
    try:
        return handle.readlink().name.startswith("socket:")
    except OSError:  # the handle of the listing itself
        return False


def _threads_left() -> int:
    """Return how many threads of calls are left, once they have had time to end."""
    end = time.monotonic() + 20
    while (left := sum(thread.name == THREAD for thread in threading.enumerate())) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _settled(before: int) -> int:
    """Return how many more sockets are open than before, once both ends have had time to close."""
    end = time.monotonic() + 20
    while (more := _open_sockets() - before) > 0 and time.monotonic() < end:
        time.sleep(0.02)
    return max(more, 0)
