"""`ImageGenerator(on_partial=…)`: a function that sees partial pictures beside `stream`, and never harms a drawing."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from copy import deepcopy
from pathlib import Path

import pytest

from langchain_imagegen import ImageResult, PartialImage
from langchain_imagegen.errors import OptionError

TWO = {"size": "816x816", "quality": "low", "partial_images": 2}


@pytest.fixture
def seen():
    """Return the partial pictures that a test has seen."""
    return []


def indices(seen):
    """Return the indices of partial pictures."""
    return [picture.index for picture in seen]


def test_invoke(half, generator, seen):
    """`invoke` and `ainvoke` give each partial picture to a sync function, and return the result."""
    result = half.invoke(generator(options=TWO, on_partial=seen.append), "draw a fox")

    assert isinstance(result, ImageResult)
    assert indices(seen) == [0, 1, 2]
    assert seen[-1].data == result.image.read()
    assert all(isinstance(picture, PartialImage) and picture.handle == result.image.handle for picture in seen)


def test_async_function(generator, seen):
    """`ainvoke` awaits an async function, be it a function, a method, a partial or an object that is called."""

    class Follower:
        async def __call__(self, picture):
            seen.append(picture)

    follower = Follower()

    async def draw():
        for function in (follower, follower.__call__, functools.partial(Follower.__call__, follower)):
            drawing = generator(options=TWO, on_partial=function)
            await drawing.ainvoke("draw a fox")
            await drawing.aclose()

    asyncio.run(draw())
    assert indices(seen) == [0, 1, 2] * 3


def test_async_function_in_a_sync_call(generator, simulator):
    """An async function in a sync call is refused before anything is sent, with what to do."""

    async def follow(picture):
        raise AssertionError

    with pytest.raises(OptionError, match="ainvoke"):
        generator(options=TWO, on_partial=follow).invoke("draw a fox")
    assert simulator.pictures == 0


def test_stream(half, generator, seen):
    """`stream` yields what the function sees."""
    *partials, result = half.stream(generator(options=TWO, on_partial=seen.append), "draw a fox")

    assert partials == seen
    assert isinstance(result, ImageResult)


def test_batch(half, generator, seen):
    """Each call of a batch shows its partial pictures, and results keep their order."""
    results = half.batch(generator(options=TWO, on_partial=seen.append), ["draw a fox", "draw an owl"])

    assert sorted(indices(seen)) == [0, 0, 1, 1, 2, 2]
    assert [result.image.prompt for result in results] == ["draw a fox", "draw an owl"]


def test_a_function_that_fails(half, generator, caplog):
    """A function that raises is logged each time, and the picture is drawn."""

    def fail(picture):
        raise RuntimeError("no window")

    assert half.invoke(generator(options=TWO, on_partial=fail), "draw a fox").image.read()
    assert caplog.text.count("the picture is drawn all the same") == 3


@pytest.mark.parametrize("main_thread", [True, False])
def test_a_slow_function(half, generator, simulator, image_store, main_thread):
    """A slow function does not hold up the answer: the picture is stored while the first partial is still shown."""
    first, stored = threading.Event(), []

    def follow(picture):
        if not first.is_set():
            first.set()
            end = time.monotonic() + 10
            while simulator.pictures == 0 and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.5)
            stored.append(len(list(Path(image_store.location).rglob("*.png"))))

    drawing = generator(options=TWO, on_partial=follow)
    run = functools.partial(half.invoke, drawing, "draw a fox")
    if main_thread or half.name == "async":
        run()
    else:
        worker = threading.Thread(target=run)
        worker.start()
        worker.join()
    assert stored == [1]


def test_nothing_is_asked_for(half, generator, simulator, seen):
    """Without `partial_images` the function is not called, and the request is the same as without it."""
    half.invoke(generator(options={**TWO, "partial_images": None}, on_partial=seen.append), "draw a fox")

    assert seen == []
    assert "stream" not in simulator.requests[-1].body


@pytest.mark.parametrize("settings", [{"delivery": "background"}, {"delivery": "stream"}, {"api": "images"}], ids=str)
def test_other_ways(half, generator, seen, settings):
    """Partial pictures are shown in the background, in a stream and with the Images API too."""
    result = half.invoke(generator(options=TWO, on_partial=seen.append, **settings), "draw a fox")

    assert indices(seen)[:2] == [0, 1]
    assert result.image.read()


def test_copies(generator, seen):
    """A deep copy calls the same function, and a dump of the settings has none."""
    drawing = generator(options=TWO, on_partial=seen.append)

    deepcopy(drawing).invoke("draw a fox")
    assert indices(seen) == [0, 1, 2]
    assert "on_partial" not in drawing.model_dump()
    assert "on_partial" not in repr(drawing)
