"""Each scripted fault, as the unmodified SDK sees it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time

import httpx
import pytest
from openai import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)

from langchain_imagegen import simulator as faults
from tests.sdk import FORCED, TOOL, data, pictures, send, stream

DRAW = {"model": "gpt-5", "input": "Draw a fox", "tools": [TOOL]}


def names(events):
    """Return the types of events."""
    return [event.type for event in events]


# Scripted answers


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (faults.rate_limited(), RateLimitError, "rate_limit_exceeded"),
        (faults.quota_exceeded(), RateLimitError, "insufficient_quota"),
        (faults.bad_key(), AuthenticationError, "invalid_api_key"),
        (faults.organization_not_verified(), PermissionDeniedError, None),
        (faults.server_error(503), InternalServerError, None),
        (faults.http_error(400, code="odd", message="Odd.", type="t", param="p"), BadRequestError, "odd"),
    ],
)
def test_http_errors(call, simulator, fault, kind, code):
    """A scripted HTTP error raises the SDK's own error, makes no picture, and affects one request only."""
    simulator.script(fault)

    with pytest.raises(kind) as caught:
        call("responses.create", **DRAW)
    assert caught.value.code == code
    assert caught.value.request_id.startswith("req_")
    assert simulator.pictures == 0
    assert call("responses.create", **DRAW).status == "completed"


def test_retry_after(simulator):
    """The SDK retries after a rate limit and a server error, and then gets one picture."""
    simulator.script(faults.rate_limited(0.01), faults.server_error())

    with OpenAI(base_url=simulator.base_url, api_key="sk", max_retries=2) as client:
        response = client.responses.create(**DRAW)

    assert pictures(response)
    assert [request.headers["x-stainless-retry-count"] for request in simulator.requests] == ["0", "1", "2"]
    assert simulator.pictures == 1


def test_script_is_taken_in_order(ask, simulator):
    """Each request takes the next fault for its method, and `None` lets one request through."""
    simulator.script(None, faults.no_image("No."), faults.no_image("Still no."))
    simulator.script(faults.server_error(), method="GET")

    texts = [ask().output_text for _ in range(4)]
    assert texts == ["", "No.", "Still no.", ""]
    with pytest.raises(InternalServerError):
        send(simulator.base_url, "sk-a", "models.list")


def test_html_page(call, simulator):
    """The SDK returns an HTML page with status 200 as text."""
    simulator.script(faults.html_page())

    assert call("responses.create", **DRAW).startswith("<!doctype html>")


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
def test_gateway_page_after_the_drawing(call, simulator, status, streamed):
    """With `drawn=True` the client gets the gateway's page, but the picture was made."""
    simulator.script(faults.html_page(status, drawn=True))

    with pytest.raises(InternalServerError) as caught:
        call("responses.create", stream=streamed, **DRAW)
    assert caught.value.status_code == status
    assert caught.value.response.text.startswith("<!doctype html>")
    assert (simulator.pictures, len(simulator.requests)) == (1, 1)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_server_error_after_the_drawing(call, simulator, streamed):
    """With `drawn=True` a 5xx of the service arrives after the picture was made, for both APIs."""
    simulator.script(faults.server_error(503, drawn=True), faults.server_error(drawn=True))

    with pytest.raises(InternalServerError) as caught:
        call("responses.create", stream=streamed, **DRAW)
    assert (caught.value.status_code, caught.value.body["type"]) == (503, "server_error")
    with pytest.raises(InternalServerError):
        call("images.generate", model="gpt-image-2", prompt="Draw a fox", quality="low", stream=streamed)
    assert simulator.pictures == 2


def test_served_answers(ask, call, simulator):
    """`answer` sends a given body unchanged, as JSON or as an event stream."""
    response = ask("hi").to_dict()
    event = json.dumps({"type": "response.completed", "sequence_number": 0, "response": response})
    simulator.script(faults.answer(response), faults.answer(f"event: response.completed\ndata: {event}\n\n"))

    assert call("responses.create", **DRAW).id == response["id"]
    assert stream(call)[0].response.id == response["id"]


# Changed plans


def test_moderated_request(call, simulator):
    """A moderated request gets a 400 with the stage and the categories."""
    simulator.script(faults.moderated("input", ["violence"]))

    with pytest.raises(BadRequestError, match=r"safety_violations=\[violence\]") as caught:
        call("responses.create", **DRAW)
    assert caught.value.code == "moderation_blocked"
    assert caught.value.body["moderation_details"] == {"moderation_stage": "input", "categories": ["violence"]}


@pytest.mark.parametrize("streamed", [False, True])
def test_moderated_item(call, simulator, streamed):
    """`at="item"` gives a completed response with one failed picture, and no picture is made."""
    simulator.script(faults.moderated("output", ["sexual"], at="item"))

    answer = stream(call) if streamed else call("responses.create", **DRAW)
    response = answer[-1].response if streamed else answer
    item = pictures(response)[0]
    assert (response.status, item.status, item.result) == ("completed", "failed", None)
    assert item.to_dict()["error"]["moderation_details"]["categories"] == ["sexual"]
    assert response.tool_usage.image_gen.total_tokens == 0
    assert simulator.pictures == 0
    if streamed:
        assert "response.image_generation_call.completed" not in names(answer)
        assert "response.image_generation_call.partial_image" not in names(answer)


def test_moderated_beside_good(call, simulator):
    """One response has a good picture and a rejected one, and only the good one is made."""
    simulator.script(faults.moderated_beside_good("output", ["violence"]))

    items = pictures(call("responses.create", **DRAW))
    assert [item.status for item in items] == ["completed", "failed"]
    assert simulator.pictures == 1


def test_moderated_stream(call, simulator):
    """`at="stream"` sends a nested error event, which the SDK raises."""
    simulator.script(faults.moderated("output", ["violence"], at="stream"))

    with pytest.raises(APIError) as caught:
        stream(call)
    assert caught.value.code == "moderation_blocked"
    assert caught.value.body["moderation_details"]["moderation_stage"] == "output"


@pytest.mark.parametrize("streamed", [False, True])
def test_moderated_response(call, simulator, streamed):
    """`at="response"` gives a failed response whose error has the moderation details."""
    simulator.script(faults.moderated("unknown", at="response"))

    answer = stream(call) if streamed else call("responses.create", **DRAW)
    response = answer[-1].response if streamed else answer
    assert response.status == "failed"
    assert response.error.code == "moderation_blocked"
    assert response.error.to_dict()["moderation_details"]["moderation_stage"] == "unknown"
    if streamed:
        assert answer[-1].type == "response.failed"


@pytest.mark.parametrize("part", ["output_text", "refusal"])
@pytest.mark.parametrize("streamed", [False, True])
def test_refusals(call, simulator, part, streamed):
    """A refusal arrives as text in the kind of part that was asked for, and there is no picture."""
    simulator.script(faults.refusal("I will not.", part))

    answer = stream(call) if streamed else call("responses.create", **DRAW)
    response = answer[-1].response if streamed else answer
    content = response.output[-1].content[0]
    assert not pictures(response)
    assert content.type == part
    assert (content.refusal if part == "refusal" else content.text) == "I will not."
    if streamed:
        deltas = [event.delta for event in answer if event.type.endswith(".delta")]
        assert "".join(deltas) == "I will not."


@pytest.mark.parametrize("streamed", [False, True])
def test_incomplete(call, simulator, streamed):
    """A response ends as incomplete with the scripted reason and without a picture."""
    simulator.script(faults.incomplete("content_filter"))

    answer = stream(call) if streamed else call("responses.create", **DRAW)
    response = answer[-1].response if streamed else answer
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")
    assert not pictures(response)
    if streamed:
        assert answer[-1].type == "response.incomplete"


@pytest.mark.parametrize("background", [False, True])
def test_failed(ask, simulator, background):
    """A response fails with the scripted code, in the background too."""
    simulator.script(faults.failed("rate_limit_exceeded", "Too many."))

    response = ask(background=background)
    while response.status in {"queued", "in_progress"}:
        response = send(simulator.base_url, "sk-a", "responses.retrieve", response_id=response.id)
    assert (response.status, response.error.code) == ("failed", "rate_limit_exceeded")


# Changed events


def test_flat_error_event(call, simulator):
    """A flat error event does not raise in the SDK, and the stream then ends with `response.failed`."""
    simulator.script(faults.flat_error_event("server_error", "overloaded"))

    events = stream(call)
    assert names(events)[-2:] == ["error", "response.failed"]
    assert (events[-2].code, events[-2].message) == ("server_error", "overloaded")


def test_nested_error_event(call, simulator):
    """The SDK raises a nested error event as an error without an HTTP status."""
    simulator.script(faults.nested_error_event("server_error", "overloaded"))

    with pytest.raises(APIError, match="overloaded") as caught:
        stream(call)
    assert caught.value.code == "server_error"
    assert not hasattr(caught.value, "status_code")


def test_unknown_event(call, simulator):
    """An event of an unknown type has its own number and changes nothing else in the stream."""
    simulator.script(faults.unknown_event())

    events = stream(call)
    assert names(events)[2] == "response.simulated.novelty"
    assert [event.sequence_number for event in events] == list(range(17))
    assert pictures(events[-1].response)


def test_keepalive(call, simulator):
    """Keepalives arrive as comments, which the SDK drops, and as numbered events."""
    simulator.script(faults.keepalive(2), faults.keepalive(2))

    events = stream(call)
    body = {**DRAW, "stream": True}
    raw = httpx.post(f"{simulator.base_url}/responses", json=body, headers={"authorization": "Bearer sk"}).text
    assert names(events).count("keepalive") == 2
    assert [event.sequence_number for event in events] == list(range(18))
    assert raw.count("\n: keepalive\n\n") == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_azure_stream(call, simulator, terminal):
    """Azure's stream has no `completed` event of the image item, and the finished item is `generating`."""
    simulator.script(faults.azure_stream(terminal=terminal))

    events = stream(call, model="gpt-4.1")
    done = next(event for event in events if event.type == "response.output_item.done")
    assert "response.image_generation_call.completed" not in names(events)
    assert done.item.status == "generating"
    assert base64.b64decode(done.item.result)
    assert all(event.to_dict()["obfuscation"] for event in events if event.type == "response.output_text.delta")
    assert (events[-1].type == "response.completed") is terminal
    if terminal:
        assert pictures(events[-1].response)[0].status == "generating"


def test_xai_item(ask, simulator):
    """An xAI item has `prompt` as a key and a bare UUID as its id, and an edit can refer to that id."""
    simulator.script(faults.xai_item())

    item = pictures(ask())[0].to_dict()
    again = ask([{"type": item["type"], "id": item["id"]}, {"role": "user", "content": "Make it winter"}])
    assert item["prompt"]
    assert "revised_prompt" not in item
    assert len(item["id"]) == 36
    assert pictures(again)[0].action == "edit"


# Spoiled pictures


@pytest.mark.parametrize("fault", [faults.corrupt_base64(), faults.shortened_base64()])
def test_spoiled_base64(ask, simulator, fault):
    """Spoiled base64 does not decode strictly, but an edit by id still works with the stored picture."""
    simulator.script(fault)
    item = pictures(ask())[0]

    with pytest.raises(binascii.Error):
        base64.b64decode(item.result, validate=True)
    again = ask([{"type": item.type, "id": item.id}, {"role": "user", "content": "Make it winter"}])
    assert data(again)


def test_shortened_base64_has_dots(ask, simulator):
    """Shortened base64 has three dots in place of its middle."""
    simulator.script(faults.shortened_base64())

    assert "..." in pictures(ask())[0].result


def test_not_an_image(ask, simulator):
    """The base64 decodes to bytes that are not a picture."""
    simulator.script(faults.not_an_image())

    assert data(ask()) == b"These bytes are not a picture."


def test_mislabelled(ask, simulator):
    """The bytes have the scripted format, and the item declares the requested one."""
    simulator.script(faults.mislabelled("webp"))

    response = ask()
    assert data(response).startswith(b"RIFF")
    assert pictures(response)[0].to_dict()["output_format"] == "jpeg"


def test_given_image(call, simulator):
    """`image` sends the given partial picture and then the given bytes, even 12 MB of them."""
    big = bytes(12_000_000)
    simulator.script(faults.image(big, partials=[b"first"]))

    events = stream(call, tools=[{**TOOL, "partial_images": 1}])
    partials = [event.partial_image_b64 for event in events if event.type.endswith("partial_image")]
    assert [base64.b64decode(partial) for partial in partials] == [b"first", big]
    assert data(events[-1].response) == big


# Broken deliveries


def collect(simulator, **fields):
    """Return the events before the connection broke, and the error or None."""
    events = []
    with OpenAI(base_url=simulator.base_url, api_key="sk-a", max_retries=0) as client:
        try:
            with client.responses.create(**DRAW, stream=True, **fields) as opened:
                events.extend(opened)
        except APIConnectionError as error:
            return events, error
    return events, None


def test_cut_json(call, simulator):
    """A truncated JSON body raises a connection error, although the picture was made."""
    simulator.script(faults.cut_body(after_bytes=200))

    with pytest.raises(APIConnectionError):
        call("responses.create", **DRAW)
    assert simulator.pictures == 1


def test_cut_json_can_be_retrieved(simulator):
    """The first bytes of a truncated body contain the response id, which retrieves the stored response."""
    simulator.script(faults.cut_body(after_bytes=120))
    pieces = []
    headers = {"authorization": "Bearer sk"}
    with httpx.stream("POST", f"{simulator.base_url}/responses", json=DRAW, headers=headers) as answer:  # noqa: SIM117 - only reading the body may fail
        with pytest.raises(httpx.RemoteProtocolError):
            pieces.extend(answer.iter_raw())

    start = b"".join(pieces)
    response_id = start.split(b'"id": "')[1].split(b'"')[0].decode()
    assert len(start) == 120
    assert data(send(simulator.base_url, "sk", "responses.retrieve", response_id=response_id))
    assert simulator.pictures == 1


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.99])
def test_cut_stream(simulator, fraction):
    """A truncated stream raises from its iterator, and the response can then be retrieved."""
    simulator.script(faults.cut_body(fraction=fraction))

    events, error = collect(simulator)
    assert error is not None
    assert "response.completed" not in names(events)
    stored = send(simulator.base_url, "sk-a", "responses.retrieve", response_id=events[0].response.id)
    assert data(stored)


def test_cut_background_stream_resumes(simulator):
    """A truncated background stream can be resumed without a missing or repeated event."""
    simulator.script(faults.cut_body(fraction=0.5))

    events, _ = collect(simulator, background=True)
    fields = {"response_id": events[0].response.id, "stream": True, "starting_after": events[-1].sequence_number}
    rest = send(simulator.base_url, "sk-a", "responses.retrieve", **fields)
    numbers = [event.sequence_number for event in [*events, *rest]]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].type == "response.completed"


def test_cut_before_terminal(call, simulator):
    """A stream without its last event ends cleanly after its picture."""
    simulator.script(faults.cut_before_terminal())

    events = stream(call)
    assert names(events)[-1] == "response.output_item.done"
    assert "response.image_generation_call.completed" in names(events)


@pytest.mark.parametrize("streamed", [False, True])
def test_refused_connection(simulator, streamed):
    """A refused connection raises a connection error, and no picture is made."""
    simulator.script(faults.refuse_connection())

    with (
        OpenAI(base_url=simulator.base_url, api_key="sk", max_retries=0) as client,
        pytest.raises(APIConnectionError),
    ):
        client.responses.create(**DRAW, stream=streamed)
    assert simulator.pictures == 0
    assert len(simulator.requests) == 1


def test_delayed_body(simulator):
    """A delayed body times out after the headers, although the picture was made."""
    simulator.script(faults.delay(30, at="body"))
    request = {"json": DRAW, "headers": {"authorization": "Bearer sk"}, "timeout": 2}

    with httpx.stream("POST", f"{simulator.base_url}/responses", **request) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            answer.read()
    assert simulator.pictures == 1


def test_delayed_headers(simulator):
    """Delayed headers raise the timeout error of the SDK."""
    simulator.script(faults.delay(30))

    with (
        OpenAI(base_url=simulator.base_url, api_key="sk", max_retries=0, timeout=0.3) as client,
        pytest.raises(APITimeoutError),
    ):
        client.responses.create(**DRAW)


def test_latency_of_streams():
    """Latency delays streams of both APIs, with and without partial pictures."""
    with faults.Simulator(latency=0.2) as simulator:
        images = {"model": "gpt-image-2", "prompt": "a fox", "quality": "low", "stream": True}
        for name, fields in (
            ("responses.create", {**DRAW, "stream": True}),
            ("images.generate", images),
            ("images.generate", {**images, "partial_images": 1}),
        ):
            start = time.perf_counter()
            send(simulator.base_url, "sk", name, **fields)
            assert time.perf_counter() - start >= 0.2


def test_latency_is_spent_before_pictures_only():
    """Latency delays pictures but not text, and concurrent requests wait at the same time."""
    with faults.Simulator(latency=0.3) as simulator:

        async def run(count, **fields):
            async with AsyncOpenAI(base_url=simulator.base_url, api_key="sk") as client:
                await client.responses.create(model="gpt-5", input="hi")
                start = time.perf_counter()
                await asyncio.gather(*(client.responses.create(**{**DRAW, **fields}) for _ in range(count)))
                return time.perf_counter() - start

        text = asyncio.run(run(1, tools=[]))
        drawn = asyncio.run(run(8, tool_choice=FORCED))

    assert text < 0.3 <= drawn < 8 * 0.3


# Framings of the body


@pytest.mark.parametrize("fault", [faults.gzipped(), faults.small_chunks(7)], ids=lambda fault: fault.name)
def test_other_framings(call, simulator, fault):
    """A compressed answer and one in tiny chunks are read like any other."""
    simulator.script(fault)

    assert len(pictures(call("responses.create", **DRAW))) == 1


def test_gzip_is_announced(simulator):
    """A compressed answer says so in its headers."""
    simulator.script(faults.gzipped())
    headers = {"authorization": "Bearer sk-a"}

    answer = httpx.post(f"{simulator.base_url}/responses", json=DRAW, headers=headers)
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("more", [1_000, -1_000])
def test_wrong_length(call, simulator, more):
    """A declared length that is not that of the body cuts it, or leaves the client waiting for more."""
    simulator.script(faults.wrong_length(more))

    with pytest.raises((APIConnectionError, json.JSONDecodeError)):
        call("responses.create", **DRAW)
    assert simulator.pictures == 1
