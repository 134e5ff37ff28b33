"""A memory remembers pictures in the order in which they were asked for, whichever is finished first."""

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
def late(simulator: Simulator) -> Simulator:
    """A simulator whose first requests take longest."""
    simulator.script(*[delay(pause) for pause in (0.4, 0.3, 0.2, 0.1)])
    return simulator


def prompts(memory: ImageMemory | None) -> list[str | None]:
    """The prompts of a memory's images, in its order."""
    return [image.prompt for image in memory or ()]


def test_a_batch_is_remembered_in_the_order_of_its_inputs(half: Any, low: Make, late: Simulator):
    """After `batch` or `abatch` the ordinal "1" is the first input's picture, though it was finished last."""
    drawing = low(memory=ImageMemory())

    half.batch(drawing, PROMPTS)

    assert prompts(drawing.memory) == PROMPTS


def test_a_batch_as_completed_is_remembered_in_the_order_of_its_inputs(low: Make, late: Simulator):
    """Results come as they are finished, and are remembered as they were asked for."""
    drawing = low(memory=ImageMemory())

    results = dict(drawing.batch_as_completed(PROMPTS))

    assert [results[n].image.prompt for n in range(6)] == prompts(drawing.memory) == PROMPTS


async def test_an_async_batch_as_completed_is_remembered_in_order(low: Make, late: Simulator):
    """The async half keeps the order as well."""
    drawing = low(memory=ImageMemory())

    found = [pair async for pair in drawing.abatch_as_completed(PROMPTS)]
    await drawing.aclose()

    assert len(found) == 6
    assert prompts(drawing.memory) == PROMPTS


async def test_parallel_calls_are_remembered_in_the_order_of_the_calls(low: Make, late: Simulator):
    """Of calls that run at once, the one that was called first stands first."""
    drawing = low(memory=ImageMemory())

    await asyncio.gather(*(drawing.ainvoke(prompt) for prompt in PROMPTS))
    await drawing.aclose()

    assert prompts(drawing.memory) == PROMPTS


def test_parallel_branches_are_remembered_in_the_order_of_the_branches(half: Any, low: Make, late: Simulator):
    """Two branches of a chain stand in the memory as they stand in the chain."""
    drawing = low(memory=ImageMemory())
    later = RunnableLambda(lambda prompt: time.sleep(0.05) or f"{prompt} at night")  # type: ignore[func-returns-value]

    half.invoke(RunnableParallel(day=drawing, night=later | drawing), "Draw a fox")

    assert prompts(drawing.memory) == ["Draw a fox", "Draw a fox at night"]


def test_what_is_finished_can_be_named_while_others_are_drawn(low: Make):
    """A picture is in the memory as soon as it is there: its place is kept for the one before it."""
    memory = ImageMemory()
    first, second = memory.reserve(), memory.reserve()
    fox, owl = low().batch(["Draw a fox", "Draw an owl"])

    memory.add(owl, place=second)
    assert memory.get("last").id == owl.image.id
    memory.add(fox, place=first)

    assert [image.id for image in memory] == [fox.image.id, owl.image.id]


def test_any_order_of_ends_gives_the_order_of_calls():
    """Whatever the order in which calls end, their ids are in the order of the calls."""
    for seed in range(50):
        order = CallOrder()
        places = [order.reserve() for _ in range(20)]
        shuffled = random.Random(seed).sample(places, k=20)
        for place in shuffled:
            order.put(f"{place}", place)

        assert list(order) == [str(place) for place in places]
