"""Generators across forks and threads: each caller gets its own pictures, even while others fork or close."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from langchain_imagegen import ImageGenerator
from langchain_imagegen.errors import ImageGenerationError, OptionError
from langchain_imagegen.simulator import Simulator

Make = Callable[..., ImageGenerator]

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # these tests fork a process that has threads
]


def prompts_drawn(drawing: ImageGenerator, half: str, prompts: list[str]) -> list[str]:
    """Draw each prompt and return the prompts that the service says it drew."""
    if half == "sync":
        return [prompt_of(drawing.invoke(prompt)) for prompt in prompts]

    async def draw_all() -> list[str]:
        prompts_back = [prompt_of(await drawing.ainvoke(prompt)) for prompt in prompts]
        await drawing.aclose()
        return prompts_back

    return asyncio.run(draw_all())


def prompt_of(result: Any) -> str:
    """Return the prompt that the service says it drew."""
    return str(result.image.revised_prompt).removeprefix("A simulated picture: ")


def fork_child(work: Callable[[], bool]) -> int:
    """Fork a child that exits with 0 if `work` returns True, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    except BaseException:  # noqa: BLE001 - a child must never return into the test
        os._exit(2)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_forked_process_gets_its_own_pictures(mode: str, low: Make):
    """If three forked children and their parent draw at the same time, each gets the pictures for its own prompts."""
    drawing = low()
    drawing.invoke("draw a warm stone")

    def got_own_pictures(name: str) -> bool:
        prompts = [f"draw {name} {n}" for n in range(4)]
        return prompts_drawn(drawing, mode, prompts) == prompts

    children = [fork_child(lambda name=name: got_own_pictures(name)) for name in ("a fox", "an owl", "a cat")]
    parent_got_own = got_own_pictures("a dog")

    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert parent_got_own


def test_a_given_client_after_a_fork(simulator: Simulator, image_store: Any):
    """In a forked child, a given SDK client gets new connections, and one with its own HTTP client is refused."""
    with openai.OpenAI(base_url=simulator.base_url, api_key="mine") as client:
        drawing = ImageGenerator(client=client, image_store=image_store)
        drawing.invoke("draw a warm stone")
        child = fork_child(lambda: prompt_of(drawing.invoke("draw a fox")) == "draw a fox")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        own = client.with_options(http_client=openai.DefaultHttpxClient())
        other = ImageGenerator(client=own, image_store=image_store)
        child = fork_child(lambda: _refuses(other))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        own.close()


def _refuses(drawing: ImageGenerator) -> bool:
    try:
        drawing.invoke("draw a fox")
    except OptionError as error:
        return "after the fork" in str(error)
    return False


def test_a_lock_held_during_a_fork_does_not_hang_the_child(low: Make):
    """A forked child draws even if the lock for making clients was held during the fork."""
    drawing = low()
    with drawing._transport._here().making:
        child = fork_child(lambda: prompt_of(drawing.invoke("draw a fox")) == "draw a fox")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_close_does_not_break_calls_of_other_threads(low: Make, simulator: Simulator):
    """Calls that run while `close` is called finish, and later calls open new connections."""
    drawing = low()
    finished = threading.Event()

    def close_repeatedly() -> None:
        while not finished.wait(0.005):
            drawing.close()

    closer = threading.Thread(target=close_repeatedly)
    closer.start()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(drawing.invoke, [f"draw fox {n}" for n in range(24)]))
    finished.set()
    closer.join()

    assert [prompt_of(result) for result in results] == [f"draw fox {n}" for n in range(24)]


async def test_aclose_does_not_break_calls_of_the_event_loop(low: Make):
    """Async calls that run while `aclose` is called finish, and later calls open new connections."""
    drawing = low()
    calls = [asyncio.create_task(drawing.ainvoke(f"draw fox {n}")) for n in range(12)]
    while not all(call.done() for call in calls):
        await drawing.aclose()
        await asyncio.sleep(0.005)
    await drawing.aclose()

    assert [prompt_of(call.result()) for call in calls] == [f"draw fox {n}" for n in range(12)]


def test_a_closed_client_raises_our_error(half: Any, simulator: Simulator, image_store: Any):
    """A client that was closed raises an `ImageGenerationError` that does not mention billing."""
    make = openai.OpenAI if half.name == "sync" else openai.AsyncOpenAI
    client = make(base_url=simulator.base_url, api_key="mine")
    half.wait(client.close) if half.name == "async" else client.close()
    field = "client" if half.name == "sync" else "async_client"

    with pytest.raises(ImageGenerationError, match="closed before the request was sent") as caught:
        half.invoke(ImageGenerator(**{field: client}, image_store=image_store, max_retries=0), "draw a fox")
    assert "billed" not in str(caught.value)
    assert simulator.requests == []
