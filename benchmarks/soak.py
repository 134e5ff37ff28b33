"""`python -m benchmarks.soak`: draw thousands of small pictures through agents in one process, and fail on growth.

Conversations with the hosted tool and with the function tool, sync and async, run at the same time. At each of thirty
points in between everything is at rest, and memory, open files, threads and tasks are counted. The service is the
simulator in a process of its own. Nothing is compared with other packages here.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from benchmarks.machine import describe_run
from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, ImageMemory, ImageStore

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "SOAK.md"
PICTURES = 10_000
SAMPLES = 30
TURNS = ("draw a fox", "draw it again in winter", "draw an owl", "draw both in one picture")
OPTIONS = {"size": "1536x512", "quality": "low", "output_format": "jpeg", "output_compression": 1}
KEY = "sk-simulated"

ROUND = 4 * len(TURNS)
"""Pictures of one round: four conversations at a time."""

WARM_UP = 4 * ROUND
"""Pictures that are drawn before the first sample: imports, pools of threads and connections, caches."""

PASSING = 500_000
"""Strings after which CPython has surely rebuilt its table of interned strings."""


@dataclass(frozen=True)
class Sample:
    """What the process held after so many pictures, with nothing under way; memory in MB."""

    pictures: int
    seconds: float
    rss: float
    traced: float
    files: int
    threads: int
    tasks: int


@dataclass(frozen=True)
class Limit:
    """How much more the last third of a run may hold than the first: a fixed amount, and bytes for each picture."""

    fixed: float
    bytes_a_picture: float = 0.0

    def allows(self, more: float, pictures: float) -> bool:
        """Return True if a growth over so many pictures is no growth of the package."""
        return more <= self.fixed + self.bytes_a_picture * pictures / 1e6


LIMITS = {
    "rss": Limit(12.0, 1000.0),  # MB; the allocator keeps what it has had
    "traced": Limit(0.12, 100.0),  # MB; a record has about 1,000 bytes, a picture of this run 14,000
    "files": Limit(2),
    "threads": Limit(1),
    "tasks": Limit(0),
}


def growth(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Return what grew, as the medians of the first and the last third of the samples."""
    third = len(samples) // 3
    first, last = samples[:third], samples[-third:]
    apart = _median(last, "pictures") - _median(first, "pictures")
    pairs = {name: (_median(first, name), _median(last, name)) for name in LIMITS}
    return {name: pair for name, pair in pairs.items() if not LIMITS[name].allows(pair[1] - pair[0], apart)}


def _median(samples: Sequence[Sample], name: str) -> float:
    return float(statistics.median(getattr(sample, name) for sample in samples))


async def run(pictures: int, tell: Callable[[Sample], object] = lambda _: None) -> list[Sample]:
    """Draw so many pictures and return the samples.

    Args:
        pictures: How many; whole rounds are drawn.
        tell: Is called with each sample as it is taken.
    """
    samples: list[Sample] = []
    with start_simulator() as base_url, tempfile.TemporaryDirectory() as folder:
        async with open_studio(base_url, Path(folder)) as studio:
            await studio.draw(WARM_UP)
            tracemalloc.start()
            _rebuild_interned_strings()
            began, drawn = time.perf_counter(), 0
            for number in range(1, SAMPLES + 1):
                drawn += await studio.draw(pictures * number // SAMPLES - drawn)
                samples.append(await _sample(drawn, time.perf_counter() - began))
                tell(samples[-1])
            tracemalloc.stop()
    return samples


def _rebuild_interned_strings() -> None:
    """Make CPython rebuild its table of interned strings now, so that it does not look like growth later.

    It is rebuilt whenever enough strings have come and gone, here after some 5,000 pictures. The new table of 4 MB
    would be counted, and the end of the old one would not, since that was allocated before tracing began.
    """
    for number in range(PASSING):
        sys.intern(f"passing {number}")


@contextmanager
def start_simulator() -> Iterator[str]:
    """Yield the base URL of a simulator in a process of its own, whose memory is not counted."""
    command = [sys.executable, "-m", "langchain_imagegen.simulator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = (re.search(r"OPENAI_BASE_URL=(\S+)", line) for line in process.stdout)
            yield next(found[1] for found in lines if found)
        finally:
            process.kill()


class Studio:
    """Agents that draw with the hosted and the function tool, and the checkpoints of their conversations."""

    def __init__(self, base_url: str, store: ImageStore) -> None:
        service: dict[str, Any] = {"base_url": base_url, "api_key": KEY}
        self.model = ChatOpenAI(model="gpt-5.4", use_responses_api=True, **service)
        self.generator = ImageGenerator(image_store=store, options=OPTIONS, **service)
        self._saver = InMemorySaver()
        self._store = store
        self._hosted = self._agent(ImageGenerationMiddleware(OPTIONS, image_store=store, hosted=True))
        tool = ImageGenerationTool(generator=self.generator)
        self._function = self._agent(ImageGenerationMiddleware(tool=tool, image_store=store, hosted=False))
        self._numbers = count(1)

    async def draw(self, pictures: int) -> int:
        """Draw at least so many pictures in whole rounds, and return how many were drawn."""
        drawn = 0
        while drawn < pictures:
            drawn += sum(await asyncio.gather(*self._conversations()))
        return drawn

    def _conversations(self) -> Iterator[Any]:
        for agent in (self._hosted, self._function):
            yield self._converse(agent, f"soak-{next(self._numbers)}")
            yield asyncio.to_thread(self._converse_in_thread, agent, f"soak-{next(self._numbers)}")

    def _agent(self, middleware: ImageGenerationMiddleware) -> Any:
        return create_agent(self.model, middleware=[middleware], checkpointer=self._saver)

    async def _converse(self, agent: Any, thread: str) -> int:
        state: Any = {}
        for prompt in TURNS:
            state = await agent.ainvoke(_said(prompt, thread), _config(thread))
        await self._saver.adelete_thread(thread)
        return self._count(state)

    def _converse_in_thread(self, agent: Any, thread: str) -> int:
        state: Any = {}
        for prompt in TURNS:
            state = agent.invoke(_said(prompt, thread), _config(thread))
        self._saver.delete_thread(thread)
        return self._count(state)

    def _count(self, state: Any) -> int:
        """Return the number of pictures of a conversation, after a look at the last one."""
        memory = ImageMemory.from_state(state, image_store=self._store)
        assert memory.latest is not None
        assert memory.latest.read()
        if len(memory) < len(TURNS):
            raise RuntimeError(f"a conversation of {len(TURNS)} turns has {len(memory)} pictures")
        return len(memory)


@asynccontextmanager
async def open_studio(base_url: str, folder: Path) -> AsyncIterator[Studio]:
    """Yield a studio, and close its connections after the block."""
    studio = Studio(base_url, ImageStore(folder))
    try:
        yield studio
    finally:
        await studio.generator.aclose()
        studio.generator.close()


def _said(prompt: str, thread: str) -> dict[str, Any]:
    """Return a turn's input; the thread's name makes its pictures different from all others."""
    return {"messages": [{"role": "user", "content": f"{prompt}, number {thread}"}]}


def _config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


async def _sample(pictures: int, seconds: float) -> Sample:
    """Return what the process holds once nothing is under way, which may take a moment."""
    for _ in range(200):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    return Sample(
        pictures=pictures,
        seconds=round(seconds, 1),
        rss=round(_rss() / 1e6, 2),
        traced=round(tracemalloc.get_traced_memory()[0] / 1e6, 3),
        files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a folder that changes while it is read
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
    )


def _rss() -> int:
    """Return the bytes of memory that the process occupies (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def render_page(samples: Sequence[Sample]) -> str:
    """Return the page about a run."""
    about, grown = describe_run(), growth(samples)
    third = len(samples) // 3
    head = "| | first third | last third | may grow by | |\n| --- | ---: | ---: | ---: | --- |"
    rows = [
        f"| {TITLES[name]} | {_median(samples[:third], name):.10g} | {_median(samples[-third:], name):.10g} "
        f"| {_allowance(limit)} | {'**grew**' if name in grown else 'flat'} |"
        for name, limit in LIMITS.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    run_of = (
        f"{samples[-1].pictures:,} pictures in {samples[-1].seconds:,.0f} s on {about['date']}, "
        f"{about['cores']} cores ({about['cpu']}), {about['os']}, load {about['load']} at the end."
    )
    return "\n".join([
        "# A long run", "",
        f"Written by `make soak` ({(__doc__ or '').partition(': ')[2].partition('.')[0]}).", "",
        run_of, "", head, *rows, "",
        "Medians of ten samples each; memory in MB, with `tracemalloc` on. Versions: " + versions + ".", "",
        "## Samples", "", table(samples), "",
    ])  # fmt: skip


TITLES = {
    "rss": "resident memory (MB)",
    "traced": "memory of Python objects (MB)",
    "files": "open files and sockets",
    "threads": "threads",
    "tasks": "asyncio tasks",
}


def _allowance(limit: Limit) -> str:
    return f"{limit.fixed:g}" + (f" + {limit.bytes_a_picture:g} B a picture" if limit.bytes_a_picture else "")


def table(samples: Sequence[Sample]) -> str:
    """Return the samples as a table in Markdown."""
    names = [field.name for field in fields(Sample)]
    lines = [" | ".join(f"{getattr(sample, name):g}" for name in names) for sample in samples]
    return "\n".join(f"| {line} |" for line in [" | ".join(names), " | ".join("---:" for _ in names), *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print the table, and exit with 1 if something grew."""
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"how many to draw (default: {PICTURES})")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)} as well")
    asked = parser.parse_args(arguments)
    if not Path("/proc/self/statm").exists():
        sys.exit("The long run reads memory and open files from /proc: run it on Linux.")
    samples = asyncio.run(run(asked.pictures, lambda sample: print(sample, flush=True)))
    page = render_page(samples)
    print(page)
    if asked.write:
        PAGE.write_text(page, encoding="utf-8")
    if grown := growth(samples):
        sys.exit(f"Grew: {', '.join(grown)}.")


if __name__ == "__main__":
    main()
