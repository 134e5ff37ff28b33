"""Many pictures at once from a service that takes its time: the wall time next to the raw socket's, and the memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bodies import SIZES, Picture
from benchmarks.contestants import AIOHTTP, CHAT, FLOOR, OURS, SDK, UNREAD, WIRE
from benchmarks.lineup import present
from benchmarks.memory import peak
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row, compared, interleaved, timed

LATENCY = 200
ROUNDS = {("64 KB", MEMORY): 7, ("2 MB", MEMORY): 5, ("2 MB", FOLDER): 5}
WHO = (UNREAD, SDK, CHAT, OURS, WIRE, AIOHTTP)


def measure(bench: Bench) -> Iterator[Row]:
    """Wall time of small and of middling pictures, memory of the latter on their way into files."""
    for (size, where), rounds in ROUNDS.items():
        yield from _timed(bench, size, where, bench.rounds(rounds))
    yield from _traced(bench, "2 MB")


def _timed(bench: Bench, size: str, where: str, rounds: int) -> Iterator[Row]:
    kinds = present(FLOOR, *WHO)
    url = bench.server.url(size, LATENCY)
    with bench.shelf(where) as shelf, bench.opened(kinds, url, shelf) as contestants:
        works = {
            name: timed(partial(contestant.crowd, bench.loop, bench.crowd)) for name, contestant in contestants.items()
        }
        found = interleaved(works, rounds, shelf.clear, warm=True)
    yield from compared(found, FLOOR, measure="crowd", unit="ms", size=size, where=where, half="async")


def _traced(bench: Bench, size: str) -> Iterator[Row]:
    total = bench.crowd * Picture(SIZES[size]).exact
    url = bench.server.url(size, LATENCY)
    with bench.shelf(FOLDER) as shelf, bench.opened(present(*WHO), url, shelf) as contestants:
        for name, contestant in contestants.items():
            top = peak(partial(contestant.crowd, bench.loop, bench.crowd), shelf.clear)
            yield Row(
                measure="crowd memory",
                contestant=name,
                value=top / total,
                unit="x",
                size=size,
                where=FOLDER,
                half="async",
            )
