"""Measures the time of one call, compared with the SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.contestants import AIOHTTP, ASYNC, READ, SDK, SYNC, UNREAD, Contestant
from benchmarks.lineup import installed
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row, comparison_rows, run_rounds, timer

ROUNDS = {"64 KB": 41, "2 MB": 31, "12 MB": 13}


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the times for each size, into memory and into a folder, sync and async."""
    for size in bench.sizes():
        for where in (MEMORY, FOLDER):
            yield from _rows(bench, size, where)


def _rows(bench: Bench, size: str, where: str) -> Iterator[Row]:
    for half in (SYNC, ASYNC):
        times = call_times(bench, _contestants(where, half), size, where, half)
        yield from comparison_rows(times, SDK, measure="plain", unit="ms", size=size, where=where, half=half)


def call_times(
    bench: Bench, kinds: Sequence[type[Contestant]], size: str, where: str, half: str
) -> Mapping[str, Sequence[float]]:
    """Return the milliseconds of a call by contestant, one figure per round."""
    with bench.shelf(where) as shelf, bench.open_contestants(kinds, bench.server.url(size), shelf) as contestants:
        calls = {name: timer(work) for name, work in _calls(bench, contestants, half).items()}
        return run_rounds(calls, bench.rounds(ROUNDS[size]), shelf.clear)


def _contestants(where: str, half: str) -> list[type[Contestant]]:
    if where != MEMORY:
        return [kind for kind in installed() if kind.name != READ]
    return [*installed(), *installed(UNREAD, *([AIOHTTP] if half == ASYNC else []))]


def _calls(bench: Bench, contestants: Mapping[str, Contestant], half: str) -> dict[str, Callable[[], Any]]:
    def draw_async(contestant: Contestant) -> Any:
        return bench.loop.run_until_complete(contestant.adraw())

    if half == SYNC:
        return {name: contestant.draw for name, contestant in contestants.items()}
    return {name: partial(draw_async, contestant) for name, contestant in contestants.items()}
