"""The reader of a streamed response, without a client: what it takes out, what it tells, and which JSON it makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_imagegen.http.drawing_events import Begun, Collector, Partial, Watch

CALL = {"type": "image_generation_call", "id": "ig_1"}
PLACE = {"output_index": 0, "item_id": "ig_1"}
NAME = "response.image_generation_call"
STARTED = {"id": "resp_1", "status": "in_progress", "output": []}
DONE = {**CALL, "status": "completed", "result": "final"}
ENDED = {"id": "resp_1", "status": "completed", "output": [DONE]}

CREATED = {"type": "response.created", "response": STARTED}
ADDED = {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "status": "in_progress"}}
AT_WORK = {"type": f"{NAME}.generating", **PLACE}
PARTIALS = [
    {"type": f"{NAME}.partial_image", **PLACE, "partial_image_index": n, "partial_image_b64": text}
    for n, text in enumerate(["draft", "final"])
]
ITEM = {"type": "response.output_item.done", "output_index": 0, "item": DONE}
COMPLETED = {"type": "response.completed", "response": ENDED}
WHOLE = [CREATED, ADDED, AT_WORK, *PARTIALS, ITEM, COMPLETED]
SIGNS = [Begun("ig_1"), Partial("ig_1", 0, False, "draft"), Partial("ig_1", 1, True, "final")]


def stream(events: list[Any], line_end: str = "\n") -> bytes:
    """Return events as a stream, numbered."""
    numbered = [{**event, "sequence_number": n} for n, event in enumerate(events)]
    lines = [f"event: {event['type']}{line_end}data: {json.dumps(event)}{line_end * 2}" for event in numbered]
    return "".join([f": keepalive{line_end * 2}", *lines]).encode()


def read(watch: Watch, body: bytes, size: int = 1000) -> tuple[bytes, list[Any]]:
    """Return what the client gets of a body in chunks of this size, and every sign in it."""
    pieces = [watch.feed(body[at : at + size]) for at in range(0, len(body), size)]
    pieces.append(watch.finish())
    return b"".join(text for text, _ in pieces), [sign for _, signs in pieces for sign in signs]


def payloads(text: bytes) -> list[Any]:
    """Return the events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_partials_are_taken_out(line_end, size):
    """In place of a partial picture a client gets, with the same number, that the call is at work; the rest passes."""
    body = stream(WHOLE, line_end)
    text, signs = read(Watch(1), body, size)

    expected = [each if each not in PARTIALS else AT_WORK for each in WHOLE]
    assert payloads(text) == [{**event, "sequence_number": n} for n, event in enumerate(expected)]
    assert signs == SIGNS
    before = body.index(f"event: {PARTIALS[0]['type']}".encode())
    assert text[:before] == body[:before]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_partials_that_nobody_asked_for_pass(size):
    """With 0 partials every byte passes, and only the beginning of the call is told."""
    body = stream(WHOLE) + b"data: cut"

    assert read(Watch(0), body, size) == (body, SIGNS[:1])


def test_a_call_begins_with_its_first_event():
    """Whichever event comes first tells that the call begins; others are passed over."""
    other = {"type": "response.output_item.added", "item": {"type": "message", "id": "msg_1"}}

    for event in (AT_WORK, ADDED, PARTIALS[0]):
        assert read(Watch(1), stream([other, event, event]))[1][0] == Begun("ig_1")
    assert read(Watch(1), stream([other]))[1] == []


@pytest.mark.parametrize("odd", [{"item_id": None}, {"partial_image_b64": None}, {"partial_image_b64": 7}])
def test_odd_partials_are_not_told(odd):
    """A partial picture without an id or without base64 is kept from the client, and not told."""
    text, signs = read(Watch(1), stream([{**PARTIALS[0], **odd}]))

    assert b"draft" not in text
    assert not [sign for sign in signs if isinstance(sign, Partial)]


def test_text_that_is_no_event_passes():
    """Broken JSON about an image call passes as it came."""
    body = b'data: {"type": "response.image_generation_call.partial_image", \n\ndata: [1]\n\n'

    assert read(Watch(1), body) == (body, [])


# Of a request that is not streamed


@pytest.mark.parametrize("size", [1, 100_000])
def test_the_answer_is_the_response(size):
    """A client that asked for JSON gets the response of the last event."""
    collector = Collector(1)
    _, signs = read(collector, stream(WHOLE), size)

    assert signs == SIGNS
    assert collector.answer() == (200, ENDED)


def test_a_last_event_without_its_end():
    """The last event counts even if the blank line behind it is missing."""
    collector = Collector(1)
    read(collector, stream(WHOLE).rstrip(b"\n"))

    assert collector.answer() == (200, ENDED)


@pytest.mark.parametrize("kind", ["failed", "incomplete"])
def test_other_ends(kind):
    """A response that failed or is incomplete is answered as it is."""
    ended, collector = {**ENDED, "status": kind}, Collector(1)
    read(collector, stream([CREATED, {"type": f"response.{kind}", "response": ended}]))

    assert collector.answer() == (200, ended)


def test_items_that_the_last_event_lacks():
    """If the last event has no items, as with some backends, the answer has those that came before."""
    collector = Collector(1)
    read(collector, stream([*WHOLE[:-1], {**COMPLETED, "response": {**ENDED, "output": []}}]))

    assert collector.answer() == (200, ENDED)


def test_a_stream_without_its_end():
    """A stream that ends before its last event has no answer."""
    collector = Collector(1)
    read(collector, stream(WHOLE[:-1]))

    assert collector.answer() is None


ERROR = {"code": "server_error", "message": "Sorry.", "param": None}
NESTED = {"code": None, "type": "server_error", "message": "Sorry."}
LIMIT = {"code": "rate_limit_exceeded", "message": "Wait."}
REFUSED = {"code": "moderation_blocked", "message": "No.", "moderation_details": {"categories": ["violence"]}}


@pytest.mark.parametrize(
    ("event", "error", "status"),
    [(ERROR, ERROR, 500), ({"error": NESTED}, NESTED, 500), (LIMIT, LIMIT, 429), ({"error": REFUSED}, REFUSED, 400)],
)
def test_errors(event, error, status):
    """An error is an HTTP error before the call has begun, and after that a failed response with what has arrived."""
    failed = {"type": "response.failed", "response": {**STARTED, "status": "failed"}}
    before, after = Collector(1), Collector(1)
    read(before, stream([CREATED, {**event, "type": "error"}, failed]))
    read(after, stream([*WHOLE[:-1], {**event, "type": "error"}]))

    assert before.answer() == (status, {"error": error})
    assert after.answer() == (200, {**STARTED, "status": "failed", "output": [DONE], "error": error})
