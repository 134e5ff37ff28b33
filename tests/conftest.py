"""Fixtures that many test files share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from langchain_imagegen import ImageGenerator, ImageResult, ImageStore, PartialImage
from langchain_imagegen.simulator import Simulator
from tests import crowd, sdk


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default image store lies in the test's folder, and no key or address comes from outside."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # on loopback no certificate is read, which takes 20 ms a client
    folder = tmp_path / "default-images"
    monkeypatch.setenv("LANGCHAIN_IMAGEGEN_STORE", str(folder))
    return folder


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A started simulator, one for each test."""
    with Simulator() as started:
        yield started


@pytest.fixture(scope="session")
def service() -> Iterator[crowd.Crowd]:
    """A service in a process of its own, for many requests at once; one for all tests, since it keeps nothing."""
    with crowd.serving() as started:
        yield started


@pytest.fixture
def image_store(tmp_path: Path) -> ImageStore:
    """An image store in a folder of the test's own."""
    return ImageStore(str(tmp_path / "images"))


@pytest.fixture
def made() -> Iterator[list[ImageGenerator]]:
    """The generators that the test made; their connections are closed after it."""
    generators: list[ImageGenerator] = []
    yield generators
    for drawing in generators:
        drawing.close()


@pytest.fixture
def generator(
    simulator: Simulator, image_store: ImageStore, made: list[ImageGenerator]
) -> Callable[..., ImageGenerator]:
    """Makes generators that draw at the simulator into `image_store`; settings of the call come first."""

    def make(**settings: Any) -> ImageGenerator:
        here = {"base_url": simulator.base_url, "api_key": "simulated", "image_store": image_store, "timeout": 20.0}
        made.append(ImageGenerator(**{**here, **settings}))
        return made[-1]

    return make


@pytest.fixture
def low(generator: Callable[..., ImageGenerator]) -> Callable[..., ImageGenerator]:
    """Makes generators like `generator`, of small and fast pictures."""
    return partial(generator, options={"size": "816x816", "quality": "low"})


class Sync:
    """The half of a runnable that blocks."""

    name = "sync"

    def invoke(self, runnable: Any, input: Any, **fields: Any) -> Any:
        """What `invoke` gives."""
        return runnable.invoke(input, **fields)

    def stream(self, runnable: Any, input: Any, **fields: Any) -> list[Any]:
        """All that `stream` yields."""
        return list(runnable.stream(input, **fields))

    def batch(self, runnable: Any, inputs: list[Any], **fields: Any) -> list[Any]:
        """What `batch` gives."""
        return runnable.batch(inputs, **fields)

    def close(self, generator: ImageGenerator) -> None:
        """Close the connections."""
        generator.close()

    def wait(self, function: Callable[..., Any], *args: Any) -> Any:
        """What an async function gives."""
        return asyncio.run(function(*args))


class Async:
    """The half of a runnable that is awaited, in one event loop for each test."""

    name = "async"

    def __init__(self, run: Callable[[Awaitable[Any]], Any]) -> None:
        self._run = run

    def invoke(self, runnable: Any, input: Any, **fields: Any) -> Any:
        """What `ainvoke` gives."""
        return self._run(runnable.ainvoke(input, **fields))

    def stream(self, runnable: Any, input: Any, **fields: Any) -> list[Any]:
        """All that `astream` yields."""

        async def collect() -> list[Any]:
            return [piece async for piece in runnable.astream(input, **fields)]

        return self._run(collect())

    def batch(self, runnable: Any, inputs: list[Any], **fields: Any) -> list[Any]:
        """What `abatch` gives."""
        return self._run(runnable.abatch(inputs, **fields))

    def close(self, generator: ImageGenerator) -> None:
        """Close the connections."""
        self._run(generator.aclose())

    def wait(self, function: Callable[..., Any], *args: Any) -> Any:
        """What an async function gives, in the test's own event loop."""
        return self._run(function(*args))


@pytest.fixture(params=["sync", "async"])
def half(request: pytest.FixtureRequest, made: list[ImageGenerator]) -> Iterator[Sync | Async]:
    """Each half of a runnable in turn, so that no test is written twice."""
    if request.param == "sync":
        yield Sync()
        return
    loop = asyncio.new_event_loop()
    yield Async(loop.run_until_complete)
    loop.run_until_complete(_closed(made))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _closed(made: list[ImageGenerator]) -> None:
    """Close the connections of this event loop, which nothing else can do once it is gone."""
    for drawing in made:
        await drawing.aclose()


@pytest.fixture
def talks(half: Sync | Async, simulator: Simulator, tmp_path: Path) -> Iterator[Any]:
    """Makes conversations with agents that draw with the hosted tool: `talks.start(middleware)`."""
    from tests.conversations import Talks

    started = Talks(half, simulator, tmp_path)
    yield started
    started.close()


@pytest.fixture
def draw(half: Sync | Async, generator: Callable[..., ImageGenerator]) -> Callable[..., ImageResult]:
    """Draws with a generator of default settings, in each half: `draw("a fox", images=[…])`."""
    return partial(half.invoke, generator())


@pytest.fixture
def stream(
    half: Sync | Async, generator: Callable[..., ImageGenerator]
) -> Callable[..., list[PartialImage | ImageResult]]:
    """All that streaming with default settings yields, in each half."""
    return partial(half.stream, generator())


@pytest.fixture(params=["sync", "async"])
def call(simulator: Simulator, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a method of either unmodified SDK client by its name; streams come as lists."""

    def send(name: str, *, key: str = "sk-a", **fields: Any) -> Any:
        if request.param == "sync":
            return sdk.send(simulator.base_url, key, name, **fields)
        return asyncio.run(sdk.asend(simulator.base_url, key, name, **fields))

    return send


@pytest.fixture
def ask(simulator: Simulator) -> Callable[..., Any]:
    """Sends one response request with the unmodified SDK; the tool is there unless said otherwise."""

    def send(given: Any = "Draw a fox", *, key: str = "sk-a", **fields: Any) -> Any:
        request = {"model": "gpt-5", "tools": [sdk.TOOL], "input": given, **fields}
        return sdk.send(simulator.base_url, key, "responses.create", **request)

    return send
