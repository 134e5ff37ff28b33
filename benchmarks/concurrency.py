"""Measures many concurrent calls to a service with latency: wall time compared with a raw socket, and peak memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bodies import SIZES, Picture
from benchmarks.contestants import AIOHTTP, CHAT, FLOOR, OURS, SDK, UNREAD, WIRE
from benchmarks.lineup import installed
from benchmarks.memory import peak_bytes
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row, comparison_rows, run_rounds, timer

LATENCY = 200  # milliseconds
ROUNDS = {("64 KB", MEMORY): 7, ("2 MB", MEMORY): 5, ("2 MB", FOLDER): 5}
CONTESTANTS = (UNREAD, SDK, CHAT, OURS, WIRE, AIOHTTP)


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the wall time for 64 KB and 2 MB pictures, and the peak memory of writing 2 MB pictures into files."""
    for (size, where), rounds in ROUNDS.items():
        yield from _time_rows(bench, size, where, bench.rounds(rounds))
    yield from _memory_rows(bench, "2 MB")


def _time_rows(bench: Bench, size: str, where: str, rounds: int) -> Iterator[Row]:
    kinds = installed(FLOOR, *CONTESTANTS)
    url = bench.server.url(size, LATENCY)
    with bench.shelf(where) as shelf, bench.open_contestants(kinds, url, shelf) as contestants:
        works = {
            name: timer(partial(contestant.draw_many, bench.loop, bench.concurrency))
            for name, contestant in contestants.items()
        }
        times = run_rounds(works, rounds, shelf.clear, warm=True)
    yield from comparison_rows(times, FLOOR, measure="crowd", unit="ms", size=size, where=where, half="async")


def _memory_rows(bench: Bench, size: str) -> Iterator[Row]:
    total = bench.concurrency * Picture(SIZES[size]).byte_count
    url = bench.server.url(size, LATENCY)
    with bench.shelf(FOLDER) as shelf, bench.open_contestants(installed(*CONTESTANTS), url, shelf) as contestants:
        for name, contestant in contestants.items():
            peak = peak_bytes(partial(contestant.draw_many, bench.loop, bench.concurrency), shelf.clear)
            yield Row(
                measure="crowd memory",
                contestant=name,
                value=peak / total,
                unit="x",
                size=size,
                where=FOLDER,
                half="async",
            )
