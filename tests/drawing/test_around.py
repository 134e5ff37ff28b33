"""`around_image`: a function around every drawing, which changes the request, answers from elsewhere or refuses."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

from langchain_imagegen import ImageMemory, ImageRequest, PartialImage
from langchain_imagegen.errors import OptionError, UnknownImageError
from langchain_imagegen.simulator import Simulator
from tests.scripted import Spy


class PolicyError(Exception):
    """An error of somebody's own policy."""


class Around:
    """Remembers the requests that pass it; changes them if told to."""

    def __init__(self, **changes: Any) -> None:
        self.requests: list[ImageRequest] = []
        self.results: list[Any] = []
        self.changes = changes

    def __call__(self, request: Any, call: Any) -> Any:
        """Draw the changed request."""
        self.requests.append(request)
        self.results.append(call(request.override(**self.changes)))
        return self.results[-1]


class AsyncAround(Around):
    """The same as an async function."""

    async def __call__(self, request: Any, call: Any) -> Any:
        """Draw the changed request."""
        self.requests.append(request)
        self.results.append(await call(request.override(**self.changes)))
        return self.results[-1]


@pytest.fixture(params=[Around, AsyncAround], ids=["plain", "coroutine"])
def around(request, half):
    """Return a maker of functions around drawings; async ones serve async drawings alone."""
    if half.name == "sync" and request.param is AsyncAround:
        pytest.skip("an async function does not serve sync drawings")
    return request.param


@pytest.fixture
def slow():
    """Yield a service that takes half a second for a picture."""
    with Simulator(latency=0.5) as started:
        yield started


def last_tool(simulator: Any) -> dict[str, Any]:
    """Return the hosted tool of the last request."""
    return dict(simulator.requests[-1].body["tools"][0])


def test_it_changes_the_request(half, low, simulator, around):
    """The function sees the prompt with all options of the generator, and what it changes is sent."""
    hook = around(quality="medium", prompt="draw a red fox")
    result = half.invoke(low(around_image=hook), "draw a fox")

    assert hook.requests[0].prompt == "draw a fox"
    assert hook.requests[0].options.size == "816x816"
    assert (last_tool(simulator)["quality"], last_tool(simulator)["size"]) == ("medium", "816x816")
    assert result.image.prompt == "draw a red fox"
    assert result == hook.results[0]


def test_it_sees_every_way_of_drawing(half, low, simulator, around):
    """`invoke`, `stream` and `batch` all go through the function, and so does `draw.bind(…)`."""
    hook = around()
    draw = low(around_image=hook)
    half.invoke(draw, "draw a fox")
    half.stream(draw, "draw an owl")
    half.batch(draw, ["draw a bear", "draw a cat"])
    half.invoke(draw.bind(quality="high"), {"prompt": "draw a dog"})

    assert sorted(request.prompt.split()[-1] for request in hook.requests) == ["bear", "cat", "dog", "fox", "owl"]
    assert hook.requests[-1].options.quality == "high"
    assert simulator.pictures == 5


def test_partial_pictures_arrive_while_it_waits(half, low, slow, around):
    """A stream yields the partial pictures before the function has its result, and the result once."""
    seen: list[int] = []
    hook = around()
    draw = low(base_url=slow.base_url, around_image=hook, options={"size": "816x816", "partial_images": 2})
    if half.name == "sync":
        pieces = [(seen.append(len(hook.results)), piece)[1] for piece in draw.stream("draw a fox")]
    else:

        async def collect() -> list[Any]:
            return [(seen.append(len(hook.results)), piece)[1] async for piece in draw.astream("draw a fox")]

        pieces = half.wait(collect)

    assert [isinstance(piece, PartialImage) for piece in pieces[:2]] == [True, True]
    assert [isinstance(piece, PartialImage) for piece in pieces].count(False) == 1
    assert (seen[0], seen[-1]) == (0, 1)


def test_it_answers_from_elsewhere(half, low, simulator):
    """A result that the function returns without a call is the answer; nothing is sent, and the memory has it."""
    before = half.invoke(low(), "draw a fox")
    draw = low(around_image=lambda request, call: before, memory=ImageMemory())
    again = half.invoke(draw, "draw an owl")

    assert again.images == before.images
    assert list(draw.memory) == list(before.images)
    assert simulator.pictures == 1


def test_its_own_errors_are_raised(half, low, simulator):
    """Outside a chat model's tool call the caller gets the function's own error, and nothing is sent."""

    def refuse(request: Any, call: Any) -> Any:
        raise PolicyError("no foxes")

    with pytest.raises(PolicyError, match="no foxes"):
        half.invoke(low(around_image=refuse), "draw a fox")
    with pytest.raises(PolicyError, match="no foxes"):
        half.stream(low(around_image=refuse), "draw a fox")
    assert simulator.requests == []


def test_it_sees_the_errors_of_the_drawing(half, low, simulator):
    """An error of the drawing passes through the function, which may draw something else instead."""

    def instead(request: Any, call: Any) -> Any:
        try:
            return call(request)
        except UnknownImageError:
            return call(request.override(images=[]))

    result = half.invoke(low(around_image=instead), "draw a fox", images=["img_00000000"])

    assert result.image.parents == ()
    assert simulator.pictures == 1


def test_it_may_draw_twice(half, low, simulator):
    """Each call of the function buys a picture; the one that it returns is the result."""

    def larger(request: Any, call: Any) -> Any:
        return max((call(request), call(request.override(size="1024x1024"))), key=lambda result: result.image.width)

    assert half.invoke(low(around_image=larger), "draw a fox").image.width == 1024
    assert simulator.pictures == 2


def test_many_at_once(half, low, simulator):
    """Plain functions that wait in their own threads do not starve the drawings, however many there are."""
    draw = low(around_image=Around())
    prompts = [f"draw fox {number}" for number in range(40)]
    results = half.batch(draw, prompts, config={"max_concurrency": 40})

    assert [result.image.prompt for result in results] == prompts
    assert not [thread for thread in threading.enumerate() if thread.name == "imagegen-around" and not thread.daemon]


def test_a_nonsense_answer(half, low):
    """A function that returns no result is named in the error."""

    def forgets(request: Any, call: Any) -> Any:
        call(request)

    with pytest.raises(OptionError, match=r"around_image=.*forgets returned a NoneType"):
        half.invoke(low(around_image=forgets), "draw a fox")


def test_an_async_function_and_a_sync_drawing(low, simulator):
    """The error of a sync drawing with an async function says what to do, and nothing is sent."""
    with pytest.raises(OptionError, match="use ainvoke"):
        low(around_image=AsyncAround()).invoke("draw a fox")
    assert simulator.requests == []


def test_what_tracers_see(half, low, around):
    """A tracer sees the request as it was asked for and the result, without bytes of pictures."""
    spy = Spy()
    photo = half.invoke(low(), "draw a fox").image.read()
    half.invoke(low(around_image=around()), "edit it", images=[photo], config={"callbacks": [spy]})

    assert "edit it" in spy.records[0]
    assert all(len(record) < 4000 for record in spy.records)


def test_the_caller_goes(low, slow):
    """A cancelled caller stops waiting; the function goes on, and the memory keeps the picture that it paid for."""
    hook = AsyncAround()
    draw = low(base_url=slow.base_url, around_image=hook, memory=ImageMemory())

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(draw.ainvoke("draw a fox"), 0.2)
        await draw.aclose()

    asyncio.run(leave())

    assert len(hook.results) == len(draw.memory.unclaimed()) == slow.pictures == 1


def test_a_pickle_leaves_it_out(low):
    """A generator with any function around it can be pickled; the function stays behind, as clients do."""
    draw = low(around_image=lambda request, call: call(request))

    assert draw.model_copy().around_image is draw.around_image
    assert "around_image" not in draw.model_dump()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(draw)


def test_override_of_a_request():
    """`override` changes the named fields and options, keeps the others, and names what it does not know."""
    request = ImageRequest.parse({"prompt": "a fox", "size": "1024x1024", "images": ["last"]})
    changed = request.override(quality="low", prompt="an owl")

    assert (changed.prompt, changed.images, changed.options.size) == ("an owl", ["last"], "1024x1024")
    assert changed.options.quality == "low"
    assert request.options.quality is None
    with pytest.raises(OptionError, match="colour"):
        request.override(colour="red")
