"""Measures the peak memory of one call, as a multiple of the picture's size."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

from benchmarks.bodies import SIZES, Picture
from benchmarks.contestants import READ, SYNC
from benchmarks.lineup import installed
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the peak memory for pictures of 2 and 12 MB, into memory and into a folder."""
    for size in bench.sizes()[1:]:
        for where in (MEMORY, FOLDER):
            yield from _rows(bench, size, where)


def _rows(bench: Bench, size: str, where: str) -> Iterator[Row]:
    kinds = [kind for kind in installed() if kind.name != READ]
    picture = Picture(SIZES[size]).byte_count
    with bench.shelf(where) as shelf, bench.open_contestants(kinds, bench.server.url(size), shelf) as contestants:
        for name, contestant in contestants.items():
            peak = peak_bytes(contestant.draw, shelf.clear)
            yield Row(
                measure="memory", contestant=name, value=peak / picture, unit="x", size=size, where=where, half=SYNC
            )


def peak_bytes(work: Callable[[], object], after: Callable[[], object]) -> int:
    """Return the most bytes that Python's allocator had handed out at once during the second of two runs."""
    work()
    after()
    gc.collect()
    tracemalloc.start()
    result = work()  # kept alive, so that it counts until the end
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    after()
    return peak
