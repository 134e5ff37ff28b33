"""Streaming: partial pictures as they arrive and then the result, from a generator alone and in chains."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from PIL import Image

from langchain_imagegen import ImageGenerator, ImageMemory, ImageResult, ImageStore, PartialImage
from langchain_imagegen.errors import ModerationError, OptionError
from langchain_imagegen.simulator import Simulator, moderated

Make = Callable[..., ImageGenerator]
Pieces = list[PartialImage | ImageResult]


@pytest.fixture
def stream(half: Any, low: Make) -> Callable[..., Pieces]:
    """Return a function that streams a small picture, sync or async, and returns what came."""
    return partial(half.stream, low())


def partials(pieces: Pieces) -> list[PartialImage]:
    """Return the partial pictures, and assert that the one result comes last."""
    assert [isinstance(piece, ImageResult) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    return [piece for piece in pieces if isinstance(piece, PartialImage)]


# --- pieces and their order


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_partials_come_in_order_before_the_result(wanted: int, stream: Callable[..., Pieces], simulator: Simulator):
    """A stream yields N + 1 partials, the last of which is the finished picture, and then the result."""
    *seen, result = stream("draw a fox", partial_images=wanted)

    unfinished = [piece for piece in seen if not piece.final]
    assert [piece.index for piece in seen] == list(range(wanted + 1))
    assert len(unfinished) == wanted
    assert len({piece.data for piece in seen}) == wanted + 1
    assert seen[-1].data == result.image.read()
    assert {(piece.id, piece.handle, piece.mime_type) for piece in seen} == {
        (result.image.id, result.image.handle, "image/png")
    }
    assert {Image.open(io.BytesIO(piece.data)).size for piece in seen} == {(816, 816)}
    assert simulator.requests[-1].body["stream"] is True
    assert simulator.requests[-1].body["tools"][0]["partial_images"] == wanted


@pytest.mark.parametrize("options", [{}, {"partial_images": 0}])
def test_the_only_partial_is_final(options: Any, stream: Callable[..., Pieces]):
    """Without `partial_images` the service still sends one partial, and it is marked as final."""
    pieces = stream("draw a fox", **options)

    assert [piece.final for piece in partials(pieces)] == [True]


def test_a_streamed_result_equals_an_invoked_one(half: Any, low: Make, simulator: Simulator):
    """`stream` gives the same result as `invoke`: fields, tokens and bytes."""
    plain = low().invoke("draw a fox")

    *_, streamed = half.stream(low(), "draw a fox")

    unique = {"id", "response_id", "created_at", "handle", "seconds"}
    assert streamed.image.model_dump(exclude=unique) == plain.image.model_dump(exclude=unique)
    assert (streamed.usage, streamed.model, streamed.text) == (plain.usage, plain.model, plain.text)
    assert streamed.image.read() == plain.image.read()


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_partials_have_the_requested_format(format: str, stream: Callable[..., Pieces]):
    """Partials have the requested format, in their bytes and in `mime_type`."""
    pieces = stream("draw a fox", partial_images=1, output_format=format)

    assert {piece.mime_type for piece in partials(pieces)} == {f"image/{format}"}
    assert Image.open(io.BytesIO(partials(pieces)[0].data)).format == format.upper()


def test_invoke_can_read_a_stream(half: Any, low: Make, simulator: Simulator):
    """With `delivery="stream"`, `invoke` requests events and returns only the result."""
    result = half.invoke(low(delivery="stream"), "draw a fox")

    assert simulator.requests[-1].body["stream"] is True
    assert isinstance(result, ImageResult)
    assert result.image.width == 816


def test_an_edit_can_be_streamed(half: Any, low: Make, simulator: Simulator, image_store: ImageStore):
    """A streamed edit falls back from an expired id to the bytes, and yields nothing twice."""
    drawing = low(memory=ImageMemory(image_store=image_store))
    fox = drawing.invoke("draw a fox")
    simulator.expire(fox.image.id)

    pieces = half.stream(drawing, "make it winter", images=["last"], partial_images=1)

    assert [piece.index for piece in partials(pieces)] == [0, 1]
    assert pieces[-1].rung == "bytes"
    assert [image.id for image in drawing.memory] == [fox.image.id, pieces[-1].image.id]


def test_four_partials_are_refused(stream: Callable[..., Pieces], simulator: Simulator):
    """`partial_images=4` raises an error that says the range, and nothing is sent."""
    with pytest.raises(OptionError, match="partial_images=4: it takes a whole number from 0 to 3"):
        stream("draw a fox", partial_images=4)
    assert simulator.requests == []


@pytest.mark.parametrize("at", ["request", "stream", "response"])
def test_a_moderated_stream(at: Any, stream: Callable[..., Pieces], simulator: Simulator):
    """A moderated prompt raises the same `ModerationError` wherever the service reports it."""
    simulator.script(moderated("input", ["violence"], at=at))

    with pytest.raises(ModerationError) as caught:
        stream("draw a fox", partial_images=1)
    assert caught.value.categories == ["violence"]


# --- timing


@pytest.mark.parametrize("api", ["responses", "images"])
@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_a_partial_is_yielded_while_the_service_still_draws(wanted: int, api: str, low: Make):
    """The first partial is yielded before the service has drawn the later ones."""
    with Simulator(latency=0.4) as slow:  # in equal pauses, one before each picture
        drawing = low(base_url=slow.base_url, api=api)

        pieces = drawing.stream("draw a fox", partial_images=wanted)
        arrivals = [(type(piece), time.monotonic()) for piece in pieces]

    pauses = wanted + 1 if api == "responses" else wanted
    kinds, times = zip(*arrivals, strict=True)
    assert kinds[-1] is ImageResult
    if pauses > 1:
        assert times[-1] - times[0] >= 0.4 * (pauses - 1) / pauses / 2  # all at once would be zero


async def test_an_async_partial_is_yielded_while_the_service_still_draws(low: Make):
    """`astream` yields the first partial before the service has drawn the later ones."""
    with Simulator(latency=0.4) as slow:
        drawing = low(base_url=slow.base_url)

        times = [time.monotonic() async for _ in drawing.astream("draw a fox", partial_images=3)]

        await drawing.aclose()
    assert times[-1] - times[0] >= 0.4 * 3 / 4 / 2


def files_in(folder: Path) -> list[str]:
    """Return the names of the files below a folder, without their endings."""
    return [path.stem for path in folder.rglob("*") if path.is_file()]


async def test_an_async_stream_that_is_closed_early_leaves_its_picture(low: Make, tmp_path: Path):
    """Closing a stream after its first partial raises nothing; its picture is stored, and no unfinished file stays."""
    memory = ImageMemory()
    drawing = low(memory=memory)

    pieces = drawing.astream("draw a fox", partial_images=3)
    first = await anext(pieces)
    await pieces.aclose()
    await drawing.aclose()

    (result,) = memory.unclaimed()
    assert isinstance(first, PartialImage)
    assert files_in(tmp_path / "images") == [result.image.sha256]


def test_a_sync_stream_that_is_closed_early_leaves_its_picture(low: Make, tmp_path: Path):
    """The same in a thread, where the picture is stored soon after the stream is closed."""
    memory = ImageMemory()
    pieces = low(memory=memory).stream("draw a fox", partial_images=3)

    first = next(pieces)
    pieces.close()
    deadline = time.monotonic() + 10
    while not memory.unclaimed() and time.monotonic() < deadline:
        time.sleep(0.02)

    (result,) = memory.unclaimed()
    assert isinstance(first, PartialImage)
    assert files_in(tmp_path / "images") == [result.image.sha256]


# --- in chains


def test_a_function_after_a_stream_gets_only_the_result(half: Any, low: Make, tmp_path: Any):
    """Streaming `prompt | draw | save` calls `save` once, with the result."""
    save = RunnableLambda(lambda result: result.image.save(tmp_path))
    chain = PromptTemplate.from_template("draw a {animal}") | low().bind(partial_images=2) | save

    (path,) = half.stream(chain, {"animal": "fox"})

    assert Image.open(io.BytesIO(path.read_bytes())).size == (816, 816)


def test_a_generator_function_after_a_stream_gets_every_partial(half: Any, low: Make):
    """A generator function after a drawing receives its partials and its result."""

    def type_names(pieces: Iterator[Any]) -> Iterator[str]:
        for piece in pieces:
            yield type(piece).__name__

    async def atype_names(pieces: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for piece in pieces:
            yield type(piece).__name__

    chain = PromptTemplate.from_template("draw a {animal}") | low() | RunnableGenerator(type_names, atype_names)
    chain_with_partials = low().bind(partial_images=2) | RunnableGenerator(type_names, atype_names)

    names = half.stream(chain.bind(), {"animal": "fox"})
    more_names = half.stream(chain_with_partials, "draw a fox")

    assert names == ["PartialImage", "ImageResult"]
    assert more_names == ["PartialImage"] * 3 + ["ImageResult"]


def test_a_chain_that_ends_in_a_drawing_streams_its_partials(half: Any, low: Make):
    """Streaming `prompt | draw` yields the partials and the result of `draw`."""
    chain = PromptTemplate.from_template("draw a {animal}") | low().bind(partial_images=1)

    pieces = half.stream(chain, {"animal": "fox"})

    assert [type(piece).__name__ for piece in pieces] == ["PartialImage", "PartialImage", "ImageResult"]


def test_an_edit_after_a_drawing_gets_its_result(half: Any, low: Make, simulator: Simulator):
    """In `draw | draw.bind(prompt=…)` the second step edits the first result, and only its partials are yielded."""
    drawing = low()
    chain = drawing.bind(partial_images=1) | drawing.bind(prompt="the same at night", partial_images=2)

    pieces = half.stream(chain, "draw a fox")

    assert [piece.index for piece in partials(pieces)] == [0, 1, 2]
    assert pieces[-1].image.parents == (pieces[-1].sources[0].id,)
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda drawing: drawing.with_retry(),
        lambda drawing: drawing.with_fallbacks([drawing]),
        lambda drawing: drawing.with_config(tags=["picture"]),
        lambda drawing: drawing.with_types(input_type=str),
    ],
    ids=["retry", "fallbacks", "config", "types"],
)
def test_wrapped_generators_stream(wrapped: Any, half: Any, low: Make):
    """Generators in LangChain's wrappers still stream their partials."""
    pieces = half.stream(wrapped(low()), "draw a fox", partial_images=1)

    assert [piece.index for piece in partials(pieces)] == [0, 1]


# --- the Images API


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_the_guides_streaming_sample(wanted: int, half: Any, low: Make, simulator: Simulator):
    """A stream of the Images API yields its partials and also the finished picture, which the guide's sample omits."""
    prompt = "Draw a river made of white owl feathers, snaking its way through a serene winter landscape"

    *seen, result = half.stream(low(api="images"), prompt, partial_images=wanted)

    assert simulator.requests[-1].path == "/v1/images/generations"
    assert simulator.requests[-1].body["partial_images"] == wanted
    assert [(piece.index, piece.final) for piece in seen] == [(n, False) for n in range(wanted)]
    assert len({piece.data for piece in seen} | {result.image.read()}) == wanted + 1
    assert (result.image.width, result.image.id) == (816, f"sha256:{result.image.sha256}")
    assert result.image_usage.total_tokens > 0


def test_the_images_api_streams_without_partials(half: Any, low: Make):
    """A stream of the Images API without `partial_images` yields only the result."""
    pieces = half.stream(low(api="images"), "draw a fox")

    assert partials(pieces) == []
    assert pieces[-1].image.width == 816


def test_a_vector_picture_cannot_be_streamed_by_the_images_api(half: Any, low: Make, simulator: Simulator):
    """Streaming an SVG from the Images API raises an `OptionError`, and nothing is sent."""
    with pytest.raises(OptionError, match="svg"):
        half.stream(low(api="images"), "draw a fox", model="gpt-image-2.6-sunburst", output_format="svg")
    assert simulator.requests == []
