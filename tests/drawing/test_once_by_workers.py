"""Workers that are killed, or that start the same call at the same moment, buy one picture."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen.simulator import Simulator
from langchain_imagegen.storage.processes import this_process

ROOT = Path(__file__).parents[2]

on_linux = pytest.mark.skipif(not this_process()["machine"], reason="elsewhere the next worker waits for a lease")


@pytest.fixture
def slow_simulator() -> Iterator[Simulator]:
    """A simulator that takes a second and a half for a picture."""
    with Simulator(latency=1.5) as started:
        yield started


@contextmanager
def worker(folder: Path, simulator: Simulator, behind: str = "nothing") -> Iterator[subprocess.Popen[str]]:
    """Start a worker; it is killed in the end."""
    command = [sys.executable, str(ROOT / "tests" / "worker.py"), str(folder), simulator.base_url, behind]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "x"}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(folder: Path, simulator: Simulator) -> list[str]:
    """Let a new worker go on; give what it printed."""
    with worker(folder, simulator) as process:
        return process.communicate(timeout=60)[0].split()


@on_linux
def test_killed_behind_the_drawing(tmp_path, simulator):
    """A worker that is killed between the drawing and its checkpoint costs no second picture."""
    with worker(tmp_path, simulator, "wait") as process:
        assert process.stdout.readline() == "drawn False\n"

    assert finish(tmp_path, simulator) == ["drawn", "True", "1"]
    assert simulator.pictures == 1


@on_linux
def test_killed_while_it_is_drawn(tmp_path, slow_simulator):
    """A worker that is killed while the service draws: the next one fetches the picture of the same response."""
    with worker(tmp_path, slow_simulator, "wait") as process:
        wait_for(lambda: any('"resp_' in note.read_text() for note in tmp_path.glob("images/ledger/*.begun.0")))
        process.kill()

    assert finish(tmp_path, slow_simulator) == ["drawn", "True", "1"]
    assert slow_simulator.pictures == 1


def test_two_workers_at_once(tmp_path, slow_simulator):
    """Two workers that draw the picture of one name at the same time buy one: the second waits for the first."""
    with worker(tmp_path, slow_simulator, "name") as one, worker(tmp_path, slow_simulator, "name") as other:
        printed = sorted(process.communicate(timeout=60)[0].split()[1] for process in (one, other))

    assert printed == ["False", "True"]
    assert slow_simulator.pictures == 1


def test_many_threads_at_once(half, low, simulator):
    """Sixteen calls of one name at the same time, in threads or tasks, buy one picture."""
    draw = low()
    if half.name == "sync":
        with ThreadPoolExecutor(16) as threads:
            results = list(threads.map(lambda _: draw.invoke("draw a fox", once="poster-7"), range(16)))
    else:

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(draw.ainvoke("draw a fox", once="poster-7") for _ in range(16)))

        results = half.wait(all_at_once)

    assert simulator.pictures == 1
    assert len({result.image.id for result in results}) == 1
    assert [result.from_ledger for result in results].count(False) == 1


def wait_for(condition: Any) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
