"""Tracers, callbacks and event streams receive records of pictures and never their bytes."""

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

LARGEST_TRACE = 16_000  # bytes, for one drawing in any serialization
BASE64 = re.compile(rb"[A-Za-z0-9+/]{300,}")


def noise(mode: str = "RGB") -> bytes:
    """Return a PNG of 2 MB or, with transparency, of 3 MB."""
    data = io.BytesIO()
    pixels = random.Random(0).randbytes(840 * 840 * len(mode))
    Image.frombytes(mode, (840, 840), pixels).save(data, format="PNG", compress_level=0)
    return data.getvalue()


HEAVY, MASK = noise(), noise("RGBA")
ENCODED = base64.b64encode(HEAVY).decode()


class Tracer(BaseTracer):
    """Collects each root run that ends, with its child runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


class Listener(BaseCallbackHandler):
    """Collects the arguments of every callback."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **facts: Any) -> None:
        """Collect the arguments of a started run."""
        self.received.append([serialized, inputs, facts])

    def on_chain_end(self, outputs: Any, **facts: Any) -> None:
        """Collect the arguments of an ended run."""
        self.received.append([outputs, facts])


def all_runs(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs and all their descendants."""
    for run in runs:
        yield run
        yield from all_runs(run.child_runs)


def serializations(value: Any) -> list[bytes]:
    """Return the value in each serialization that tracers and servers use."""
    return [
        to_json(value, serialize_unknown=True, bytes_mode="base64"),
        dumps_json(value),
        dumps(value).encode(),
        repr(value).encode(),
    ]


def assert_no_bytes(value: Any) -> None:
    """Assert that no serialization of the value contains a picture."""
    for text in serializations(value):
        assert len(text) < LARGEST_TRACE
        assert not BASE64.search(text)
        assert b"\\x89PNG" not in text


def upload_forms(tmp_path: Path) -> dict[str, Callable[[], Any]]:
    """Return functions that make the input of an edit, each with a picture of 2 MB in another form."""
    (tmp_path / "photo.png").write_bytes(HEAVY)
    block = {"type": "image", "base64": ENCODED, "mime_type": "image/png"}
    return {
        "bytes": lambda: {"prompt": "make it winter", "images": [HEAVY]},
        "data URL": lambda: {"prompt": "make it winter", "images": [f"data:image/png;base64,{ENCODED}"]},
        "block": lambda: {"prompt": "make it winter", "images": [block]},
        "path": lambda: {"prompt": "make it winter", "images": [tmp_path / "photo.png"]},
        "Pillow": lambda: {"prompt": "make it winter", "images": [Image.open(io.BytesIO(HEAVY))]},
        "request": lambda: ImageRequest(prompt="make it winter", images=[HEAVY], mask=MASK),
        "message": lambda: [HumanMessage(["make it winter", block])],
    }


@pytest.fixture
def tracer() -> Tracer:
    """Return a new tracer."""
    return Tracer()


@pytest.mark.parametrize("form", ["bytes", "data URL", "block", "path", "Pillow", "request", "message"])
def test_a_trace_of_an_edit_holds_no_bytes(form: str, half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """Whatever form a source picture of 2 MB has, runs and callbacks receive a small record of it."""
    listener = Listener()
    given = upload_forms(tmp_path)[form]()

    half.invoke(low(), given, config={"callbacks": [tracer, listener]})

    run, *models = all_runs(tracer.runs)
    assert_no_bytes([[each.inputs, each.outputs, each.extra] for each in models])
    assert {each.run_type for each in models} == {"llm"}
    assert_no_bytes([run.inputs, run.outputs, run.extra, run.serialized])
    assert_no_bytes(listener.received)
    assert run.inputs["prompt"] == "make it winter"
    (source,) = run.inputs["images"]
    assert (source["origin"], source["width"], source["mime_type"]) == ("user", 840, "image/png")
    assert run.inputs["options"]["action"] == "edit"


def test_a_trace_of_a_stream_holds_no_bytes(half: Any, low: Make, tracer: Tracer):
    """A traced stream yields its partial pictures, and the trace does not contain them."""
    pieces = half.stream(
        low(),
        {"prompt": "make it winter", "images": [HEAVY]},
        config={"callbacks": [tracer]},
        partial_images=2,
    )

    run, *models = all_runs(tracer.runs)
    assert_no_bytes([[each.inputs, each.outputs, each.extra] for each in models])
    assert {each.run_type for each in models} == {"llm"}
    assert_no_bytes([run.inputs, run.outputs, run.extra, run.events])
    assert [type(piece) for piece in pieces[:-1]] == [PartialImage] * 3
    assert run.inputs["images"][0]["origin"] == "user"


def test_a_trace_of_a_chain_holds_no_bytes(half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """In `draw | draw.bind(…) | save`, invoked and streamed, no run contains a picture's bytes."""
    drawing = low()
    save = RunnableLambda(lambda result: str(result.image.save(tmp_path)))
    chain = drawing | drawing.bind(prompt="the same at night", images=[HEAVY], partial_images=1) | save

    half.invoke(chain, "draw a fox", config={"callbacks": [tracer]})
    half.stream(chain, "draw a fox", config={"callbacks": [tracer]})

    runs = list(all_runs(tracer.runs))
    assert [run.name for run in runs].count("ImageGenerator") == 4
    for run in runs:
        assert_no_bytes([run.inputs, run.outputs, run.extra])


def test_a_trace_of_a_failure_holds_no_bytes(half: Any, low: Make, tracer: Tracer, simulator: Simulator):
    """The trace of a failed edit has its error and its inputs without the picture's bytes."""
    simulator.script(server_error())

    with pytest.raises(ServiceError):
        half.invoke(low(max_retries=0), {"prompt": "make it winter", "images": [HEAVY]}, config={"callbacks": [tracer]})
    (run,) = all_runs(tracer.runs)
    assert "The server had an error" in str(run.error)
    assert_no_bytes([run.inputs, run.error])


def test_wrappers_of_langchain_trace_a_request_without_bytes(half: Any, low: Make, tracer: Tracer):
    """LangChain's wrappers trace their input before the generator sees it, and an `ImageRequest` hides its bytes."""
    wrapped = low().with_retry().with_fallbacks([low()])
    request = ImageRequest(prompt="make it winter", images=[HEAVY])

    half.invoke(wrapped, request, config={"callbacks": [tracer]})

    runs = list(all_runs(tracer.runs))
    assert {"RunnableWithFallbacks", "ImageGenerator"} <= {run.name for run in runs}
    for run in runs:
        assert_no_bytes([run.inputs, run.outputs])


def test_traces_contain_no_location_and_no_key(half: Any, low: Make, tracer: Tracer, tmp_path: Path):
    """A trace contains neither the store's folder nor the API key."""
    drawing = low(api_key="sk-very-secret", memory=ImageMemory())

    half.invoke(drawing, {"prompt": "make it winter", "images": [HEAVY]}, config={"callbacks": [tracer]})

    for run in all_runs(tracer.runs):
        for text in serializations([run.inputs, run.outputs, run.extra, run.serialized]):
            assert b"very-secret" not in text
        for text in serializations([run.inputs, run.outputs, run.extra]):
            assert str(tmp_path).encode() not in text


async def test_events_hold_no_bytes(low: Make):
    """`astream_events` yields an event for each partial picture, and no event's JSON contains a picture."""
    drawing = low()
    given = {"prompt": "make it winter", "images": [HEAVY]}

    every = [event async for event in drawing.astream_events(given, version="v2", partial_images=2)]
    events = [event for event in every if not event["event"].startswith("on_llm")]

    await drawing._transport.async_client.close()
    kinds = [event["event"] for event in events]
    assert kinds == ["on_chain_start", *["on_chain_stream"] * 4, "on_chain_end"]
    pieces = [event["data"]["chunk"] for event in events[1:-1]]
    assert all(piece.data for piece in pieces[:-1])
    for event in every[1:]:
        assert_no_bytes(event)


def test_a_drawing_is_a_child_run_of_its_chain(half: Any, low: Make, tracer: Tracer):
    """A drawing in a chain is a child run with the name and tags that the chain gives it."""
    chain = RunnableLambda(lambda animal: f"draw a {animal}") | low().with_config(run_name="artist", tags=["picture"])

    half.invoke(chain, "fox", config={"callbacks": [tracer]})

    (root,) = tracer.runs
    artist = next(run for run in root.child_runs if run.name == "artist")
    assert "picture" in (artist.tags or [])
    assert artist.inputs["prompt"] == "draw a fox"
    assert json.loads(dumps_json(artist.outputs))["output"]["images"][0]["width"] == 816


def test_the_repr_of_a_result_is_short(low: Make):
    """The repr of a result with an uploaded source has less than 4,000 characters."""
    result = low().invoke({"prompt": "make it winter", "images": [HEAVY]})

    assert len(repr(result)) < 4_000
    assert_no_bytes(result)
    assert_no_bytes(result.record())
