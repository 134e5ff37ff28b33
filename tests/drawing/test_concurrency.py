"""Many drawings at once: order, faults, cancelled tasks, threads and event loops, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import fsspec
import httpx2
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient, OpenAI

from langchain_imagegen import ImageGenerator, ImageResult, ImageStore
from langchain_imagegen.errors import ConnectionLostError, ModerationError, RateLimitError
from tests import crowd
from tests.handles import handles

KB, MB = 1_000, 1_000_000
SMALL = 20 * KB
AT_ONCE = {"max_concurrency": 64}

Make = Callable[..., ImageGenerator]


@pytest.fixture
def make(service: crowd.Crowd, image_store: ImageStore, made: list[ImageGenerator]) -> Make:
    """Makes generators of pictures of a given size in bytes, which take so many milliseconds, into a folder."""

    def generator(size: int = SMALL, latency: int = 0, **settings: Any) -> ImageGenerator:
        here = {"base_url": service.base_url(size, latency), "api_key": "none", "image_store": image_store}
        made.append(ImageGenerator(**{**here, **settings}))
        return made[-1]

    return generator


def digest(number: int, size: int = SMALL) -> str:
    """What the picture of this number is stored under."""
    return hashlib.sha256(crowd.picture(size, number)).hexdigest()


def digests(results: list[ImageResult]) -> list[str]:
    """What the first picture of each result is stored under."""
    return [result.image.sha256 for result in results]


def files(store: ImageStore) -> dict[str, list[str]]:
    """The names in a store's folder: digests of pictures, and what was not finished."""
    found = [path for path in Path(store.location).rglob("*") if path.is_file()]
    whole = {path for path in found if len(path.stem) == 64}
    return {"whole": sorted(path.stem for path in whole), "unfinished": [p.name for p in found if p not in whole]}


def drawn(half: Any, drawing: ImageGenerator, prompts: list[str]) -> list[Any]:
    """What a batch gives, errors in the place of results."""
    return half.batch(drawing, prompts, config=AT_ONCE, return_exceptions=True)


# --- a crowd, and what it leaves


def test_a_thousand_pictures_come_in_order_and_leave_nothing(half: Any, make: Make, image_store: ImageStore):
    """A batch of 1,000 keeps no memory, socket, file handle or temporary file, and gives the results in order."""
    drawing = make()
    drawn(half, drawing, [f"draw {number}" for number in range(64)])
    half.close(drawing)
    before = handles()

    tracemalloc.start()
    drawn(half, drawing, [f"draw {number}" for number in range(64)])
    half.close(drawing)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    told = digests(drawn(half, drawing, [f"draw {number}" for number in range(1000)]))
    half.close(drawing)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()

    assert told == [digest(number) for number in range(1000)]
    assert files(image_store) == {"whole": sorted(told), "unfinished": []}
    assert handles() <= before
    assert grown < 1000 * SMALL / 40  # half a megabyte; the digests compared here are a fifth of that


FAULTS = {"draw": ImageResult, "cut": ConnectionLostError, "busy": RateLimitError, "moderated": ModerationError}


def test_faults_in_a_crowd_harm_no_other_picture_and_leave_nothing(half: Any, make: Make, image_store: ImageStore):
    """Cut bodies, rate limits and refusals are errors in their own place, and keep no handle and no file."""
    drawing = make()
    prompts = [f"{crowd.KINDS[number % 4]} {number}" for number in range(400)]
    drawn(half, drawing, prompts[:64])
    half.close(drawing)
    before = handles()

    results = drawn(half, drawing, prompts)
    half.close(drawing)

    assert [type(result) for result in results] == [FAULTS[prompt.split()[0]] for prompt in prompts]
    assert digests(results[::4]) == [digest(number) for number in range(0, 400, 4)]
    assert files(image_store) == {"whole": sorted(digests(results[::4])), "unfinished": []}
    del results  # errors hold the frames that they passed
    assert handles() <= before


async def half_cancelled(drawing: ImageGenerator, count: int) -> list[Any]:
    """What a crowd gives of which every other task was cancelled when the first was done; half of those are late."""
    kinds = ("draw", "draw", "draw", crowd.LATE)
    tasks = [asyncio.create_task(drawing.ainvoke(f"{kinds[number % 4]} {number}")) for number in range(count)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    given_up = [task for task in tasks[1::2] if not task.done()]
    for task in given_up:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.get_running_loop().shutdown_default_executor()  # a thread that was writing ends its piece

    assert all(task.cancelled() for task in given_up)
    assert len(given_up) >= count // 4  # the late ones at least
    return [task.result() for task in tasks[::2]]


@pytest.mark.parametrize("size", [SMALL, 2 * MB], ids=["20-KB", "2-MB"])
async def test_cancelled_drawings_leave_nothing(make: Make, image_store: ImageStore, size: int):
    """When half of a crowd is cancelled, the other half is drawn, and no handle and no file is left of either."""
    drawing = make(size, latency=20)
    await drawing.abatch([f"draw {number}" for number in range(8)])
    await drawing.aclose()
    before = handles()

    results = await half_cancelled(drawing, 64)
    await drawing.aclose()

    assert digests(results) == [digest(number, size) for number in range(0, 64, 2)]
    assert not files(image_store)["unfinished"]
    del results
    assert handles() <= before


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1], ids=lambda moment: f"{moment * 1000:.0f}-ms")
async def test_a_picture_cancelled_at_any_moment_leaves_no_file(make: Make, image_store: ImageStore, moment: float):
    """A large picture may be given up before, while or after its bytes arrive; nothing unfinished stays."""
    drawing = make(12 * MB)

    tasks = [asyncio.create_task(drawing.ainvoke(f"draw {number}")) for number in range(3)]
    await asyncio.sleep(moment)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await drawing.aclose()
    await asyncio.get_running_loop().shutdown_default_executor()

    assert {type(result) for result in results} <= {asyncio.CancelledError, ImageResult}
    assert not files(image_store)["unfinished"]


async def test_a_crowd_does_not_wait_for_itself(service: crowd.Crowd, make: Make):
    """The first requests are on their way while most other calls have not even begun."""
    passed: list[str] = []

    async def trace(name: str, _: object) -> None:
        if name == "http11.send_request_body.complete":
            passed.append("left")

    async def begin(request: httpx2.Request) -> None:
        request.extensions["trace"] = trace

    class Begun(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            passed.append("begun")

    there = {"base_url": service.base_url(SMALL), "api_key": "none"}
    http_client = DefaultAsyncHttpxClient(event_hooks={"request": [begin]})
    async with AsyncOpenAI(**there, http_client=http_client) as async_client:
        with OpenAI(**there) as client:
            drawing = make(client=client, async_client=async_client)
            await drawing.ainvoke("draw 0")  # the first call alone loads modules
            passed.clear()
            config: RunnableConfig = {"callbacks": [Begun()]}
            await asyncio.gather(*(drawing.ainvoke(f"draw {number}", config) for number in range(64)))

    assert passed.count("begun") == passed.count("left") == 64
    assert passed.index("left") < 32


# --- the SDK's client for aiohttp


@pytest.fixture
async def over_aiohttp(service: crowd.Crowd, make: Make) -> AsyncIterator[Make]:
    """Makes generators whose async half is the SDK's `DefaultAioHttpClient`, closed after the test."""
    pytest.importorskip("aiohttp", reason="needs openai[aiohttp]")
    async with AsyncExitStack() as clients:

        async def opened(size: int = SMALL, latency: int = 0) -> ImageGenerator:
            there = {"base_url": service.base_url(size, latency), "api_key": "none"}
            client = await clients.enter_async_context(AsyncOpenAI(**there, http_client=DefaultAioHttpClient()))
            return make(client=clients.enter_context(OpenAI(**there)), async_client=client)

        yield opened


async def test_faults_over_aiohttp_are_the_same_errors(over_aiohttp: Make, image_store: ImageStore):
    """Cut bodies, rate limits and refusals are errors in their own place there too, and keep no file."""
    drawing = await over_aiohttp()
    prompts = [f"{crowd.KINDS[number % 4]} {number}" for number in range(200)]

    results = await drawing.abatch(prompts, AT_ONCE, return_exceptions=True)

    assert [type(result) for result in results] == [FAULTS[prompt.split()[0]] for prompt in prompts]
    assert files(image_store) == {"whole": sorted(digest(number) for number in range(0, 200, 4)), "unfinished": []}


async def test_cancelled_drawings_over_aiohttp_leave_nothing(over_aiohttp: Make, image_store: ImageStore):
    """When half of a crowd is cancelled, the other half is drawn, and no file is left of the first."""
    drawing = await over_aiohttp(2 * MB, latency=20)

    results = await half_cancelled(drawing, 32)

    assert digests(results) == [digest(number, 2 * MB) for number in range(0, 32, 2)]
    assert not files(image_store)["unfinished"]


async def test_streams_over_aiohttp_end_with_their_pictures(over_aiohttp: Make):
    """A stream of events is read there as over the default client."""
    drawing = await over_aiohttp()

    *_, result = [piece async for piece in drawing.astream("draw 7")]

    assert result.image.sha256 == digest(7)


# --- threads and event loops


def run_in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """What `work` gives in each of so many threads, all begun together."""
    together, results = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        together.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def numbers_of(thread: int) -> list[int]:
    """The pictures that a thread asks for."""
    return [thread * 10 + number for number in range(10)]


def test_one_generator_in_eight_threads(make: Make, image_store: ImageStore):
    """Threads share a generator; each gets its own pictures, and no handle is left when it is closed."""
    drawing = make()

    def work(thread: int) -> list[str]:
        return digests([drawing.invoke(f"draw {number}") for number in numbers_of(thread)])

    run_in_threads(work, 8)
    drawing.close()
    before = handles()
    told = run_in_threads(work, 8)
    drawing.close()

    assert told == [[digest(number) for number in numbers_of(thread)] for thread in range(8)]
    assert handles() <= before
    assert not files(image_store)["unfinished"]


async def crowded(drawing: ImageGenerator, thread: int) -> list[str]:
    """The pictures of a thread, drawn at once in the running event loop, whose connections are closed after."""
    results = await asyncio.gather(*(drawing.ainvoke(f"draw {number}") for number in numbers_of(thread)))
    await drawing.aclose()
    return digests(results)


@pytest.mark.parametrize("threads", [1, 8], ids=["in-sequence", "in-parallel"])
def test_one_generator_in_many_event_loops(make: Make, image_store: ImageStore, threads: int):
    """Each event loop has its own connections: loops may follow each other or run in threads at once."""
    drawing = make()

    def work(thread: int) -> list[list[str]]:
        return [asyncio.run(crowded(drawing, thread)) for _ in range(3)]

    run_in_threads(work, threads)
    before = handles()
    told = run_in_threads(work, threads)

    assert told == [[[digest(number) for number in numbers_of(thread)]] * 3 for thread in range(threads)]
    assert handles() <= before
    assert not files(image_store)["unfinished"]


def test_both_halves_of_one_generator_at_once(make: Make):
    """Threads that block and event loops in other threads use one generator at the same time."""
    drawing = make()

    def work(thread: int) -> list[str]:
        if thread % 2:
            return asyncio.run(crowded(drawing, thread))
        return digests(drawing.batch([f"draw {number}" for number in numbers_of(thread)]))

    told = run_in_threads(work, 6)

    assert told == [[digest(number) for number in numbers_of(thread)] for thread in range(6)]


# --- the disk and the event loop


class Watch:
    """Notes in which thread a folder's files are opened, made, renamed and removed.

    Python's audit hooks cannot be taken back; there is one, which does nothing between tests.
    """

    EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.utime", "os.truncate"})

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[tuple[str, int]] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None or event not in self.EVENTS:
            return
        if isinstance(args[0], (str, os.PathLike)) and os.fspath(args[0]).startswith(self.folder):
            self.seen.append((event, threading.get_ident()))

    @contextmanager
    def over(self, folder: str) -> Iterator[list[tuple[str, int]]]:
        """What happens below a folder within the block."""
        self.folder, self.seen = folder, []
        try:
            yield self.seen
        finally:
            self.folder = None


@pytest.fixture(scope="module")
def watch() -> Watch:
    """The one hook of this process."""
    return Watch()


async def drawn_by(way: str, drawing: ImageGenerator, prompt: str) -> ImageResult:
    """One result, by `ainvoke` or as the last piece of `astream`."""
    if way == "ainvoke":
        return await drawing.ainvoke(prompt)
    return [piece async for piece in drawing.astream(prompt)][-1]


@pytest.mark.parametrize("size", [SMALL, 12 * MB], ids=["20-KB", "12-MB"])
@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_the_event_loop_touches_no_file(make: Make, image_store: ImageStore, watch: Watch, way: str, size: int):
    """Files are opened, renamed and removed in threads, whether the picture comes whole or not."""
    drawing = make(size)

    with watch.over(image_store.location) as seen:
        result = await drawn_by(way, drawing, "draw 1")
        with pytest.raises(ConnectionLostError):
            await drawn_by(way, drawing, "cut 2")
    await drawing.aclose()

    assert result.image.sha256 == digest(1, size)
    assert {"open", "os.rename"} <= {event for event, _ in seen}
    assert not [event for event, thread in seen if thread == threading.get_ident()]


async def test_an_upload_touches_no_file_in_the_event_loop(make: Make, image_store: ImageStore, watch: Watch):
    """A picture given as bytes goes into the store, and out of it into the request, in threads."""
    drawing = make(check_options=False)

    lost = pytest.raises(ConnectionLostError)  # the service reads plain prompts alone, and hangs up
    with watch.over(image_store.location) as seen, lost:
        await drawing.ainvoke("draw 1", images=[crowd.picture(SMALL, 2)])
    await drawing.aclose()

    assert {"open", "os.rename"} <= {event for event, _ in seen}
    assert not [event for event, thread in seen if thread == threading.get_ident()]


class Slow(MemoryFileSystem):
    """A file system that takes its time for each object, and notes in which thread."""

    protocol = "slow"
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's own way to share it
    threads: list[int] = []  # noqa: RUF012

    def pipe_file(self, path: str, value: bytes, **settings: Any) -> None:
        """Write one object."""
        self.threads.append(threading.get_ident())
        time.sleep(0.05)
        super().pipe_file(path, value, **settings)


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_the_event_loop_waits_for_no_bucket(make: Make, way: str):
    """A driver that blocks blocks a thread: what else runs in the event loop goes on."""
    fsspec.register_implementation("slow", Slow, clobber=True)
    Slow.threads.clear()
    drawing = make(image_store=ImageStore("slow://pictures"))

    result = await drawn_by(way, drawing, "draw 1")
    await drawing.aclose()

    assert result.image.sha256 == digest(1)
    assert Slow.threads
    assert threading.get_ident() not in Slow.threads


# --- memory


@pytest.mark.parametrize(
    ("count", "size", "most"), [(64, 2 * MB, 0.5), (8, 12 * MB, 0.1)], ids=["64-of-2-MB", "8-of-12-MB"]
)
async def test_a_crowd_on_its_way_into_files_needs_little_memory(make: Make, count: int, size: int, most: float):
    """Of pictures that arrive together, memory holds a read of each and the HTTP library's two copies of that read."""
    drawing = make(size, latency=200)
    prompts = [f"draw {number}" for number in range(count)]
    await drawing.abatch(prompts)
    gc.collect()

    tracemalloc.start()
    results = await asyncio.gather(*map(drawing.ainvoke, prompts))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await drawing.aclose()

    assert len(results) == count
    assert peak <= most * count * size


@pytest.mark.parametrize(("delivery", "most"), [("direct", 1.15), ("stream", 1.25)], ids=["direct", "stream"])
def test_a_picture_into_memory_is_there_once(half: Any, make: Make, delivery: str, most: float):
    """12 MB take 12 MB and a little; in a stream, which tells no picture's length, the buffer grows by eighths."""
    drawing = make(12 * MB, image_store=ImageStore("memory://there-once"), delivery=delivery)
    drawn(half, drawing, ["draw 1"])
    MemoryFileSystem.store.clear()
    gc.collect()

    tracemalloc.start()
    [result] = drawn(half, drawing, ["draw 1"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    MemoryFileSystem.store.clear()

    assert result.image.sha256 == digest(1, 12 * MB)
    assert peak <= most * 12 * MB
