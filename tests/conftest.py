"""Fixtures that many test files use."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator, ImageResult, ImageStore, PartialImage
from langchain_imagegen.simulator import Simulator
from tests import crowd, sdk


@pytest.hookimpl(optionalhook=True)  # the environment of LangChain's own tests has no xdist
def pytest_xdist_auto_num_workers() -> int:
    """Return twice the number of cores for `-n auto`: tests wait for simulated services as long as they work."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Leave what stays until the end, modules and thousands of tests, out of each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Undo it, since plugins look for what refers to their objects."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the default image store in the test's folder, unset keys and addresses, and return that folder."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # loopback needs no certificates, and loading them takes 20 ms
    folder = tmp_path / "default-images"
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(folder))
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` here and in child processes; the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a started simulator of the test's own."""
    with Simulator() as started:
        yield started


@pytest.fixture(scope="session")
def service() -> Iterator[crowd.Crowd]:
    """Yield a stateless service in a process of its own, for many requests at once."""
    with crowd.serving() as started:
        yield started


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """Yield storage options for an S3 server on loopback with a bucket `pictures`, one for all tests."""
    from tests.s3 import serving

    with serving() as options:
        yield options


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Yield the address of a PostgreSQL server with an empty database, one for all tests."""
    from tests.postgres import serving

    with serving() as address:
        yield address


@pytest.fixture
def image_store(tmp_path: Path) -> ImageStore:
    """Return an image store in a folder of the test's own."""
    return ImageStore(str(tmp_path / "images"))


@pytest.fixture
def generators() -> Iterator[list[ImageGenerator]]:
    """Yield a list for the generators of the test, and close them after it."""
    opened: list[ImageGenerator] = []
    yield opened
    for drawing in opened:
        drawing.close()


@pytest.fixture
def generator(
    simulator: Simulator, image_store: ImageStore, generators: list[ImageGenerator]
) -> Callable[..., ImageGenerator]:
    """Return a function that makes generators for the simulator and `image_store`; its settings override these."""

    def make(**settings: Any) -> ImageGenerator:
        defaults = {"base_url": simulator.base_url, "api_key": "simulated", "image_store": image_store, "timeout": 20.0}
        generators.append(ImageGenerator(**{**defaults, **settings}))
        return generators[-1]

    return make


@pytest.fixture
def low(generator: Callable[..., ImageGenerator]) -> Callable[..., ImageGenerator]:
    """Return a function that makes generators of small, low-quality pictures, which are quick to draw."""
    return partial(generator, options={"size": "816x816", "quality": "low"})


class Sync:
    """Calls the sync methods of a runnable."""

    name = "sync"

    def invoke(self, runnable: Any, input: Any, **fields: Any) -> Any:
        """Return the value of `invoke`."""
        return runnable.invoke(input, **fields)

    def stream(self, runnable: Any, input: Any, **fields: Any) -> list[Any]:
        """Return what `stream` yields."""
        return list(runnable.stream(input, **fields))

    def batch(self, runnable: Any, inputs: list[Any], **fields: Any) -> list[Any]:
        """Return the value of `batch`."""
        return runnable.batch(inputs, **fields)

    def call(self, generator: ImageGenerator, name: str, *args: Any) -> Any:
        """Return the value of the method `name`."""
        return getattr(generator, name)(*args)

    def close(self, generator: ImageGenerator) -> None:
        """Close the generator's connections."""
        generator.close()

    def wait(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the value of an async function."""
        return asyncio.run(function(*args))


class Async:
    """Calls the async methods of a runnable, in one event loop for each test."""

    name = "async"

    def __init__(self, run: Callable[[Awaitable[Any]], Any]) -> None:
        self._run = run

    def invoke(self, runnable: Any, input: Any, **fields: Any) -> Any:
        """Return the value of `ainvoke`."""
        return self._run(runnable.ainvoke(input, **fields))

    def stream(self, runnable: Any, input: Any, **fields: Any) -> list[Any]:
        """Return what `astream` yields."""

        async def collect() -> list[Any]:
            return [piece async for piece in runnable.astream(input, **fields)]

        return self._run(collect())

    def batch(self, runnable: Any, inputs: list[Any], **fields: Any) -> list[Any]:
        """Return the value of `abatch`."""
        return self._run(runnable.abatch(inputs, **fields))

    def call(self, generator: ImageGenerator, name: str, *args: Any) -> Any:
        """Return the value of the async twin of the method `name`."""
        return self._run(getattr(generator, f"a{name}")(*args))

    def close(self, generator: ImageGenerator) -> None:
        """Close the generator's connections."""
        self._run(generator.aclose())

    def wait(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the value of an async function, run in the test's event loop."""
        return self._run(function(*args))


@pytest.fixture(params=["sync", "async"])
def half(request: pytest.FixtureRequest, generators: list[ImageGenerator]) -> Iterator[Sync | Async]:
    """Yield the sync half and then the async half, so that one test covers both."""
    if request.param == "sync":
        yield Sync()
        return
    loop = asyncio.new_event_loop()
    yield Async(loop.run_until_complete)
    loop.run_until_complete(_close(generators))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _close(generators: list[ImageGenerator]) -> None:
    """Close the connections that belong to the running event loop; no other loop can close them."""
    for drawing in generators:
        await drawing.aclose()


@pytest.fixture
def talks(half: Sync | Async, simulator: Simulator, tmp_path: Path) -> Iterator[Any]:
    """Yield a factory of conversations with agents that draw with the hosted tool: `talks.start(middleware)`."""
    from tests.conversations import Talks

    started = Talks(half, simulator, tmp_path)
    yield started
    started.close()


@pytest.fixture
def draw(half: Sync | Async, generator: Callable[..., ImageGenerator]) -> Callable[..., ImageResult]:
    """Return a function that draws with default settings, sync or async: `draw("a fox", images=[…])`."""
    return partial(half.invoke, generator())


@pytest.fixture
def stream(
    half: Sync | Async, generator: Callable[..., ImageGenerator]
) -> Callable[..., list[PartialImage | ImageResult]]:
    """Return a function that streams with default settings, sync or async, and returns what came."""
    return partial(half.stream, generator())


@pytest.fixture(params=["sync", "async"])
def call(simulator: Simulator, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function that calls a method of the unmodified SDK client, sync or async; streams come as lists."""

    def send(name: str, *, key: str = "sk-a", **fields: Any) -> Any:
        if request.param == "sync":
            return sdk.send(simulator.base_url, key, name, **fields)
        return asyncio.run(sdk.asend(simulator.base_url, key, name, **fields))

    return send


@pytest.fixture
def ask(simulator: Simulator) -> Callable[..., Any]:
    """Return a function that sends one response request with the unmodified SDK, with the image tool by default."""

    def send(given: Any = "Draw a fox", *, key: str = "sk-a", **fields: Any) -> Any:
        request = {"model": "gpt-5", "tools": [sdk.TOOL], "input": given, **fields}
        return sdk.send(simulator.base_url, key, "responses.create", **request)

    return send
