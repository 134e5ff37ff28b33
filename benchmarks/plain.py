"""One picture a call: the time of a whole call, next to the SDK's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.contestants import AIOHTTP, ASYNC, READ, SDK, SYNC, UNREAD, Contestant
from benchmarks.lineup import present
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row, compared, interleaved, timed

ROUNDS = {"64 KB": 41, "2 MB": 31, "12 MB": 13}


def measure(bench: Bench) -> Iterator[Row]:
    """Each size, into memory and into a folder, in both halves."""
    for size in bench.sizes():
        for where in (MEMORY, FOLDER):
            yield from _measured(bench, size, where)


def _measured(bench: Bench, size: str, where: str) -> Iterator[Row]:
    for half in (SYNC, ASYNC):
        found = called(bench, _kinds(where, half), size, where, half)
        yield from compared(found, SDK, measure="plain", unit="ms", size=size, where=where, half=half)


def called(
    bench: Bench, kinds: Sequence[type[Contestant]], size: str, where: str, half: str
) -> Mapping[str, Sequence[float]]:
    """The milliseconds of a call, of each of these in each round."""
    with bench.shelf(where) as shelf, bench.opened(kinds, bench.server.url(size), shelf) as contestants:
        works = {name: timed(work) for name, work in _works(bench, contestants, half).items()}
        return interleaved(works, bench.rounds(ROUNDS[size]), shelf.clear)


def _kinds(where: str, half: str) -> list[type[Contestant]]:
    if where != MEMORY:
        return [kind for kind in present() if kind.name != READ]
    return [*present(), *present(UNREAD, *([AIOHTTP] if half == ASYNC else []))]


def _works(bench: Bench, contestants: Mapping[str, Contestant], half: str) -> dict[str, Callable[[], Any]]:
    def awaited(contestant: Contestant) -> Any:
        return bench.loop.run_until_complete(contestant.adraw())

    if half == SYNC:
        return {name: contestant.draw for name, contestant in contestants.items()}
    return {name: partial(awaited, contestant) for name, contestant in contestants.items()}
