"""Two worker processes that share PostgreSQL and a bucket answer the same threads, and one of them may die.

The workers run the worker of the documentation. The counterpart's own count says how many pictures were bought.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fsspec
import psycopg
import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from langchain_imagegen.simulator import Simulator
from tests.s3 import KEY, SECRET
from tests.workers import Worker

THREADS = int(os.environ.get("IMAGEGEN_THREADS", "20"))
TURNS = 5
SLOW = 4.0  # seconds that a drawing takes, so that a worker can be killed meanwhile


@pytest.fixture
def database(postgres: str) -> str:
    """The address of a database with LangGraph's tables."""

    async def make_tables() -> None:
        async with AsyncPostgresSaver.from_conn_string(postgres) as saver:
            await saver.setup()

    asyncio.run(make_tables())
    return postgres


@pytest.fixture
def thread(request: pytest.FixtureRequest) -> str:
    """The id of a thread of the test's own."""
    return request.node.name


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """The URL of an image store of the test's own."""
    return f"s3://pictures/{request.node.name}"


@pytest.fixture
def files(s3: dict[str, Any]) -> Any:
    """The bucket as a file system."""
    return fsspec.filesystem("s3", use_listings_cache=False, **s3)


@pytest.fixture
def stored(files: Any, bucket: str) -> Callable[[], set[str]]:
    """Returns the digests of the pictures in the bucket."""
    return lambda: {Path(name).stem for name in files.find(bucket)}


@pytest.fixture
def drawing_is_noted(files: Any, bucket: str) -> Callable[[], bool]:
    """Tells whether a worker has noted in the bucket which response it waits for."""
    return lambda: any(b"resp_" in files.cat_file(name) for name in files.find(bucket) if "/ledger/" in name)


@pytest.fixture
def start(database: str, s3: dict[str, Any], bucket: str) -> Iterator[Callable[[Simulator], Worker]]:
    """Starts a worker that draws with a simulator."""
    environment = {
        "DATABASE_URL": database,
        "LANGCHAIN_IMAGEGEN_STORE": bucket,
        "AWS_ENDPOINT_URL": s3["client_kwargs"]["endpoint_url"],
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "OPENAI_API_KEY": "sk-simulated",
    }
    with ExitStack() as stack:

        def start_worker(simulator: Simulator) -> Worker:
            return stack.enter_context(Worker({**environment, "OPENAI_BASE_URL": simulator.base_url}))

        yield start_worker


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def edited(order: Any) -> list[str]:
    """Return the digests of the pictures that the service edited for an order."""
    return [hashlib.sha256(source).hexdigest() for source in order.sources]


def test_a_picture_of_one_worker_is_edited_in_the_other(start, simulator, thread):
    """A picture drawn in one worker is edited in the other, by its handle and as `last`, with the right parent."""
    one, other = start(simulator), start(simulator)
    (fox,) = one.answer(thread, "Draw a fox")
    assert one.answer(f"another {thread}", "Draw an owl")[-1]["parents"] == []
    night = other.answer(thread, "Make it night")[-1]
    winter = one.answer(thread, f"Edit {fox['handle']}: make it winter")[-1]
    pictures = other.answer(thread, "Edit the last picture: add snow")

    assert night["parents"] == [fox["id"]]
    assert winter["parents"] == [fox["id"]]
    assert pictures[-1]["parents"] == [winter["id"]]
    assert [picture["id"] for picture in pictures[:3]] == [fox["id"], night["id"], winter["id"]]
    assert simulator.pictures == 5
    assert [edited(order) for order in simulator.orders[2:4]] == [[fox["sha256"]]] * 2


def test_a_worker_killed_while_the_service_draws(start, drawing_is_noted, thread):
    """The call of a worker that was killed while the service drew is finished by another, which buys nothing."""
    with Simulator(latency=SLOW) as simulator:
        one, other = start(simulator), start(simulator)
        one.send(thread, "Draw a fox")
        wait_until(drawing_is_noted)
        one.kill()
        assert simulator.pictures == 0
        (fox,) = other.answer(thread)

        assert fox["prompt"] == "Draw a fox"
        assert simulator.pictures == 1


def test_two_workers_finish_the_call_of_a_killed_one_at_once(start, drawing_is_noted, thread):
    """Two workers that finish the call of a killed one at the same time get one picture, the same."""
    with Simulator(latency=SLOW) as simulator:
        one, *others = start(simulator), start(simulator), start(simulator)
        one.send(thread, "Draw a fox")
        wait_until(drawing_is_noted)
        one.kill()
        for other in others:
            other.send(thread)
        first, second = (other.receive()["pictures"] for other in others)

        assert len(first) == 1
        assert first == second
        assert simulator.pictures == 1


def test_a_worker_killed_before_its_checkpoint(start, drawing_is_noted, database, stored, thread):
    """A picture that was drawn and stored by a worker that died before its checkpoint is not bought again."""
    with Simulator(latency=SLOW) as simulator:
        one, other = start(simulator), start(simulator)
        one.send(thread, "Draw a fox")
        wait_until(drawing_is_noted)
        with psycopg.connect(database) as blocking, psycopg.connect(database, autocommit=True) as watching:
            blocking.execute("LOCK TABLE checkpoint_writes IN EXCLUSIVE MODE")
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted"
            wait_until(lambda: watching.execute(waiting).fetchall())
            one.kill()
            # the server would still carry out what it has been sent, so it arrives too late
            watching.execute(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS sessions")
            assert simulator.pictures == 1
            blocking.rollback()
        (fox,) = other.answer(thread)

        assert simulator.pictures == 1
        assert fox["sha256"] in stored()


def test_many_threads_through_two_workers(start, simulator, stored):
    """Of many threads whose turns alternate between two workers no picture is lost, none bought twice or mixed up."""
    workers, began = (start(simulator), start(simulator)), time.monotonic()
    threads: dict[str, list[dict[str, Any]]] = {}
    for turn in range(TURNS):
        for number in range(THREADS):
            text = f"Edit the last picture: {turn} in {number}" if turn else f"Draw {number}"
            workers[(turn + number) % 2].send(f"thread {number}", text)
        for first, worker in enumerate(workers):
            for _ in range((first + turn) % 2, THREADS, 2):
                answer = worker.receive()
                threads[answer["thread"]] = answer["pictures"]
    pictures = [picture for thread in threads.values() for picture in thread]
    sys.stdout.write(
        f"\n{len(threads)} threads of {TURNS} turns through two workers: {len(pictures)} pictures recorded, "
        f"{simulator.pictures} bought, {time.monotonic() - began:.0f} s\n"
    )

    assert simulator.pictures == THREADS * TURNS
    assert [len(thread) for thread in threads.values()] == [TURNS] * THREADS
    assert len({picture["id"] for picture in pictures}) == THREADS * TURNS
    assert {picture["sha256"] for picture in pictures} <= stored()
    for thread in threads.values():
        assert [picture["parents"] for picture in thread] == [[], *([before["id"]] for before in thread[:-1])]
