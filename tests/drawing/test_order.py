"""A memory keeps pictures in the order of their calls, whichever of them finishes first."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnableParallel

from langchain_imagegen import ImageGenerator, ImageMemory
from langchain_imagegen.conversation.order import CallOrder
from langchain_imagegen.simulator import Simulator, delay

Make = Callable[..., ImageGenerator]
PROMPTS = [f"Draw {n}" for n in range(6)]


@pytest.fixture
def slow_first(simulator: Simulator) -> Simulator:
    """Return a simulator whose first requests take longest."""
    simulator.script(*[delay(pause) for pause in (0.4, 0.3, 0.2, 0.1)])
    return simulator


def prompts(memory: ImageMemory | None) -> list[str | None]:
    """Return the prompts of a memory's images, in its order."""
    return [image.prompt for image in memory or ()]


def test_a_batch_keeps_the_order_of_its_inputs(half: Any, low: Make, slow_first: Simulator):
    """After `batch` or `abatch`, the memory has the order of the inputs, although the first picture was late."""
    drawing = low(memory=ImageMemory())

    half.batch(drawing, PROMPTS)

    assert prompts(drawing.memory) == PROMPTS


def test_batch_as_completed_keeps_the_order_of_its_inputs(low: Make, slow_first: Simulator):
    """`batch_as_completed` pairs each result with its input, and the memory has the order of the inputs."""
    drawing = low(memory=ImageMemory())

    results = dict(drawing.batch_as_completed(PROMPTS))

    assert [results[n].image.prompt for n in range(6)] == prompts(drawing.memory) == PROMPTS


async def test_abatch_as_completed_keeps_the_order_of_its_inputs(low: Make, slow_first: Simulator):
    """After `abatch_as_completed`, the memory has the order of the inputs."""
    drawing = low(memory=ImageMemory())

    found = [pair async for pair in drawing.abatch_as_completed(PROMPTS)]
    await drawing.aclose()

    assert len(found) == 6
    assert prompts(drawing.memory) == PROMPTS


async def test_parallel_calls_keep_their_order(low: Make, slow_first: Simulator):
    """After parallel calls of `ainvoke`, the memory has the order of the calls."""
    drawing = low(memory=ImageMemory())

    await asyncio.gather(*(drawing.ainvoke(prompt) for prompt in PROMPTS))
    await drawing.aclose()

    assert prompts(drawing.memory) == PROMPTS


def test_parallel_branches_keep_their_order(half: Any, low: Make, slow_first: Simulator):
    """After a `RunnableParallel`, the memory has the order of the branches."""
    drawing = low(memory=ImageMemory())
    later = RunnableLambda(lambda prompt: time.sleep(0.05) or f"{prompt} at night")  # type: ignore[func-returns-value]

    half.invoke(RunnableParallel(day=drawing, night=later | drawing), "Draw a fox")

    assert prompts(drawing.memory) == ["Draw a fox", "Draw a fox at night"]


def test_a_finished_picture_is_available_before_earlier_ones(low: Make):
    """A finished picture is in the memory at once, and an earlier call's picture is later put before it."""
    memory = ImageMemory()
    first, second = memory.reserve(), memory.reserve()
    fox, owl = low().batch(["Draw a fox", "Draw an owl"])

    memory.add(owl, place=second)
    assert memory.get("last").id == owl.image.id
    memory.add(fox, place=first)

    assert [image.id for image in memory] == [fox.image.id, owl.image.id]


def test_call_order():
    """`CallOrder` lists ids in the order of the calls, in whatever order the calls finish."""
    for seed in range(50):
        order = CallOrder()
        places = [order.reserve() for _ in range(20)]
        shuffled = random.Random(seed).sample(places, k=20)
        for place in shuffled:
            order.put(f"{place}", place)

        assert list(order) == [str(place) for place in places]
