"""`python -m benchmarks`: run all measures and write `results.json`, `RESULTS.md`, the plot and its page."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.machine import describe_run
from benchmarks.report import render_page
from benchmarks.results import Results
from benchmarks.rounds import Bench, Row
from benchmarks.server import start_server
from benchmarks.summary import update

HERE = Path(__file__).parent
FIGURES, PAGE, PLOT = HERE / "results.json", HERE / "RESULTS.md", HERE.parent / "docs" / "benchmarks.svg"
SUMMARY = HERE.parent / "docs" / "performance.md"
MEASURES = ("plain", "encrypted", "streams", "memory", "concurrency", "editing", "many_images", "ledger", "imports")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measures and write the results, or do only one of the two."""
    asked = _parse_arguments(arguments)
    if asked.render:
        _write(Results.read(FIGURES))
        return
    results = run(asked.only or asked.again or MEASURES, quick=asked.quick)
    if asked.again and not asked.quick:
        results = Results.read(FIGURES).merge(results, asked.again)
    elif asked.quick or asked.only:
        print(render_page(results))
        return
    results.write(FIGURES)
    _write(Results.read(FIGURES))  # read again, since the file has rounded figures and the page must match them


def run(measures: Sequence[str], *, quick: bool) -> Results:
    """Run these measures and return their figures."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "LANGSMITH_", "LANGCHAIN_"))]:
        del os.environ[name]  # no settings of the user may take effect
    about = {**describe_run(), "quick": quick}
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with start_server() as server:
        bench = Bench(server, loop, quick=quick)
        rows = [row for name in measures for row in _run_measure(name, bench)]
    loop.close()
    return Results(about, tuple(rows))


def _run_measure(name: str, bench: Bench) -> Iterator[Row]:
    print(f"{name} … ", end="", file=sys.stderr, flush=True)
    began = time.perf_counter()
    measure: Callable[[Bench], Iterator[Row]] = import_module(f"benchmarks.{name}").measure
    yield from measure(bench)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


def _write(results: Results) -> None:
    from benchmarks.plot import draw

    PAGE.write_text(render_page(results), encoding="utf-8")
    SUMMARY.write_text(update(SUMMARY.read_text(encoding="utf-8"), results), encoding="utf-8")
    draw(results, PLOT)
    print(f"wrote {', '.join(str(file.relative_to(HERE.parent)) for file in (FIGURES, PAGE, PLOT, SUMMARY))}")


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="check that everything runs: one round each, only printed")
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--only", nargs="+", choices=MEASURES, metavar="MEASURE", help=f"print only {', '.join(MEASURES)}"
    )
    some.add_argument(
        "--again",
        nargs="+",
        choices=MEASURES,
        metavar="MEASURE",
        help="run only these measures and replace their figures in results.json",
    )
    parser.add_argument("--render", action="store_true", help="write the pages and the plot again from results.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
