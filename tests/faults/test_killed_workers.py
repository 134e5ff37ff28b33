"""A worker process that is killed at any stage of a call: the next one delivers the picture and buys no other."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from langchain_imagegen.simulator import Simulator, image
from langchain_imagegen.simulator.faults import Delivery
from langchain_imagegen.storage.processes import this_process
from tests.conversations import photo

ROOT = Path(__file__).parents[2]
NOTE = 10_000
"""Bytes that no note of the ledger has; what is longer is a picture."""


def _is_noted(folder: Path) -> bool:
    return any('"resp_' in note.read_text() for note in folder.glob("images/ledger/*.begun.*"))


def _has_begun(folder: Path) -> bool:
    """Return True if a part of the picture is written; its response id, which came with it, is noted beside."""
    return any(path.stat().st_size > NOTE for path in folder.glob("images/.partial/*")) and _is_noted(folder)


def _is_stored(folder: Path) -> bool:
    return any(len(path.stem) == 64 for path in folder.glob("images/??/*"))


def _is_done(folder: Path) -> bool:
    return any(folder.glob("images/ledger/*.done"))


STAGES: dict[str, Callable[[Path], bool]] = {
    "while the service draws": _is_noted,
    "during the store's write": _has_begun,
    "before the ledger's write": _is_stored,
    "before the checkpoint": _is_done,
}


@pytest.fixture
def slow_simulator() -> Iterator[Simulator]:
    """Return a simulator that takes half a second for a picture."""
    with Simulator(latency=0.5) as simulator:
        yield simulator


def start(folder: Path, simulator: Simulator, behind: str = "nothing") -> subprocess.Popen[str]:
    """Return a worker that draws, or goes on where another one was killed; with `wait` it makes no checkpoint."""
    command = [sys.executable, str(ROOT / "tests" / "worker.py"), str(folder), simulator.base_url, behind]
    environment = {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "simulated"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def kill_when(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Kill a worker as soon as the condition holds."""
    deadline = time.monotonic() + 60
    while not _holds(condition):
        assert time.monotonic() < deadline
        assert process.poll() is None, "the worker ended before it could be killed"
    process.kill()
    process.communicate()


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except FileNotFoundError:  # a file that the worker has just renamed
        return False


@pytest.mark.skipif(not this_process()["machine"], reason="elsewhere the next worker waits for a lease")
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_worker_costs_no_second_picture(stage: str, tmp_path: Path, slow_simulator: Simulator):
    """The worker that goes on has the picture of the killed one, bought once, and no torn file is left."""
    slow_simulator.script(replace(image(photo(size_bytes=3_000_000)), delivery=Delivery(chunk=4_096)))
    kill_when(lambda: STAGES[stage](tmp_path), start(tmp_path, slow_simulator, "wait"))
    printed, _ = start(tmp_path, slow_simulator).communicate(timeout=60)

    assert printed.split()[-1] == "1"
    assert slow_simulator.pictures == 1
    (picture,) = [path for path in tmp_path.glob("images/??/*") if len(path.stem) == 64]
    assert picture.stat().st_size > 1_000


@pytest.mark.skipif(not this_process()["machine"], reason="elsewhere the next worker waits for a lease")
def test_a_worker_killed_within_the_ledgers_write(tmp_path: Path, slow_simulator: Simulator):
    """A result that was noted in part is not taken for one, and its picture is found by the id of its response."""
    killed = start(tmp_path, slow_simulator, "torn")
    killed.communicate(timeout=60)
    printed, _ = start(tmp_path, slow_simulator).communicate(timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert printed.split()[-1] == "1"
    assert slow_simulator.pictures == 1
    assert _is_done(tmp_path)


def test_a_worker_killed_with_its_request(tmp_path: Path, slow_simulator: Simulator):
    """A worker that is killed before it has read the response id may cost a second picture, and loses none."""
    kill_when(lambda: bool(slow_simulator.requests), start(tmp_path, slow_simulator, "wait"))
    printed, _ = start(tmp_path, slow_simulator).communicate(timeout=60)

    assert printed.split()[-1] == "1"
    assert slow_simulator.pictures <= 2
