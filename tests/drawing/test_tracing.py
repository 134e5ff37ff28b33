"""What tracers, callbacks and event streams see of pictures: records, never bytes."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from langsmith._internal._serde import dumps_json
from PIL import Image
from pydantic_core import to_json

from langchain_imagegen import ImageGenerator, ImageMemory, ImageRequest, PartialImage
from langchain_imagegen.errors import ServiceError
from langchain_imagegen.simulator import Simulator, server_error

Make = Callable[..., ImageGenerator]

LIGHT = 16_000  # bytes; a trace of one drawing in any form
BASE64 = re.compile(rb"[A-Za-z0-9+/]{300,}")


def noise() -> bytes:
    """A PNG of 2 MB."""
    data = io.BytesIO()
    pixels = random.Random(0).randbytes(840 * 840 * 3)
    Image.frombytes("RGB", (840, 840), pixels).save(data, format="PNG", compress_level=0)
    return data.getvalue()


HEAVY = noise()
ENCODED = base64.b64encode(HEAVY).decode()


class Tracer(BaseTracer):
    """Keeps every run that ends, with those inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


class Listener(BaseCallbackHandler):
    """Keeps all that a callback is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **facts: Any) -> None:
        """A run begins."""
        self.told.append([serialized, inputs, facts])

    def on_chain_end(self, outputs: Any, **facts: Any) -> None:
        """A run ends."""
        self.told.append([outputs, facts])


def every(runs: Iterable[Run]) -> Iterator[Run]:
    """Runs with all the runs inside them."""
    for run in runs:
        yield run
        yield from every(run.child_runs)


def written(value: Any) -> list[bytes]:
    """A value in each of the forms in which tracers and servers write it down."""
    return [
        to_json(value, serialize_unknown=True, bytes_mode="base64"),
        dumps_json(value),
        dumps(value).encode(),
        repr(value).encode(),
    ]


def assert_light(value: Any) -> None:
    """Fails where a picture stands in a value, in whichever form it is written."""
    for text in written(value):
        assert len(text) < LIGHT
        assert not BASE64.search(text)
        assert b"\\x89PNG" not in text


def upload_forms(tmp_path: Path) -> dict[str, Callable[[], Any]]:
    """An edit of 2 MB in each form of input."""
    (tmp_path / "photo.png").write_bytes(HEAVY)
    block = {"type": "image", "base64": ENCODED, "mime_type": "image/png"}
    return {
        "bytes": lambda: {"prompt": "make it winter", "images": [HEAVY]},
        "data URL": lambda: {"prompt": "make it winter", "images": [f"data:image/png;base64,{ENCODED}"]},
        "block": lambda: {"prompt": "make it winter", "images": [block]},
        "path": lambda: {"prompt": "make it winter", "images": [tmp_path / "photo.png"]},
        "Pillow": lambda: {"prompt": "make it winter", "images": [Image.open(io.BytesIO(HEAVY))]},
        "request": lambda: ImageRequest(prompt="make it winter", images=[HEAVY], mask=HEAVY),
        "message": lambda: [HumanMessage(["make it winter", block])],
    }


@pytest.fixture
def tracer() -> Tracer:
    """A tracer of its own for each test."""
    return Tracer()


@pytest.mark.parametrize("form", ["bytes", "data URL", "block", "path", "Pillow", "request", "message"])
def test_a_trace_of_an_edit_holds_no_bytes(form: str, half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """However 2 MB are brought along, runs and callbacks see a small record of them."""
    listener = Listener()
    given = upload_forms(tmp_path)[form]()

    half.invoke(low(), given, config={"callbacks": [tracer, listener]})

    (run,) = every(tracer.runs)
    assert_light([run.inputs, run.outputs, run.extra, run.serialized])
    assert_light(listener.told)
    assert run.inputs["prompt"] == "make it winter"
    (source,) = run.inputs["images"]
    assert (source["origin"], source["width"], source["mime_type"]) == ("user", 840, "image/png")
    assert run.inputs["options"]["action"] == "edit"


def test_a_trace_of_a_stream_holds_no_bytes(half: Any, low: Make, tracer: Tracer):
    """Partials pass through a traced stream without staying in it."""
    pieces = half.stream(
        low(),
        {"prompt": "make it winter", "images": [HEAVY]},
        config={"callbacks": [tracer]},
        partial_images=2,
    )

    (run,) = every(tracer.runs)
    assert_light([run.inputs, run.outputs, run.extra, run.events])
    assert [type(piece) for piece in pieces[:-1]] == [PartialImage] * 3
    assert run.inputs["images"][0]["origin"] == "user"


def test_a_trace_of_a_chain_holds_no_bytes(half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """In `draw | draw.bind(…) | save`, invoked and streamed, each run sees records."""
    drawing = low()
    save = RunnableLambda(lambda result: str(result.image.save(tmp_path)))
    chain = drawing | drawing.bind(prompt="the same at night", images=[HEAVY], partial_images=1) | save

    half.invoke(chain, "draw a fox", config={"callbacks": [tracer]})
    half.stream(chain, "draw a fox", config={"callbacks": [tracer]})

    runs = list(every(tracer.runs))
    assert [run.name for run in runs].count("ImageGenerator") == 4
    for run in runs:
        assert_light([run.inputs, run.outputs, run.extra])


def test_a_trace_of_a_failure_holds_no_bytes(half: Any, low: Make, tracer: Tracer, simulator: Simulator):
    """The error of a failed edit is traced with what was asked for, without the picture."""
    simulator.script(server_error())

    with pytest.raises(ServiceError):
        half.invoke(low(max_retries=0), {"prompt": "make it winter", "images": [HEAVY]}, config={"callbacks": [tracer]})
    (run,) = every(tracer.runs)
    assert "The server had an error" in str(run.error)
    assert_light([run.inputs, run.error])


def test_wrappers_of_langchain_see_a_request_without_bytes(half: Any, low: Make, tracer: Tracer):
    """Where LangChain traces an input before we see it, an `ImageRequest` is written without its bytes."""
    wrapped = low().with_retry().with_fallbacks([low()])
    request = ImageRequest(prompt="make it winter", images=[HEAVY])

    half.invoke(wrapped, request, config={"callbacks": [tracer]})

    runs = list(every(tracer.runs))
    assert {"RunnableWithFallbacks", "ImageGenerator"} <= {run.name for run in runs}
    for run in runs:
        assert_light([run.inputs, run.outputs])


def test_traces_tell_no_location(half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """Neither the store's folder nor the key is in a trace."""
    drawing = low(api_key="sk-very-secret", memory=ImageMemory())

    half.invoke(drawing, {"prompt": "make it winter", "images": [HEAVY]}, config={"callbacks": [tracer]})

    for run in every(tracer.runs):
        for text in written([run.inputs, run.outputs, run.extra, run.serialized]):
            assert b"very-secret" not in text
        for text in written([run.inputs, run.outputs, run.extra]):
            assert str(tmp_path).encode() not in text


async def test_events_hold_no_bytes(low: Make):
    """`astream_events` tells of every partial as it comes, and its JSON has no picture in it."""
    drawing = low()
    given = {"prompt": "make it winter", "images": [HEAVY]}

    events = [event async for event in drawing.astream_events(given, version="v2", partial_images=2)]

    await drawing._transport.async_client.close()
    kinds = [event["event"] for event in events]
    assert kinds == ["on_chain_start", *["on_chain_stream"] * 4, "on_chain_end"]
    pieces = [event["data"]["chunk"] for event in events[1:-1]]
    assert all(piece.data for piece in pieces[:-1])
    for event in events[1:]:
        assert_light(event)


def test_a_drawing_is_found_inside_the_run_of_its_chain(half: Any, low: Make, tracer: Tracer):
    """Runs carry the names and tags that a chain gives them, with the drawing inside the chain's run."""
    chain = RunnableLambda(lambda animal: f"draw a {animal}") | low().with_config(run_name="artist", tags=["picture"])

    half.invoke(chain, "fox", config={"callbacks": [tracer]})

    (root,) = tracer.runs
    artist = next(run for run in root.child_runs if run.name == "artist")
    assert "picture" in (artist.tags or [])
    assert artist.inputs["prompt"] == "draw a fox"
    assert json.loads(dumps_json(artist.outputs))["output"]["images"][0]["width"] == 816


def test_what_is_shown_is_short(low: Make):
    """A result with an upload behind it has a short repr, so that logs stay readable."""
    result = low().invoke({"prompt": "make it winter", "images": [HEAVY]})

    assert len(repr(result)) < 4_000
    assert_light(result)
    assert_light(result.record())
