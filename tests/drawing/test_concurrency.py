"""Many drawings at once: their order, faults, cancellation, threads, event loops, open handles and memory."""

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
from tests.handles import count_handles

KB, MB = 1_000, 1_000_000
SMALL = 20 * KB
AT_ONCE = {"max_concurrency": 64}

Make = Callable[..., ImageGenerator]


@pytest.fixture
def make(service: crowd.Crowd, image_store: ImageStore, generators: list[ImageGenerator]) -> Make:
    """Return a function that makes generators for pictures of `size` bytes, each drawn in `latency` milliseconds."""

    def generator(size: int = SMALL, latency: int = 0, **settings: Any) -> ImageGenerator:
        defaults = {"base_url": service.base_url(size, latency), "api_key": "none", "image_store": image_store}
        generators.append(ImageGenerator(**{**defaults, **settings}))
        return generators[-1]

    return generator


def digest(number: int, size: int = SMALL) -> str:
    """Return the digest of the picture with this number."""
    return hashlib.sha256(crowd.picture(size, number)).hexdigest()


def digests(results: list[ImageResult]) -> list[str]:
    """Return the digest of each result's first picture."""
    return [result.image.sha256 for result in results]


def files(store: ImageStore) -> dict[str, list[str]]:
    """Return the digests of the pictures in a store's folder, and the names of its unfinished files."""
    found = [path for path in Path(store.location).rglob("*") if path.is_file()]
    whole = {path for path in found if len(path.stem) == 64}
    return {"whole": sorted(path.stem for path in whole), "unfinished": [p.name for p in found if p not in whole]}


def not_below(limit: float, half: Any, measure: Callable[[], float]) -> float | None:
    """Return None once a figure is below a limit, or the figure after ten seconds: closing may end a bit later."""
    end = time.monotonic() + 10
    while (figure := measure()) >= limit:
        if time.monotonic() > end:
            return figure
        half.wait(asyncio.sleep, 0.05)
        gc.collect()
    return None


def draw_all(half: Any, drawing: ImageGenerator, prompts: list[str]) -> list[Any]:
    """Draw the prompts in one batch and return its results, with errors in their places."""
    return half.batch(drawing, prompts, config=AT_ONCE, return_exceptions=True)


# --- many drawings, and what they leave open


def test_many_pictures_come_in_order_and_leave_nothing(half: Any, make: Make, image_store: ImageStore):
    """A batch of 400 returns its results in order and leaves no memory, socket, handle or temporary file."""
    drawing = make()
    draw_all(half, drawing, [f"draw {number}" for number in range(64)])
    half.close(drawing)
    before = count_handles()

    tracemalloc.start()
    draw_all(half, drawing, [f"draw {number}" for number in range(64)])
    half.close(drawing)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    drawn = digests(draw_all(half, drawing, [f"draw {number}" for number in range(400)]))
    half.close(drawing)
    limit = held + 400 * SMALL / 40  # 200 KB, of which the digests compared here take 40 KB
    grown = not_below(limit, half, lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert not grown
    assert drawn == [digest(number) for number in range(400)]
    assert files(image_store) == {"whole": sorted(drawn), "unfinished": []}
    assert not not_below(before + 1, half, count_handles)


FAULTS = {"draw": ImageResult, "cut": ConnectionLostError, "busy": RateLimitError, "moderated": ModerationError}


def test_faults_in_a_batch_harm_no_other_picture(half: Any, make: Make, image_store: ImageStore):
    """In a batch, each cut body, rate limit and refusal is an error in its own place and leaves no handle or file."""
    drawing = make()
    prompts = [f"{crowd.KINDS[number % 4]} {number}" for number in range(100)]
    draw_all(half, drawing, prompts[:16])
    half.close(drawing)
    before = count_handles()

    results = draw_all(half, drawing, prompts)
    half.close(drawing)

    assert [type(result) for result in results] == [FAULTS[prompt.split()[0]] for prompt in prompts]
    assert digests(results[::4]) == [digest(number) for number in range(0, 100, 4)]
    assert files(image_store) == {"whole": sorted(digests(results[::4])), "unfinished": []}
    del results  # an error's traceback holds on to its frames
    assert count_handles() <= before


async def cancel_half(drawing: ImageGenerator, count: int) -> list[Any]:
    """Start `count` drawings, cancel every other one when the first has finished, and return the others' results.

    Half of the cancelled drawings are still waiting for the service at that time.
    """
    kinds = ("draw", "draw", "draw", crowd.LATE)
    tasks = [asyncio.create_task(drawing.ainvoke(f"{kinds[number % 4]} {number}")) for number in range(count)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    cancelled = [task for task in tasks[1::2] if not task.done()]
    for task in cancelled:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.get_running_loop().shutdown_default_executor()  # waits for threads that are still writing

    assert all(task.cancelled() for task in cancelled)
    assert len(cancelled) >= count // 4  # at least those that wait for the service
    return [task.result() for task in tasks[::2]]


@pytest.mark.parametrize("size", [SMALL, 2 * MB], ids=["20-KB", "2-MB"])
async def test_cancelled_drawings_leave_nothing(make: Make, image_store: ImageStore, size: int):
    """If half of the drawings are cancelled, the others finish, and no handle and no unfinished file is left."""
    drawing = make(size, latency=20)
    await drawing.abatch([f"draw {number}" for number in range(8)])
    await drawing.aclose()
    before = count_handles()

    results = await cancel_half(drawing, 64)
    await drawing.aclose()

    assert digests(results) == [digest(number, size) for number in range(0, 64, 2)]
    assert not files(image_store)["unfinished"]
    del results
    assert count_handles() <= before


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1], ids=lambda moment: f"{moment * 1000:.0f}-ms")
async def test_a_picture_cancelled_at_any_moment_leaves_no_file(make: Make, image_store: ImageStore, moment: float):
    """A drawing that is cancelled before, while or after its picture arrives leaves no unfinished file."""
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


async def test_first_requests_are_sent_before_the_last_calls_start(service: crowd.Crowd, make: Make):
    """Of 64 calls at once, the first request is sent before half of the calls have started."""
    events: list[str] = []

    async def trace(name: str, _: object) -> None:
        if name == "http11.send_request_body.complete":
            events.append("sent")

    async def add_trace(request: httpx2.Request) -> None:
        request.extensions["trace"] = trace

    class StartRecorder(AsyncCallbackHandler):
        async def on_chain_start(self, *_: Any, **__: Any) -> None:
            events.append("started")

    settings = {"base_url": service.base_url(SMALL), "api_key": "none"}
    http_client = DefaultAsyncHttpxClient(event_hooks={"request": [add_trace]})
    async with AsyncOpenAI(**settings, http_client=http_client) as async_client:
        with OpenAI(**settings) as client:
            drawing = make(client=client, async_client=async_client)
            await drawing.ainvoke("draw 0")  # loads modules
            events.clear()
            config: RunnableConfig = {"callbacks": [StartRecorder()]}
            await asyncio.gather(*(drawing.ainvoke(f"draw {number}", config) for number in range(64)))

    assert events.count("started") == events.count("sent") == 64
    assert events.index("sent") < 32


# --- the SDK's client for aiohttp


@pytest.fixture
async def over_aiohttp(service: crowd.Crowd, make: Make) -> AsyncIterator[Make]:
    """Yield a function that makes generators whose async client is over the SDK's `DefaultAioHttpClient`."""
    pytest.importorskip("aiohttp", reason="needs openai[aiohttp]")
    async with AsyncExitStack() as clients:

        async def make_over_aiohttp(size: int = SMALL, latency: int = 0) -> ImageGenerator:
            settings = {"base_url": service.base_url(size, latency), "api_key": "none"}
            client = await clients.enter_async_context(AsyncOpenAI(**settings, http_client=DefaultAioHttpClient()))
            return make(client=clients.enter_context(OpenAI(**settings)), async_client=client)

        yield make_over_aiohttp


async def test_faults_over_aiohttp_are_the_same_errors(over_aiohttp: Make, image_store: ImageStore):
    """Over aiohttp, each cut body, rate limit and refusal is the same error in its own place, and leaves no file."""
    drawing = await over_aiohttp()
    prompts = [f"{crowd.KINDS[number % 4]} {number}" for number in range(200)]

    results = await drawing.abatch(prompts, AT_ONCE, return_exceptions=True)

    assert [type(result) for result in results] == [FAULTS[prompt.split()[0]] for prompt in prompts]
    assert files(image_store) == {"whole": sorted(digest(number) for number in range(0, 200, 4)), "unfinished": []}


async def test_cancelled_drawings_over_aiohttp_leave_nothing(over_aiohttp: Make, image_store: ImageStore):
    """Over aiohttp, if half of the drawings are cancelled, the others finish, and no unfinished file is left."""
    drawing = await over_aiohttp(2 * MB, latency=20)

    results = await cancel_half(drawing, 32)

    assert digests(results) == [digest(number, 2 * MB) for number in range(0, 32, 2)]
    assert not files(image_store)["unfinished"]


async def test_streams_over_aiohttp(over_aiohttp: Make):
    """Over aiohttp, a stream ends with its picture."""
    drawing = await over_aiohttp()

    *_, result = [piece async for piece in drawing.astream("draw 7")]

    assert result.image.sha256 == digest(7)


# --- threads and event loops


def run_in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """Run `work` in `count` threads that start together, and return its values."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def numbers_of(thread: int) -> list[int]:
    """Return the numbers of the pictures that a thread draws."""
    return [thread * 10 + number for number in range(10)]


def test_one_generator_in_eight_threads(make: Make, image_store: ImageStore):
    """Threads that share a generator get their own pictures, and closing it leaves no handle open."""
    drawing = make()

    def work(thread: int) -> list[str]:
        return digests([drawing.invoke(f"draw {number}") for number in numbers_of(thread)])

    run_in_threads(work, 8)
    drawing.close()
    before = count_handles()
    drawn = run_in_threads(work, 8)
    drawing.close()

    assert drawn == [[digest(number) for number in numbers_of(thread)] for thread in range(8)]
    assert count_handles() <= before
    assert not files(image_store)["unfinished"]


async def adraw_all(drawing: ImageGenerator, thread: int) -> list[str]:
    """Draw a thread's pictures at once, close the event loop's connections, and return the digests."""
    results = await asyncio.gather(*(drawing.ainvoke(f"draw {number}") for number in numbers_of(thread)))
    await drawing.aclose()
    return digests(results)


@pytest.mark.parametrize("threads", [1, 8], ids=["in-sequence", "in-parallel"])
def test_one_generator_in_many_event_loops(make: Make, image_store: ImageStore, threads: int):
    """A generator works in consecutive and parallel event loops, each with its own connections."""
    drawing = make()

    def work(thread: int) -> list[list[str]]:
        return [asyncio.run(adraw_all(drawing, thread)) for _ in range(3)]

    run_in_threads(work, threads)
    before = count_handles()
    drawn = run_in_threads(work, threads)

    assert drawn == [[[digest(number) for number in numbers_of(thread)]] * 3 for thread in range(threads)]
    assert count_handles() <= before
    assert not files(image_store)["unfinished"]


def test_sync_and_async_calls_at_once(make: Make):
    """A generator works for sync calls and for event loops in other threads at the same time."""
    drawing = make()

    def work(thread: int) -> list[str]:
        if thread % 2:
            return asyncio.run(adraw_all(drawing, thread))
        return digests(drawing.batch([f"draw {number}" for number in numbers_of(thread)]))

    drawn = run_in_threads(work, 6)

    assert drawn == [[digest(number) for number in numbers_of(thread)] for thread in range(6)]


# --- the disk and the event loop


class FileWatch:
    """Records in which thread the files of a folder are opened, created, renamed and removed.

    Python's audit hooks cannot be removed, so that one hook serves all tests and does nothing between them.
    """

    EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.utime", "os.truncate"})

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[tuple[str, int]] = []
        sys.addaudithook(self._record)

    def _record(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None or event not in self.EVENTS:
            return
        if isinstance(args[0], (str, os.PathLike)) and os.fspath(args[0]).startswith(self.folder):
            self.seen.append((event, threading.get_ident()))

    @contextmanager
    def watching(self, folder: str) -> Iterator[list[tuple[str, int]]]:
        """Yield a list that receives each event below the folder, with its thread, until the block ends."""
        self.folder, self.seen = folder, []
        try:
            yield self.seen
        finally:
            self.folder = None


@pytest.fixture(scope="module")
def watch() -> FileWatch:
    """Return the one hook of this process."""
    return FileWatch()


async def adraw(method: str, drawing: ImageGenerator, prompt: str) -> ImageResult:
    """Draw with `ainvoke` or `astream`, and return the result."""
    if method == "ainvoke":
        return await drawing.ainvoke(prompt)
    return [piece async for piece in drawing.astream(prompt)][-1]


@pytest.mark.parametrize("size", [SMALL, 12 * MB], ids=["20-KB", "12-MB"])
@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_the_event_loop_touches_no_file(
    make: Make, image_store: ImageStore, watch: FileWatch, method: str, size: int
):
    """Files are opened, renamed and removed in other threads than the event loop's, also after a cut answer."""
    drawing = make(size)

    with watch.watching(image_store.location) as seen:
        result = await adraw(method, drawing, "draw 1")
        with pytest.raises(ConnectionLostError):
            await adraw(method, drawing, "cut 2")
    await drawing.aclose()

    assert result.image.sha256 == digest(1, size)
    assert {"open", "os.rename"} <= {event for event, _ in seen}
    assert not [event for event, thread in seen if thread == threading.get_ident()]


async def test_an_upload_touches_no_file_in_the_event_loop(make: Make, image_store: ImageStore, watch: FileWatch):
    """A source given as bytes is written to the store and read for the request in other threads."""
    drawing = make(check_options=False)

    expected = pytest.raises(ConnectionLostError)  # this service closes the connection unless the input is a text
    with watch.watching(image_store.location) as seen, expected:
        await drawing.ainvoke("draw 1", images=[crowd.picture(SMALL, 2)])
    await drawing.aclose()

    assert {"open", "os.rename"} <= {event for event, _ in seen}
    assert not [event for event, thread in seen if thread == threading.get_ident()]


class SlowFileSystem(MemoryFileSystem):
    """A file system that takes 50 ms to write an object, and records the thread."""

    protocol = "slow"
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec shares objects like this
    threads: list[int] = []  # noqa: RUF012

    def pipe_file(self, path: str, value: bytes, **settings: Any) -> None:
        """Write one object."""
        self.threads.append(threading.get_ident())
        time.sleep(0.05)
        super().pipe_file(path, value, **settings)


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_the_event_loop_waits_for_no_bucket(make: Make, method: str):
    """A bucket's blocking driver runs in another thread than the event loop's."""
    fsspec.register_implementation("slow", SlowFileSystem, clobber=True)
    SlowFileSystem.threads.clear()
    drawing = make(image_store=ImageStore("slow://pictures"))

    result = await adraw(method, drawing, "draw 1")
    await drawing.aclose()

    assert result.image.sha256 == digest(1)
    assert SlowFileSystem.threads
    assert threading.get_ident() not in SlowFileSystem.threads


# --- memory


@pytest.mark.parametrize(
    ("count", "size", "most"), [(64, 2 * MB, 0.6), (8, 12 * MB, 0.1)], ids=["64-of-2-MB", "8-of-12-MB"]
)
async def test_many_pictures_into_files_need_little_memory(make: Make, count: int, size: int, most: float):
    """Pictures that arrive together pass into files with peak memory far below their total size."""
    drawing = make(size, latency=200)
    prompts = [f"draw {number}" for number in range(count)]
    await drawing.abatch(prompts)
    gc.collect()

    tracemalloc.start()
    results = await asyncio.gather(*map(drawing.ainvoke, prompts))
    peak = tracemalloc.get_traced_memory()[1]  # of each picture one read, and two copies of it in the HTTP library
    tracemalloc.stop()
    await drawing.aclose()

    assert len(results) == count
    assert peak <= most * count * size


# a stream does not tell the picture's length, so its buffer grows by an eighth at a time
@pytest.mark.parametrize(("delivery", "most"), [("direct", 1.15), ("stream", 1.25)], ids=["direct", "stream"])
def test_a_picture_in_memory_is_held_once(half: Any, make: Make, delivery: str, most: float):
    """A picture of 12 MB in a memory store needs 12 MB and at most a quarter more."""
    drawing = make(12 * MB, image_store=ImageStore("memory://there-once"), delivery=delivery)
    draw_all(half, drawing, ["draw 1"])
    MemoryFileSystem.store.clear()
    gc.collect()

    tracemalloc.start()
    [result] = draw_all(half, drawing, ["draw 1"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    MemoryFileSystem.store.clear()

    assert result.image.sha256 == digest(1, 12 * MB)
    assert peak <= most * 12 * MB
