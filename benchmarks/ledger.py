"""Measures what it costs to buy a picture once: how much longer a call takes that a folder's ledger notes."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contestants import ASYNC, KEY, MODEL, PROMPT, SYNC, Shelf
from benchmarks.rounds import FOLDER, Bench, Row, quartiles, run_rounds, timer
from langchain_imagegen import ImageGenerator

# A call that is noted reads its answer as a stream, to know the response id early. All calls do so here.
OFF, OUTSIDE, NEW, AGAIN = "`once=None`", "outside a graph", "`once=` a new name", "`once=` the same name again"
ROUNDS = 101  # a call takes some milliseconds, and differences of tenths must show
SIZE = "64 KB"
IN_MEMORY = "/dev/shm"  # after many deletions ext4 takes up to 0.7 ms for a new file, for minutes; else 0.02 ms


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the milliseconds of a call by its use of the ledger, and by how many they exceed those without it."""
    for half in (SYNC, ASYNC):
        with bench.shelf(FOLDER, parent=IN_MEMORY if Path(IN_MEMORY).is_dir() else None) as shelf:
            times = _times(bench, shelf, half)
        facts = {"unit": "ms", "size": SIZE, "where": FOLDER, "half": half}
        for name, values in times.items():
            added = [value - other for value, other in zip(values, times[OFF], strict=True)]
            yield Row(measure="ledger", contestant=name, value=statistics.median(values), **facts)
            if name != OFF:
                cost, spread = statistics.median(added), quartiles(added)
                yield Row(measure="ledger cost", contestant=name, value=cost, quartiles=spread, **facts)


def _times(bench: Bench, shelf: Shelf, half: str) -> Mapping[str, list[float]]:
    url = bench.server.url(SIZE)
    draw = ImageGenerator(model=MODEL, base_url=url, api_key=KEY, image_store=shelf.store, delivery="stream")
    names = (f"poster-{number}" for number in itertools.count())

    def call(settings: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
        if half == SYNC:
            return lambda: draw.invoke(PROMPT, **settings())
        return lambda: bench.loop.run_until_complete(draw.ainvoke(PROMPT, **settings()))

    uses: dict[str, Callable[[], dict[str, Any]]] = {
        OFF: lambda: {"once": None},
        OUTSIDE: dict,
        NEW: lambda: {"once": next(names)},
        AGAIN: lambda: {"once": "poster"},
    }
    try:
        works = {name: timer(call(settings)) for name, settings in uses.items()}
        return run_rounds(works, bench.rounds(ROUNDS), lambda: None)
    finally:
        draw.close()
        bench.loop.run_until_complete(draw.aclose())
