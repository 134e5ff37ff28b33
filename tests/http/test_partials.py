"""`PartialsTransport` and its async twin with real clients: what is sent, and what the client gets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from langchain_imagegen import AsyncImageTransport, ImageTransport, images_from
from langchain_imagegen.http.partials import AsyncPartialsTransport, PartialsTransport, ask_for_partials
from langchain_imagegen.simulator import cut_before_terminal, gzipped, server_error, small_chunks

TOOL = {"type": "image_generation", "size": "816x816", "quality": "low"}
REQUEST = {"model": "gpt-5.4", "input": "draw a fox", "tools": [TOOL]}
ADDRESS = "http://images.example/v1/responses"


class Notes:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.signs: list[Any] = []

    def tell(self, sign: Any) -> None:
        """Note a sign."""
        self.signs.append(sign)

    async def atell(self, sign: Any) -> None:
        """Note a sign."""
        self.signs.append(sign)


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def ask(request, half, image_store, simulator):
    """Return a function that creates a response with two partial pictures: what the client gets, and the signs."""
    library = request.param

    async def create(fields: dict[str, Any], notes: Notes) -> Any:
        settings = {"base_url": simulator.base_url, "api_key": "sk-a", "max_retries": 1}
        if half.name == "async":
            inner = AsyncPartialsTransport(AsyncImageTransport(library.AsyncHTTPTransport(), image_store), 2, notes)
            async with library.AsyncClient(transport=inner) as client:
                given = await AsyncOpenAI(http_client=client, **settings).responses.create(**REQUEST, **fields)
                return [event async for event in given] if fields.get("stream") else given
        inner = PartialsTransport(ImageTransport(library.HTTPTransport(), image_store), 2, notes)
        with library.Client(transport=inner) as client:
            given = OpenAI(http_client=client, **settings).responses.create(**REQUEST, **fields)
            return list(given) if fields.get("stream") else given

    def run(**fields: Any) -> tuple[Any, list[Any]]:
        notes = Notes()
        return half.wait(create, fields, notes), notes.signs

    return run


@pytest.mark.parametrize("fault", [gzipped(), small_chunks(700)], ids=["gzip", "chunks"])
def test_an_answer_that_is_not_streamed(ask, simulator, image_store, fault):
    """The client gets the response with its picture as a token; the service has streamed it with partial pictures."""
    simulator.script(fault)
    response, signs = ask()

    body = simulator.requests[-1].body
    assert body == {**REQUEST, "stream": True, "tools": [{**TOOL, "partial_images": 2}]}
    assert (response.status, len(signs)) == ("completed", 4)
    assert images_from(response, image_store=image_store)[0].id == signs[0].call_id
    assert [sign.final for sign in signs[1:]] == [False, False, True]


def test_a_streamed_answer(ask, simulator):
    """The client gets every event but those of partial pictures, with all numbers."""
    events, signs = ask(stream=True)

    assert simulator.requests[-1].body["tools"][0]["partial_images"] == 2
    assert len(signs) == 4
    assert not [event for event in events if "partial" in event.type]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_errors_of_http_pass(ask, simulator):
    """An HTTP error passes, and the client sends the request again as without."""
    simulator.script(server_error(500))
    response, _ = ask()

    assert (response.status, len(simulator.requests)) == ("completed", 2)


def test_a_stream_that_breaks_off(ask, simulator):
    """A stream without its last event is a broken connection for a client that asked for JSON."""
    simulator.script(cut_before_terminal(), cut_before_terminal())

    with pytest.raises(openai.APIConnectionError) as caught:
        ask()
    assert "before its last event" in str(caught.value.__cause__)


# What is asked for


def test_the_request():
    """Only the stream and the partial pictures are added; address, headers, limits and every other field stay."""
    given = {**REQUEST, "input": "zeichne einen Fuchs \u2026 \U0001f98a", "tools": [{"type": "function"}, TOOL]}
    extensions = {"timeout": {"read": 7.0}}
    headers = {"authorization": "Bearer sk-a", "x-team": "art"}
    request = httpx2.Request("POST", ADDRESS, headers=headers, json=given, extensions=extensions)
    sent, streamed, partials = ask_for_partials(request, 3)

    assert json.loads(sent.content) == {
        **given,
        "stream": True,
        "tools": [{"type": "function"}, {**TOOL, "partial_images": 3}],
    }
    assert (streamed, partials, sent.url, sent.extensions) == (False, 3, request.url, extensions)
    assert sent.headers["content-length"] == str(len(sent.content))
    lengths = {"content-length"}
    assert {k: v for k, v in sent.headers.items() if k not in lengths} == {
        k: v for k, v in request.headers.items() if k not in lengths
    }


async def pieces() -> Any:
    """Yield a body that is made while it is sent."""
    yield b"{}"


SAME = {
    "nothing asked for": (0, {"json": REQUEST}),
    "no tool": (2, {"json": {**REQUEST, "tools": []}}),
    "other tools": (2, {"json": {**REQUEST, "tools": [{"type": "function"}, 7]}}),
    "no tools at all": (2, {"json": {"model": "gpt-5.4"}}),
    "an animation": (2, {"json": {**REQUEST, "tools": [{**TOOL, "output_format": "gif"}]}}),
    "in the background": (2, {"json": {**REQUEST, "background": True}}),
    "a list": (2, {"json": [REQUEST]}),
    "no JSON": (2, {"content": b"--boundary"}),
    "a body that is read while it is sent": (2, {"content": pieces()}),
    "another address": (2, {"url": "http://images.example/v1/images/generations", "json": REQUEST}),
    "another method": (2, {"method": "GET"}),
}


@pytest.mark.parametrize("name", SAME)
def test_requests_that_are_left_alone(name):
    """A request that cannot ask for partial pictures is the same object as before."""
    partials, settings = SAME[name]
    request = httpx2.Request(**{"method": "POST", "url": ADDRESS, **settings})

    assert ask_for_partials(request, partials).request is request
