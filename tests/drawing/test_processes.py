"""Generators in several processes and threads: each gets its own pictures, whoever forks or closes."""

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
    pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes can be forked"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # to fork beside threads is what is tested
]


def prompts_drawn(drawing: ImageGenerator, half: str, prompts: list[str]) -> list[str]:
    """The prompts that the service says it drew, one for each that it was given."""
    if half == "sync":
        return [drawn(drawing.invoke(prompt)) for prompt in prompts]

    async def all_of_them() -> list[str]:
        found = [drawn(await drawing.ainvoke(prompt)) for prompt in prompts]
        await drawing.aclose()
        return found

    return asyncio.run(all_of_them())


def drawn(result: Any) -> str:
    """The prompt as the service revised it."""
    return str(result.image.revised_prompt).removeprefix("A simulated picture: ")


def in_child(work: Callable[[], bool]) -> int:
    """Fork a child that does the work; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(0 if work() else 1)
    except BaseException:  # noqa: BLE001 - a child must never return into the test
        os._exit(2)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_forked_process_gets_its_own_pictures(mode: str, low: Make):
    """Three children and their parent draw at once after the parent's first call; each gets what it asked for."""
    drawing = low()
    drawing.invoke("draw a warm stone")

    def right(name: str) -> bool:
        prompts = [f"draw {name} {n}" for n in range(4)]
        return prompts_drawn(drawing, mode, prompts) == prompts

    children = [in_child(lambda name=name: right(name)) for name in ("a fox", "an owl", "a cat")]
    mine = right("a dog")

    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert mine


def test_a_client_that_was_given_is_not_shared_with_a_forked_process(simulator: Simulator, image_store: Any):
    """A default client of the SDK gets connections of its own; one over an HTTP client of one's own is refused."""
    with openai.OpenAI(base_url=simulator.base_url, api_key="mine") as client:
        drawing = ImageGenerator(client=client, image_store=image_store)
        drawing.invoke("draw a warm stone")
        fine = in_child(lambda: drawn(drawing.invoke("draw a fox")) == "draw a fox")
        assert os.waitstatus_to_exitcode(os.waitpid(fine, 0)[1]) == 0

        own = client.with_options(http_client=openai.DefaultHttpxClient())
        other = ImageGenerator(client=own, image_store=image_store)
        refused = in_child(lambda: _refuses(other))
        assert os.waitstatus_to_exitcode(os.waitpid(refused, 0)[1]) == 0
        own.close()


def _refuses(drawing: ImageGenerator) -> bool:
    try:
        drawing.invoke("draw a fox")
    except OptionError as error:
        return "after the fork" in str(error)
    return False


def test_a_lock_that_a_thread_held_does_not_hang_a_forked_process(low: Make):
    """A child draws although another thread of its parent was making a client during the fork."""
    drawing = low()
    with drawing._transport._here().making:
        child = in_child(lambda: drawn(drawing.invoke("draw a fox")) == "draw a fox")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_loses_no_call_of_other_threads(low: Make, simulator: Simulator):
    """Calls under way when `close` is called finish, and later ones open new connections."""
    drawing = low()
    done = threading.Event()

    def close_again_and_again() -> None:
        while not done.wait(0.005):
            drawing.close()

    closer = threading.Thread(target=close_again_and_again)
    closer.start()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(drawing.invoke, [f"draw fox {n}" for n in range(24)]))
    done.set()
    closer.join()

    assert [drawn(result) for result in results] == [f"draw fox {n}" for n in range(24)]


async def test_closing_loses_no_other_call_of_the_event_loop(low: Make):
    """The async half keeps its calls as well."""
    drawing = low()
    calls = [asyncio.create_task(drawing.ainvoke(f"draw fox {n}")) for n in range(12)]
    while not all(call.done() for call in calls):
        await drawing.aclose()
        await asyncio.sleep(0.005)
    await drawing.aclose()

    assert [drawn(call.result()) for call in calls] == [f"draw fox {n}" for n in range(12)]


def test_a_given_client_that_was_closed_is_our_error(half: Any, simulator: Simulator, image_store: Any):
    """A closed client is told as one of our errors, and nothing is said to be billed."""
    make = openai.OpenAI if half.name == "sync" else openai.AsyncOpenAI
    client = make(base_url=simulator.base_url, api_key="mine")
    half.wait(client.close) if half.name == "async" else client.close()
    field = "client" if half.name == "sync" else "async_client"

    with pytest.raises(ImageGenerationError, match="closed before the request was sent") as caught:
        half.invoke(ImageGenerator(**{field: client}, image_store=image_store, max_retries=0), "draw a fox")
    assert "billed" not in str(caught.value)
    assert simulator.requests == []
