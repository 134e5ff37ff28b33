"""Compares contestants in rounds: each round has another order, ratios are taken within a round, then medians."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bodies import SIZES
from benchmarks.contestants import Contestant, Shelf
from benchmarks.server import Server

MEMORY, FOLDER = "memory", "folder"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Args:
        measure: What was measured.
        contestant: The name of the contestant.
        value: The median, in `unit`.
        unit: `"ms"`, `"B"` or `"x"`.
        size: The size of the pictures.
        where: Where the pictures went: `"memory"` or `"folder"`.
        half: `"sync"` or `"async"`.
        ratio: The median of the ratios to the contestant that the measure compares with.
        quartiles: The first and third quartile of the ratios, or of the values if there are no ratios.
    """

    measure: str
    contestant: str
    value: float
    unit: str
    size: str = ""
    where: str = ""
    half: str = ""
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None

    @property
    def ratio_or_value(self) -> float:
        """The figure that a target limits: the ratio, or the value if there is none."""
        return self.value if self.ratio is None else self.ratio

    def as_json(self) -> dict[str, Any]:
        """Return the row as a dict without empty fields, with rounded figures."""
        return {name: _round_floats(value) for name, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class Bench:
    """What every measure needs: the server, an event loop, and whether to run one quick round only."""

    server: Server
    loop: asyncio.AbstractEventLoop
    quick: bool = False

    def rounds(self, wanted: int) -> int:
        """Return the number of rounds to run."""
        return 1 if self.quick else wanted

    def sizes(self) -> list[str]:
        """Return the names of the picture sizes, smallest first."""
        return list(SIZES)[: -1 if self.quick else None]

    @property
    def concurrency(self) -> int:
        """The number of concurrent calls."""
        return 8 if self.quick else 64

    @contextmanager
    def shelf(self, where: str, *, parent: str | None = None) -> Iterator[Shelf]:
        """Yield an empty shelf, below a folder if one is given, and remove its pictures afterwards."""
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            shelf = Shelf(Path(folder) if where == FOLDER else None)
            yield shelf
            shelf.clear()

    @contextmanager
    def open_contestants(
        self, kinds: Sequence[type[Contestant]], url: str, shelf: Shelf
    ) -> Iterator[Mapping[str, Contestant]]:
        """Yield contestants by name, and close their connections after the block."""
        contestants = {kind.name: kind(url, shelf) for kind in kinds}
        try:
            yield contestants
        finally:
            for contestant in contestants.values():
                self.loop.run_until_complete(contestant.aclose())


def run_rounds(
    works: Mapping[str, Callable[[], float]], rounds: int, after: Callable[[], object], *, warm: bool = False
) -> dict[str, list[float]]:
    """Run every work once per round, after one run each that is not counted, and return their figures by name.

    No work pays for the garbage of another: objects that existed before are frozen, and garbage is collected after
    each run.

    Args:
        works: The functions to run, by contestant; each returns its figure.
        rounds: The number of rounds.
        after: Called after each run.
        warm: Whether an uncounted run directly precedes every counted one. HTTP clients close idle connections after
            some seconds, and a round can take longer.
    """
    for work in works.values():
        work()
        after()
    gc.collect()
    gc.freeze()
    figures: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name in round_order(list(works), number):
            for _ in range(2 if warm else 1):
                value = works[name]()
                after()
                gc.collect()
            figures[name].append(value)
    gc.unfreeze()
    return figures


def round_order(names: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: each name is first in turn, and the others follow in random order.

    A fixed order would favor a contestant that always follows a similar one, which leaves caches warm. The random
    order is the same in every run.
    """
    first = names[number % len(names)]
    others = [name for name in names if name != first]
    return [first, *random.Random(number).sample(others, len(others))]


def timer(work: Callable[[], object]) -> Callable[[], float]:
    """Return a function that does the work and returns the milliseconds it took."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000

    return run


def comparison_rows(figures: Mapping[str, Sequence[float]], base: str, **facts: str) -> Iterator[Row]:
    """Yield a row for each contestant, with its ratio to the base in the same round."""
    for name, values in figures.items():
        ratios = [value / other for value, other in zip(values, figures[base], strict=True)]
        yield Row(
            contestant=name,
            value=statistics.median(values),
            ratio=statistics.median(ratios),
            quartiles=quartiles(ratios),
            **facts,
        )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile."""
    if len(values) < 2:
        return (values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (low, high)


def _round_floats(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_round_floats(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
