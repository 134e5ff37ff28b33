"""The short form of `make soak`: a few hundred pictures leave no memory, file, thread or task behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak import LIMITS, PAGE, ROUND, SAMPLES, Sample, growth, render_page, run

STILL = Sample(pictures=0, seconds=0.0, rss=150.0, traced=0.4, files=16, threads=7, tasks=1)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory and open files are read from /proc"
)


def samples(grown: str = "", by: float = 0.0) -> list[Sample]:
    """Return the samples of a run in which one thing grows by an amount from the first picture to the last."""
    start = [replace(STILL, pictures=n * 100, seconds=float(n)) for n in range(SAMPLES)]
    if not grown:
        return start
    return [
        replace(sample, **{grown: getattr(sample, grown) + by * n / (SAMPLES - 1)}) for n, sample in enumerate(start)
    ]


@needs_proc
def test_some_hundred_pictures_leave_nothing_behind():
    """Memory, open files, threads and tasks are the same in the first and in the last third of 128 pictures."""
    taken = asyncio.run(run(8 * ROUND))

    assert taken[-1].pictures == 8 * ROUND
    assert growth(taken) == {}, render_page(taken)


@pytest.mark.parametrize(("name", "by"), [("rss", 40.0), ("traced", 2.0), ("files", 20), ("threads", 10), ("tasks", 5)])
def test_growth_is_named(name: str, by: float):
    """Whatever grows is named with its medians, and the page says so; a run without growth has none."""
    assert growth(samples()) == {}

    grown = growth(samples(name, by))
    assert list(grown) == [name]
    assert grown[name][1] > grown[name][0]
    assert render_page(samples(name, by)).count("**grew**") == 1
    assert set(LIMITS) == {"rss", "traced", "files", "threads", "tasks"}


def test_the_page_is_that_of_a_whole_run():
    """The committed page tells of a run without growth, with its pictures, time, date and machine."""
    page = PAGE.read_text(encoding="utf-8")

    assert "**grew**" not in page
    assert page.count("| flat |") == len(LIMITS)
    assert "pictures in" in page
    assert "cores" in page
