"""Measures streams of three partial pictures and a final one: the total time and the time to the first picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.contestants import ASYNC, CHAT, READ, SDK, SYNC, WIRE, Contestant
from benchmarks.lineup import installed
from benchmarks.rounds import MEMORY, Bench, Row, comparison_rows, run_rounds

ROUNDS = {"64 KB": 31, "2 MB": 15, "12 MB": 4}
WITHOUT_PARTIALS = (CHAT, WIRE)


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the times for each size, sync and async."""
    for size in bench.sizes():
        for half in (SYNC, ASYNC):
            yield from _rows(bench, size, half)


def _rows(bench: Bench, size: str, half: str) -> Iterator[Row]:
    kinds = [kind for kind in installed() if half in kind.streams and kind.name != READ]
    firsts: dict[str, list[float]] = {kind.name: [] for kind in kinds if kind.name not in WITHOUT_PARTIALS}
    rounds = bench.rounds(ROUNDS[size])
    with bench.shelf(MEMORY) as shelf, bench.open_contestants(kinds, bench.server.url(size), shelf) as contestants:
        works = {
            name: _stream_timer(bench, contestant, half, firsts.get(name, []))
            for name, contestant in contestants.items()
        }
        times = run_rounds(works, rounds, shelf.clear)
    facts = {"unit": "ms", "size": size, "half": half}
    yield from comparison_rows(times, SDK, measure="stream", **facts)
    counted = {name: values[-rounds:] for name, values in firsts.items()}
    yield from comparison_rows(counted, SDK, measure="first partial", **facts)


def _stream_timer(bench: Bench, contestant: Contestant, half: str, firsts: list[float]) -> Callable[[], float]:
    """Return a function that reads a stream and returns the milliseconds until its end.

    It appends the milliseconds until the first picture to `firsts`.
    """

    def run() -> float:
        began = time.perf_counter()
        first = None
        for _ in contestant.stream():
            first = first or time.perf_counter()
        return record(began, first)

    async def arun() -> float:
        began = time.perf_counter()
        first = None
        async for _ in contestant.astream():
            first = first or time.perf_counter()
        return record(began, first)

    def record(began: float, first: float | None) -> float:
        assert first, f"{contestant.name} gave no picture"
        firsts.append((first - began) * 1000)
        return (time.perf_counter() - began) * 1000

    return run if half == SYNC else lambda: bench.loop.run_until_complete(arun())
