"""`python -m benchmarks`: measure everything, write `RESULTS.md`, its figures and its plot."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.machine import described
from benchmarks.report import rendered
from benchmarks.results import Results
from benchmarks.rounds import Bench, Row
from benchmarks.server import serving

HERE = Path(__file__).parent
FIGURES, PAGE, PLOT = HERE / "results.json", HERE / "RESULTS.md", HERE.parent / "docs" / "benchmarks.svg"
MEASURES = ("plain", "encrypted", "streams", "memory", "concurrency", "editing", "many_images", "imports")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write, or only one of both."""
    asked = _parsed(arguments)
    if asked.render:
        _write(Results.read(FIGURES))
        return
    results = run(asked.only or asked.again or MEASURES, quick=asked.quick)
    if asked.again and not asked.quick:
        results = Results.read(FIGURES).replaced_by(results, asked.again)
    elif asked.quick or asked.only:
        print(rendered(results))
        return
    results.write(FIGURES)
    _write(Results.read(FIGURES))  # which are rounded: the page is the same whenever it is made


def run(measures: Sequence[str], *, quick: bool) -> Results:
    """The figures of these measures."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "LANGSMITH_", "LANGCHAIN_"))]:
        del os.environ[name]  # nothing from outside may take part
    told = {**described(), "quick": quick}
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with serving() as server:
        bench = Bench(server, loop, quick=quick)
        rows = [row for name in measures for row in _measured(name, bench)]
    loop.close()
    return Results(told, tuple(rows))


def _measured(name: str, bench: Bench) -> Iterator[Row]:
    print(f"{name} … ", end="", file=sys.stderr, flush=True)
    began = time.perf_counter()
    measure: Callable[[Bench], Iterator[Row]] = import_module(f"benchmarks.{name}").measure
    yield from measure(bench)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


def _write(results: Results) -> None:
    from benchmarks.plot import draw

    PAGE.write_text(rendered(results), encoding="utf-8")
    draw(results, PLOT)
    print(f"wrote {', '.join(str(file.relative_to(HERE.parent)) for file in (FIGURES, PAGE, PLOT))}")


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of everything, only shown: does it work?")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--only", nargs="+", choices=MEASURES, metavar="MEASURE", help=f"only show {', '.join(MEASURES)}")
    some.add_argument(
        "--again",
        nargs="+",
        choices=MEASURES,
        metavar="MEASURE",
        help="measure these alone and write them to the others",
    )
    parser.add_argument("--render", action="store_true", help="write page and plot again from results.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
