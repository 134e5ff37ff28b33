"""How things are compared: round by round, each round in another order, ratios within a round, medians over rounds."""

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
        measure: What was measured, and of what kind it is: `size`, `where` and `half` say of which picture, into
            what, in which half.
        contestant: Whose figure it is.
        value: The median, in `unit`.
        ratio: The median of the ratios to whom the measure compares with.
        quartiles: Between which half of the ratios lie, or of the values where there are no ratios.
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
    def compared(self) -> float:
        """What a target is about: the ratio, or the value where there is none."""
        return self.value if self.ratio is None else self.ratio

    def as_json(self) -> dict[str, Any]:
        """The row without what it does not have, in few digits."""
        return {name: _short(value) for name, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class Bench:
    """What a measure is given: the server, an event loop, and how thorough to be."""

    server: Server
    loop: asyncio.AbstractEventLoop
    quick: bool = False

    def rounds(self, wanted: int) -> int:
        """How many rounds there are to be."""
        return 1 if self.quick else wanted

    def sizes(self) -> list[str]:
        """The sizes of pictures, small ones first."""
        return list(SIZES)[: -1 if self.quick else None]

    @property
    def crowd(self) -> int:
        """How many pictures are asked for at once."""
        return 8 if self.quick else 64

    @contextmanager
    def shelf(self, where: str) -> Iterator[Shelf]:
        """An empty shelf that leaves nothing behind."""
        with tempfile.TemporaryDirectory() as folder:
            shelf = Shelf(Path(folder) if where == FOLDER else None)
            yield shelf
            shelf.clear()

    @contextmanager
    def opened(self, kinds: Sequence[type[Contestant]], url: str, shelf: Shelf) -> Iterator[Mapping[str, Contestant]]:
        """Contestants by name, whose connections are closed after the block."""
        made = {kind.name: kind(url, shelf) for kind in kinds}
        try:
            yield made
        finally:
            for contestant in made.values():
                self.loop.run_until_complete(contestant.aclose())


def interleaved(
    works: Mapping[str, Callable[[], float]], rounds: int, after: Callable[[], object], *, warm: bool = False
) -> dict[str, list[float]]:
    """What each work gave in each round.

    A first turn of each is not counted. Nobody pays for the garbage of another: what was there before is set aside,
    and what a work leaves is collected behind it.

    Args:
        works: By the names of the contestants.
        rounds: How many there are.
        after: Called behind each turn.
        warm: Whether each turn that counts comes right behind one that does not. HTTP clients hang up after some
            seconds, which a round of many can last.
    """
    for work in works.values():
        work()
        after()
    gc.collect()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name in rotated(list(works), number):
            for _ in range(2 if warm else 1):
                value = works[name]()
                after()
                gc.collect()
            found[name].append(value)
    gc.unfreeze()
    return found


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of a round: everybody comes first in turn, and nobody always right behind the same one.

    The order of the others is drawn by lot, in each run alike: whoever follows one of its own kind has warm caches.
    """
    first = names[number % len(names)]
    others = [name for name in names if name != first]
    return [first, *random.Random(number).sample(others, len(others))]


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The work as one that gives the milliseconds it took."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000

    return run


def compared(found: Mapping[str, Sequence[float]], base: str, **facts: str) -> Iterator[Row]:
    """A row for each, with its ratio to the base of the same round."""
    for name, values in found.items():
        ratios = [value / other for value, other in zip(values, found[base], strict=True)]
        yield Row(
            contestant=name,
            value=statistics.median(values),
            ratio=statistics.median(ratios),
            quartiles=quartiles(ratios),
            **facts,
        )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Between which half of the values lie."""
    if len(values) < 2:
        return (values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (low, high)


def _short(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_short(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
