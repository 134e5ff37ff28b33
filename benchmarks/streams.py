"""Three partial pictures and the final one: the time of the whole stream, and until the first partial picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.contestants import ASYNC, CHAT, READ, SDK, SYNC, WIRE, Contestant
from benchmarks.lineup import present
from benchmarks.rounds import MEMORY, Bench, Row, compared, interleaved

ROUNDS = {"64 KB": 31, "2 MB": 15, "12 MB": 4}
WITHOUT_PARTIALS = (CHAT, WIRE)


def measure(bench: Bench) -> Iterator[Row]:
    """Each size, in both halves."""
    for size in bench.sizes():
        for half in (SYNC, ASYNC):
            yield from _measured(bench, size, half)


def _measured(bench: Bench, size: str, half: str) -> Iterator[Row]:
    kinds = [kind for kind in present() if half in kind.streams and kind.name != READ]
    firsts: dict[str, list[float]] = {kind.name: [] for kind in kinds if kind.name not in WITHOUT_PARTIALS}
    rounds = bench.rounds(ROUNDS[size])
    with bench.shelf(MEMORY) as shelf, bench.opened(kinds, bench.server.url(size), shelf) as contestants:
        works = {
            name: _watched(bench, contestant, half, firsts.get(name, [])) for name, contestant in contestants.items()
        }
        found = interleaved(works, rounds, shelf.clear)
    facts = {"unit": "ms", "size": size, "half": half}
    yield from compared(found, SDK, measure="stream", **facts)
    counted = {name: values[-rounds:] for name, values in firsts.items()}
    yield from compared(counted, SDK, measure="first partial", **facts)


def _watched(bench: Bench, contestant: Contestant, half: str, firsts: list[float]) -> Callable[[], float]:
    """A stream read to its end; when its first picture came goes into `firsts`."""

    def run() -> float:
        began = time.perf_counter()
        first = None
        for _ in contestant.stream():
            first = first or time.perf_counter()
        return told(began, first)

    async def arun() -> float:
        began = time.perf_counter()
        first = None
        async for _ in contestant.astream():
            first = first or time.perf_counter()
        return told(began, first)

    def told(began: float, first: float | None) -> float:
        assert first, f"{contestant.name} gave no picture"
        firsts.append((first - began) * 1000)
        return (time.perf_counter() - began) * 1000

    return run if half == SYNC else lambda: bench.loop.run_until_complete(arun())
