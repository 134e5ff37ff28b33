"""How much memory a call takes at its peak, as a multiple of the picture."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

from benchmarks.bodies import SIZES, Picture
from benchmarks.contestants import READ, SYNC
from benchmarks.lineup import present
from benchmarks.rounds import FOLDER, MEMORY, Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Pictures of 2 and 12 MB, into memory and into a folder."""
    for size in bench.sizes()[1:]:
        for where in (MEMORY, FOLDER):
            yield from _measured(bench, size, where)


def _measured(bench: Bench, size: str, where: str) -> Iterator[Row]:
    kinds = [kind for kind in present() if kind.name != READ]
    picture = Picture(SIZES[size]).exact
    with bench.shelf(where) as shelf, bench.opened(kinds, bench.server.url(size), shelf) as contestants:
        for name, contestant in contestants.items():
            top = peak(contestant.draw, shelf.clear)
            yield Row(
                measure="memory", contestant=name, value=top / picture, unit="x", size=size, where=where, half=SYNC
            )


def peak(work: Callable[[], object], after: Callable[[], object]) -> int:
    """Bytes that Python's allocator handed out at the most during the second of two runs, above those before it."""
    work()
    after()
    gc.collect()
    tracemalloc.start()
    kept = work()  # what it gives counts for as long as the work goes on
    _, top = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    after()
    return top
